"""Bags of static vectors are sums over words, written out, and stand in for the cosines of word counts."""

from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import AutoModel

from hf_datasel import BagEmbedder, TokenBagEmbedder, embed
from hf_datasel.functional.importance_resampling import NgramBuckets, tokenize
from tests.training.embedding.encoders import rows_of, texts, tokenizer_on_the_fly

# A mean of at most some dozen float32 numbers near 1, then a norm: a rounding each.
TOLERANCE = 32 * np.finfo(np.float32).eps
WRITTEN = st.lists(st.text("ab .,", min_size=1, max_size=12).filter(str.strip), min_size=1, max_size=8)


@settings(max_examples=30)
@given(written=WRITTEN, seed=st.integers(0, 5), batch_size=st.integers(1, 9))
def test_words_are_added_up(written: list[str], seed: int, batch_size: int) -> None:
    embedder = BagEmbedder(dimension=7, seed=seed, num_buckets=50, normalize=False)
    table = np.random.default_rng(seed).standard_normal((50, 7), dtype=np.float32).astype(np.float64)
    buckets = NgramBuckets(50)
    expected = [np.mean([table[buckets[word]] for word in tokenize(text)], axis=0) for text in written]
    found = embed(rows_of(written), embedder, batch_size=batch_size)
    np.testing.assert_allclose(found.vectors, expected, rtol=0, atol=4 * TOLERANCE)


def test_cosines_are_those_of_word_counts() -> None:
    written = texts(30, low=4)
    dimension, num_buckets = 1024, 1 << 13
    embedder = BagEmbedder(dimension=dimension, num_buckets=num_buckets)
    vectors = embed(rows_of(written), embedder).vectors.astype(np.float64)
    counts = [Counter(tokenize(text)) for text in written]
    words = sorted(set().union(*counts))
    assert len({NgramBuckets(num_buckets)[word] for word in words}) == len(words), "no two words share a vector"
    table = np.array([[count[word] for word in words] for count in counts], dtype=np.float64)
    table /= np.linalg.norm(table, axis=1, keepdims=True)
    # A cosine's deviation is at most 1 / sqrt(d); five of them for the largest of 435 pairs.
    np.testing.assert_allclose(vectors @ vectors.T, table @ table.T, rtol=0, atol=5 / dimension**0.5)


def test_the_seed_decides() -> None:
    rows = rows_of(texts(4))
    first, again, other = (embed(rows, BagEmbedder(dimension=8, seed=seed)) for seed in (3, 3, 4))
    np.testing.assert_array_equal(first.vectors, again.vectors)
    assert first.embedder == again.embedder
    assert first.embedder["hash"] != other.embedder["hash"]


def test_tokens_are_rows_of_the_models_matrix(encoder: Path) -> None:
    written = texts(8)
    found = embed(rows_of(written), TokenBagEmbedder(str(encoder)), batch_size=3)
    matrix = AutoModel.from_pretrained(encoder).get_input_embeddings().weight.detach().numpy().astype(np.float64)
    means = [matrix[tokenizer_on_the_fly()(text)["input_ids"][1:-1]].mean(axis=0) for text in written]
    expected = [mean / np.linalg.norm(mean) for mean in means]
    np.testing.assert_allclose(found.vectors, expected, rtol=0, atol=TOLERANCE)
    assert found.embedder["kind"] == "token_bag"


@pytest.mark.parametrize("option", ["dimension", "num_buckets"])
def test_sizes_must_be_positive(option: str) -> None:
    with pytest.raises(ValueError, match=f"{option}=0 must be at least 1"):
        embed(rows_of(["a"]), BagEmbedder(**{option: 0}))
