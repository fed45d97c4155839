"""An embedder that is not here is never replaced by another: the error says which files, and how to get them."""

import json
from pathlib import Path
from typing import Any

import pytest
from huggingface_hub import constants
from safetensors.torch import load_file, save_file

from hf_datasel import EncoderEmbedder, HiddenStateEmbedder, TokenBagEmbedder, embed
from hf_datasel.training.embedding.loading import optional_json
from tests.training.embedding.encoders import rows_of, save_encoder, texts
from tests.training.tiny import make_dataset

NAME = "nobody/no-such-embedder"
BY_NAME = {
    "encoder": lambda name: EncoderEmbedder(name),
    "token bag": lambda name: TokenBagEmbedder(name),
    "hidden states": lambda name: HiddenStateEmbedder(name),
}


@pytest.mark.parametrize("kind", list(BY_NAME))
def test_offline_it_says_what_to_fetch(kind: str) -> None:
    with pytest.raises(FileNotFoundError) as caught:
        embed(make_dataset(num_rows=2), BY_NAME[kind](NAME))
    message = str(caught.value)
    assert f"The embedder '{NAME}' cannot be loaded" in message
    assert constants.HF_HUB_CACHE in message
    for file in ("config.json", "model.safetensors", "tokenizer.json"):
        assert file in message
    assert f'hf download {NAME} --include "*.json"' in message
    assert "--local-dir no-such-embedder` and pass the path" in message
    assert caught.value.__cause__ is not None


def test_only_what_is_missing_is_asked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, encoder: Path) -> None:
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    in_cache(tmp_path, encoder, "config.json", "tokenizer.json", "tokenizer_config.json")
    with pytest.raises(FileNotFoundError, match=r"Not in the cache .*: model.safetensors. Where"):
        embed(rows_of(texts(2)), EncoderEmbedder(NAME, pooling="mean"))


def test_nobody_knows_offline_how_a_model_pools(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, encoder: Path
) -> None:
    """Mean pooling must not be what a machine without a network falls back to."""
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    snapshot = in_cache(tmp_path, encoder, *(path.name for path in encoder.iterdir()))
    with pytest.raises(FileNotFoundError, match=r"Not in the cache .*: modules\.json"):
        optional_json(NAME, "modules.json", None)
    unknown = snapshot.parents[1] / ".no_exist" / snapshot.name / "modules.json"
    unknown.parent.mkdir(parents=True)
    unknown.touch()  # what a machine that once asked leaves behind
    assert optional_json(NAME, "modules.json", None) is None
    (snapshot / "modules.json").write_text(json.dumps(["told"]))
    assert optional_json(NAME, "modules.json", None) == ["told"]


def in_cache(cache: Path, source: Path, *names: str) -> Path:
    """Lay files of a model out as the Hub's cache does."""
    folder = cache / f"models--{NAME.replace('/', '--')}"
    snapshot = folder / "snapshots" / ("0" * 40)
    snapshot.mkdir(parents=True)
    (folder / "refs").mkdir()
    (folder / "refs" / "main").write_text("0" * 40)
    for name in names:
        (snapshot / name).write_bytes((source / name).read_bytes())
    return snapshot


def lacking(folder: Path, *names: str) -> Path:
    save_encoder(folder)
    for name in names:
        (folder / name).unlink()
    return folder


@pytest.mark.parametrize("name", ["config.json", "model.safetensors"])
def test_a_folder_without_a_file(tmp_path: Path, name: str) -> None:
    folder = lacking(tmp_path / "model", name)
    with pytest.raises((FileNotFoundError, ValueError), match=f"'{folder}' cannot be loaded.*{name}"):
        embed(rows_of(texts(2)), str(folder))


def test_a_folder_without_a_tokenizer(tmp_path: Path) -> None:
    """transformers makes an empty tokenizer of the model's kind then, to which all texts are alike."""
    folder = lacking(tmp_path / "model", "tokenizer.json", "tokenizer_config.json")
    with pytest.raises(
        FileNotFoundError, match=f"'{folder}' cannot be loaded.*no vocabulary. It has no tokenizer.json"
    ):
        embed(rows_of(texts(2)), str(folder))


@pytest.mark.parametrize("name", ["./nowhere", "/no/where", "a/b/c"])
def test_a_path_to_nothing(name: str) -> None:
    with pytest.raises(FileNotFoundError, match=f"The embedder '{name}' is the path of no folder"):
        embed(rows_of(texts(2)), name)


def drop(folder: Path, wanted: Any) -> None:
    weights = load_file(folder / "model.safetensors")
    kept = {name: value for name, value in weights.items() if not wanted(name)}
    assert len(kept) < len(weights)
    save_file(kept, folder / "model.safetensors", metadata={"format": "pt"})


def test_random_weights_never_stand_in_for_missing_ones(tmp_path: Path) -> None:
    folder = save_encoder(tmp_path / "model")
    drop(folder, lambda name: "layer.1.attention" in name)
    with pytest.raises(ValueError, match=r"lack \d+ weights that it reads, encoder.layer.1.attention.*random ones"):
        embed(rows_of(texts(2)), str(folder))


def test_a_head_that_is_not_read_may_be_missing(tmp_path: Path) -> None:
    """It is made at random on every load, so it must not be part of the identity either."""
    folder = save_encoder(tmp_path / "model")
    drop(folder, lambda name: name.startswith("pooler."))
    first, second = (embed(rows_of(texts(3)), str(folder)) for _ in range(2))
    assert first.embedder == second.embedder
    assert first.vectors.tolist() == second.vectors.tolist()
