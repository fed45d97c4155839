"""What sentence-transformers is asked for, by a stand-in for it, and what is said where it is not installed."""

import importlib.util
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch
from transformers import AutoModel, AutoTokenizer

from hf_datasel import EncoderEmbedder, SentenceTransformersEmbedder, embed
from tests.training.embedding.encoders import TOLERANCE, rows_of, save_encoder, say_conventions, texts


class StandIn(torch.nn.Module):
    """As much of `SentenceTransformer` as is used, over a plain encoder."""

    def __init__(self, name: str, revision: str | None = None, device: str | None = None) -> None:
        super().__init__()
        assert revision is None
        self.encoder, self.tokenizer = AutoModel.from_pretrained(name), AutoTokenizer.from_pretrained(name)
        self.max_seq_length, self.device = 12, device
        self.train()

    def encode(self, inputs: list[str], *, prompt: str | None, batch_size: int, **options: Any) -> Any:
        assert options == {"normalize_embeddings": True, "show_progress_bar": False, "convert_to_numpy": True}
        assert batch_size == len(inputs)
        assert not self.training
        vectors = []
        for text in inputs:
            encoded = self.tokenizer(
                (prompt or "") + text, truncation=True, max_length=self.max_seq_length, return_tensors="pt"
            )
            hidden = self.encoder(**encoded).last_hidden_state[0].mean(0)
            vectors.append(hidden / hidden.norm())
        return torch.stack(vectors).numpy()


@pytest.fixture
def model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    library = ModuleType("sentence_transformers")
    library.SentenceTransformer = StandIn
    monkeypatch.setitem(sys.modules, "sentence_transformers", library)
    folder = save_encoder(tmp_path / "model")
    say_conventions(folder, "Transformer", "Pooling", "Normalize", limit=12, pooling_mode="mean")
    return folder


def test_vectors_are_the_librarys(model: Path, caplog: pytest.LogCaptureFixture) -> None:
    rows = rows_of(texts(7, high=20))
    found = embed(rows, SentenceTransformersEmbedder(str(model)), batch_size=3)
    plain = embed(rows, EncoderEmbedder(str(model)))
    np.testing.assert_allclose(found.vectors, plain.vectors, rtol=0, atol=TOLERANCE)
    both = [record.getMessage() for record in caplog.records]
    assert len(both) == 2
    assert both[0] == both[1], "the same number of texts is cut"
    assert found.embedder["max_length"] == 12
    assert found.embedder["dimension"] == 24


def test_options_arrive(model: Path) -> None:
    rows = rows_of(texts(5, high=20))
    found = embed(rows, SentenceTransformersEmbedder(str(model), max_length=6, prompt="w1 "))
    plain = embed(rows, EncoderEmbedder(str(model), max_length=6, prefix="w1 "))
    np.testing.assert_allclose(found.vectors, plain.vectors, rtol=0, atol=TOLERANCE)
    assert found.embedder["prompt"] == "w1 "


def test_a_model_without_a_tokenizer_of_transformers(model: Path) -> None:
    class Static(StandIn):
        def encode(self, inputs: list[str], **options: Any) -> Any:
            return np.array([[len(text), 1.0] for text in inputs], dtype=np.float32)

        @property
        def tokenizer(self) -> Any:
            return object()

        @tokenizer.setter
        def tokenizer(self, value: Any) -> None: ...

    sys.modules["sentence_transformers"].SentenceTransformer = Static
    found = embed(rows_of(["abc", "a"]), SentenceTransformersEmbedder(str(model)))
    assert found.vectors.tolist() == [[3.0, 1.0], [1.0, 1.0]]


def test_a_plain_model_is_refused(model: Path) -> None:
    (model / "modules.json").unlink()
    with pytest.raises(ValueError, match=r"has no modules.json.*pass hf_datasel.EncoderEmbedder"):
        embed(rows_of(texts(2)), SentenceTransformersEmbedder(str(model)))


def test_a_model_that_is_not_here(model: Path) -> None:
    with pytest.raises(FileNotFoundError, match="hf download nobody/nothing"):
        embed(rows_of(texts(2)), SentenceTransformersEmbedder("nobody/nothing"))
    (model / "model.safetensors").unlink()
    with pytest.raises(FileNotFoundError, match=r"cannot be loaded from that folder.*model.safetensors"):
        embed(rows_of(texts(2)), SentenceTransformersEmbedder(str(model)))


def test_without_the_library(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib, "import_module", not_installed)
    with pytest.raises(ImportError, match=r"pip install 'hf-datasel\[sentence-transformers\]'"):
        embed(rows_of(texts(2)), SentenceTransformersEmbedder("a/b"))


def not_installed(name: str) -> ModuleType:
    raise ModuleNotFoundError(f"No module named '{name}'", name=name)
