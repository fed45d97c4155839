"""An encoder's vectors are those of one text at a time, whatever the batch, and its files decide how it is used."""

import logging
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import AutoModel, T5Config, T5Model

from hf_datasel import EncoderEmbedder, embed
from hf_datasel.training.embedding import Passage
from tests.training.embedding.encoders import (
    MAX_LENGTH,
    TOLERANCE,
    one_by_one,
    rows_of,
    save_encoder,
    say_conventions,
    texts,
    tokenizer_on_the_fly,
)


@pytest.fixture(scope="module")
def embedder(encoder: Path) -> EncoderEmbedder:
    return EncoderEmbedder(str(encoder))


@settings(max_examples=20)
@given(
    lengths=st.lists(st.integers(1, MAX_LENGTH + 10), min_size=1, max_size=9),
    batch_size=st.integers(1, 10),
    seed=st.integers(0, 99),
)
def test_vectors_are_those_of_one_text_at_a_time(
    embedder: EncoderEmbedder, lengths: list[int], batch_size: int, seed: int
) -> None:
    written = [texts(1, seed + row, length, length)[0] for row, length in enumerate(lengths)]
    found = embed(rows_of(written), embedder, batch_size=batch_size)
    np.testing.assert_allclose(found.vectors, one_by_one(Path(embedder.name), written), rtol=0, atol=TOLERANCE)


@settings(max_examples=20)
@given(sizes=st.lists(st.integers(1, MAX_LENGTH), min_size=1, max_size=6), seed=st.integers(0, 99))
def test_a_vector_does_not_depend_on_its_neighbours(embedder: EncoderEmbedder, sizes: list[int], seed: int) -> None:
    rng = np.random.default_rng(seed)
    passages = []
    for size in sizes:
        pooled = rng.random(size) < 0.5
        pooled[rng.integers(size)] = True
        passages.append(Passage(rng.integers(4, 80, size), pooled))
    together = embedder.embed(passages)
    alone = np.concatenate([embedder.embed([passage]) for passage in passages])
    np.testing.assert_allclose(together, alone, rtol=0, atol=TOLERANCE)


def test_texts_differ(embedder: EncoderEmbedder) -> None:
    vectors = embed(rows_of(texts(8)), embedder).vectors
    assert np.abs(vectors[:, None] - vectors[None])[~np.eye(8, dtype=bool)].max(axis=-1).min() > 1000 * TOLERANCE


def test_without_scaling_vectors_are_means(encoder: Path) -> None:
    rows = rows_of(texts(5))
    raw, unit = (embed(rows, EncoderEmbedder(str(encoder), normalize=flag)).vectors for flag in (False, True))
    norms = np.linalg.norm(raw.astype(np.float64), axis=1, keepdims=True)
    assert (np.abs(norms - 1) > 0.1).all()
    np.testing.assert_allclose(raw / norms, unit, rtol=0, atol=TOLERANCE)


def test_a_prefix_stands_before_every_text(encoder: Path) -> None:
    written = texts(5)
    found = embed(rows_of(written), EncoderEmbedder(str(encoder), prefix="w1 "))
    expected = one_by_one(encoder, ["w1 " + text for text in written])
    np.testing.assert_allclose(found.vectors, expected, rtol=0, atol=TOLERANCE)


@pytest.mark.parametrize("max_length", [3, 7])
def test_long_texts_are_cut_and_counted(encoder: Path, max_length: int, caplog: pytest.LogCaptureFixture) -> None:
    written = texts(6, low=1, high=12)
    with caplog.at_level(logging.WARNING):
        found = embed(rows_of(written), str(encoder), max_length=max_length, batch_size=2)
    np.testing.assert_allclose(found.vectors, one_by_one(encoder, written, max_length), rtol=0, atol=TOLERANCE)
    num_long = sum(len(tokenizer_on_the_fly()(text)["input_ids"]) > max_length for text in written)
    (message,) = [record.getMessage() for record in caplog.records if "longer than" in record.getMessage()]
    assert f"{num_long} of 6 examples are longer than the {max_length} tokens" in message
    assert found.embedder["max_length"] == max_length


@pytest.mark.parametrize("max_length", [0, 2, MAX_LENGTH + 1])
def test_a_length_out_of_range_is_refused(encoder: Path, max_length: int) -> None:
    with pytest.raises(ValueError, match=f"max_length={max_length} must be between 3 .* and the {MAX_LENGTH} tokens"):
        embed(rows_of(texts(2)), str(encoder), max_length=max_length)


@pytest.mark.parametrize(
    "pooling", [{"pooling_mode_cls_token": True, "pooling_mode_mean_tokens": False}, {"pooling_mode": "cls"}]
)
def test_the_models_own_files_decide(tmp_path: Path, pooling: dict[str, Any]) -> None:
    folder = save_encoder(tmp_path / "cls")
    say_conventions(folder, "Transformer", "Pooling", "Normalize", limit=6, **pooling)
    written = texts(5, high=12)
    found = embed(rows_of(written), str(folder))
    assert (found.embedder["pooling"], found.embedder["max_length"]) == ("cls", 6)
    np.testing.assert_allclose(found.vectors, one_by_one(folder, written, 6, cls=True), rtol=0, atol=TOLERANCE)
    mean = embed(rows_of(written), EncoderEmbedder(str(folder), pooling="mean", max_length=6))
    np.testing.assert_allclose(mean.vectors, one_by_one(folder, written, 6), rtol=0, atol=TOLERANCE)


@pytest.mark.parametrize(
    ("modules", "pooling", "message"),
    [
        (("Transformer", "Pooling", "Dense"), {"pooling_mode": "mean"}, "has the module Dense"),
        (("Transformer", "Pooling"), {"pooling_mode": "lasttoken"}, "pools its tokens in another way"),
        (
            ("Transformer", "Pooling"),
            {"pooling_mode_mean_tokens": True, "pooling_mode_max_tokens": True},
            "pools its tokens in another way",
        ),
    ],
)
def test_a_model_that_is_used_otherwise_is_refused(
    tmp_path: Path, modules: tuple[str, ...], pooling: dict[str, Any], message: str
) -> None:
    folder = save_encoder(tmp_path / "other")
    say_conventions(folder, *modules, **pooling)
    with pytest.raises(ValueError, match=f"{message}.*pass hf_datasel.SentenceTransformersEmbedder"):
        embed(rows_of(texts(2)), str(folder))


@pytest.mark.parametrize(
    ("options", "message"),
    [({"pooling": "max"}, "pooling='max' must be one of"), ({"dtype": "int8"}, "dtype='int8' must be one of")],
)
def test_unknown_options_are_refused(encoder: Path, options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        embed(rows_of(texts(2)), EncoderEmbedder(str(encoder), **options))


def test_an_encoder_decoder_is_refused(tmp_path: Path) -> None:
    T5Model(T5Config(vocab_size=90, d_model=8, d_ff=8, d_kv=4, num_layers=1, num_heads=2)).save_pretrained(tmp_path)
    tokenizer_on_the_fly().save_pretrained(tmp_path)
    with pytest.raises(ValueError, match="is an encoder-decoder"):
        embed(rows_of(texts(2)), str(tmp_path))


def test_half_precision_is_near(encoder: Path) -> None:
    rows = rows_of(texts(6))
    half = embed(rows, EncoderEmbedder(str(encoder), dtype="bfloat16"))
    assert half.vectors.dtype == np.float32
    # bfloat16 has 8 bits; the roundings are those of float32, as many, only larger.
    np.testing.assert_allclose(half.vectors, embed(rows, str(encoder)).vectors, rtol=0, atol=64 * 2.0**-8)
    assert half.embedder["hash"] != embed(rows, str(encoder)).embedder["hash"]


def test_the_hash_is_of_the_content(tmp_path: Path, encoder: Path, embedder: EncoderEmbedder) -> None:
    assert EncoderEmbedder(str(save_encoder(tmp_path / "same"))).hash == embedder.hash
    assert EncoderEmbedder(str(save_encoder(tmp_path / "seed", seed=1))).hash != embedder.hash
    assert EncoderEmbedder(str(save_encoder(tmp_path / "heads", num_attention_heads=3))).hash != embedder.hash
    other = save_encoder(tmp_path / "tokenizer")
    (other / "tokenizer.json").write_text((encoder / "tokenizer.json").read_text().replace("w59", "v59"))
    assert EncoderEmbedder(str(other)).hash != embedder.hash
    sharded = tmp_path / "sharded"
    AutoModel.from_pretrained(encoder).save_pretrained(sharded, max_shard_size="10KB")
    tokenizer_on_the_fly().save_pretrained(sharded)
    assert len(list(sharded.glob("*.safetensors"))) > 1
    assert EncoderEmbedder(str(sharded)).hash == embedder.hash


def test_the_hash_does_not_depend_on_use(encoder: Path) -> None:
    used = EncoderEmbedder(str(encoder), max_length=5)
    embed(rows_of(texts(4)), used)
    fresh = EncoderEmbedder(str(encoder), max_length=5)
    fresh._tokenizer("w1 w2", truncation=True, max_length=3, padding="max_length")
    assert used.hash == fresh.hash
