"""DSIR's arithmetic against the formula written out, and its draw against successive sampling."""

import hashlib
import math
from collections import Counter
from itertools import permutations

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from hf_datasel.functional import importance_resampling
from hf_datasel.functional.importance_resampling import (
    NgramBuckets,
    hash_texts,
    log_ratios,
    num_ngrams,
    perturbed,
    tokenize,
)
from hf_datasel.functional.ranking import keep_best

TEXTS = st.lists(st.text(alphabet="abAB_9é中 .,!\n\t'İ", max_size=30), min_size=1, max_size=6)


def tokens_of(text):
    """Obviously correct, but slow: a token is a run of word characters, or a run of what is neither they nor blank."""
    kinds = [0 if char.isspace() else 1 if char.isalnum() or char == "_" else 2 for char in text.lower()]
    tokens, before = [], 0
    for char, kind in zip(text.lower(), kinds, strict=True):
        if kind and kind == before:
            tokens[-1] += char
        elif kind:
            tokens.append(char)
        before = kind
    return tokens


def counts_of(text, ngrams, num_buckets):
    """Bucket to count, as the paper and the released code have it."""
    tokens, counts = tokens_of(text), Counter()
    for length in range(1, ngrams + 1):
        for start in range(len(tokens) - length + 1):
            ngram = " ".join(tokens[start : start + length])
            counts[int(hashlib.sha256(ngram.encode("utf-8")).hexdigest(), 16) % num_buckets] += 1
    return counts


def log_weights_of(texts, target, ngrams, num_buckets):
    """counts . [log(p_t + 1e-8) - log(p_r + 1e-8)] of each text, exactly summed."""
    raw = sum((counts_of(text, ngrams, num_buckets) for text in texts), start=Counter())
    wanted = sum((counts_of(text, ngrams, num_buckets) for text in target), start=Counter())

    def log_share(counts, bucket):
        return math.log(counts[bucket] / counts.total() + 1e-8)

    return [
        math.fsum(
            count * (log_share(wanted, bucket) - log_share(raw, bucket))
            for bucket, count in counts_of(text, ngrams, num_buckets).items()
        )
        for text in texts
    ]


@given(text=st.text(max_size=60))
def test_tokens_are_runs_of_word_characters_or_of_punctuation(text):
    assert tokenize(text) == tokens_of(text)


def test_known_buckets_are_those_of_sha_256():
    # sha256("abc") = ba7816bf 8f01cfea 414140de 5dae2223 b00361a3 96177a9c b410ff61 f20015ad (FIPS 180-4)
    digest = int("ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad", 16)
    assert NgramBuckets(10_000)["abc"] == digest % 10_000
    assert NgramBuckets(2**32)["abc"] == 0xF20015AD


@given(texts=TEXTS, ngrams=st.integers(1, 4), num_buckets=st.sampled_from([1, 7, 10_000]))
def test_counts_are_those_of_the_formula(texts, ngrams, num_buckets):
    hashed = hash_texts(texts, NgramBuckets(num_buckets), ngrams)
    assert hashed.num_tokens.tolist() == [len(tokens_of(text)) for text in texts]
    wanted = sum((counts_of(text, ngrams, num_buckets) for text in texts), start=Counter())
    assert hashed.counts(num_buckets).tolist() == [wanted[bucket] for bucket in range(num_buckets)]
    sizes = [counts_of(text, ngrams, num_buckets).total() for text in texts]
    assert num_ngrams(hashed.num_tokens, ngrams).tolist() == sizes


@given(texts=TEXTS, target=TEXTS, ngrams=st.integers(1, 3), num_buckets=st.sampled_from([2, 50, 10_000]))
def test_log_weights_are_those_of_the_formula(texts, target, ngrams, num_buckets):
    buckets = NgramBuckets(num_buckets)
    raw, wanted = hash_texts(texts, buckets, ngrams), hash_texts(target, buckets, ngrams)
    assume(raw.num_tokens.any() and wanted.num_tokens.any())
    weights = raw.log_weights(log_ratios(wanted.counts(num_buckets), raw.counts(num_buckets)))
    # each of at most 90 summands is at most 2 |log 1e-8| and has a few roundings behind it
    tolerance = 90 * 40 * 90 * np.finfo(np.float64).eps
    np.testing.assert_allclose(weights, log_weights_of(texts, target, ngrams, num_buckets), rtol=0, atol=tolerance)


def test_what_is_not_remembered_is_hashed_again(monkeypatch):
    monkeypatch.setattr(importance_resampling, "MOST_REMEMBERED", 3)
    buckets = NgramBuckets(10_000)
    text = "one two three four five one two"
    forgetful = hash_texts([text, text], buckets, 2)
    assert len(buckets) == 3
    monkeypatch.undo()
    assert np.array_equal(forgetful.buckets, hash_texts([text, text], NgramBuckets(10_000), 2).buckets)


def test_a_lone_surrogate_has_a_bucket_too():
    assert hash_texts(["\ud800"], NgramBuckets(10), 2).num_tokens.tolist() == [1]


def successively(weights, budget):
    """Probability of every subset of so many, drawn one after another in proportion to the weights of those left."""
    chances = Counter()
    for drawn in permutations(range(len(weights)), budget):
        left, chance = sum(weights), 1.0
        for member in drawn:
            chance *= weights[member] / left
            left -= weights[member]
        chances[frozenset(drawn)] += chance
    return chances


@pytest.mark.parametrize("budget", [1, 2, 3])
def test_the_noisy_best_are_drawn_successively_in_proportion_to_their_weights(budget):
    weights, num_draws = [0.5, 1.0, 2.0, 4.0, 0.1], 8_000
    generator = np.random.default_rng(7)
    seen = Counter()
    for _ in range(num_draws):
        seen[frozenset(np.flatnonzero(keep_best(perturbed(np.log(weights), generator), budget, generator)))] += 1
    chances = successively(weights, budget)
    assert sum(chances.values()) == pytest.approx(1)
    for subset, chance in chances.items():
        # a count is binomial; five standard deviations, and one for the tail of the rare ones
        assert abs(seen[subset] - num_draws * chance) < 5 * math.sqrt(num_draws * chance * (1 - chance)) + 5
    # the sum of squares is about chi-square with (subsets - 1) degrees of freedom: mean k, variance 2 k
    freedom = len(chances) - 1
    statistic = sum((seen[subset] - num_draws * p) ** 2 / (num_draws * p) for subset, p in chances.items())
    assert statistic < freedom + 6 * math.sqrt(2 * freedom) + 6
