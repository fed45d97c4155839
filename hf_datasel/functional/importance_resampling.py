"""Importance weights of texts by their hashed n-grams, and resampling by them: DSIR.

Xie, Santurkar, Ma, Liang, "Data Selection for Language Models via Importance Resampling", NeurIPS 2023, arXiv
2302.03169. A text is lower-cased and split into words and runs of punctuation; its n-grams of 1 .. n tokens, joined by
blanks, fall into `num_buckets` buckets. With c the counts of a text and p_t, p_r the shares of the buckets among all
n-grams of the target and of the raw data,

    log w = c . [log(p_t + 1e-8) - log(p_r + 1e-8)].

Drawing examples one after another without replacement, each in proportion to its w, is adding Gumbel(0, 1) noise to
every log w and keeping the largest (`ranking.keep_best`).

A bucket is the n-gram's SHA-256 as a number, modulo `num_buckets`, as in the released code, so counts agree with its.
"""

from __future__ import annotations

import hashlib
import re
from array import array
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

SMOOTHING = 1e-8
MOST_REMEMBERED = 1 << 20  # n-grams, some 200 bytes each
_TOKEN = re.compile(r"\w+|[^\w\s]+")


def tokenize(text: str) -> list[str]:
    """Words and runs of punctuation, in lower case.

    Example:
        >>> tokenize("It's 4.50, no?")
        ['it', "'", 's', '4', '.', '50', ',', 'no', '?']
    """
    return _TOKEN.findall(text.lower())


class NgramBuckets(dict[str, int]):
    """The bucket of an n-gram, as in `buckets["of the"]`; the first million that are met are hashed once.

    Args:
        num_buckets: from 1 to 2**32.
    """

    def __init__(self, num_buckets: int) -> None:
        super().__init__()
        self.num_buckets = num_buckets

    def __missing__(self, ngram: str) -> int:
        digest = hashlib.sha256(ngram.encode("utf-8", "surrogatepass")).digest()
        bucket = int.from_bytes(digest, "big") % self.num_buckets
        if len(self) < MOST_REMEMBERED:
            self[ngram] = bucket
        return bucket


@dataclass(frozen=True, eq=False)
class HashedTexts:
    """The n-grams of m texts as buckets, text after text.

    Args:
        num_tokens: uint32 [m].
        buckets: uint32 [`num_ngrams(num_tokens, ngrams).sum()`].
        ngrams: longest n-gram, in tokens.
    """

    num_tokens: NDArray[np.uint32]
    buckets: NDArray[np.uint32]
    ngrams: int

    def counts(self, num_buckets: int) -> NDArray[np.int64]:
        """How many n-grams of all the texts fall into each bucket, int64 [num_buckets]."""
        return np.bincount(self.buckets, minlength=num_buckets)

    def log_weights(self, log_ratio: NDArray[np.float64]) -> NDArray[np.float64]:
        """log w of each text, float64 [m]; 0 for one without tokens.

        Args:
            log_ratio: float64 [num_buckets], as `log_ratios` gives it.
        """
        texts = np.repeat(np.arange(len(self.num_tokens)), num_ngrams(self.num_tokens, self.ngrams))
        sums = np.bincount(texts, weights=log_ratio[self.buckets], minlength=len(self.num_tokens))
        return sums.astype(np.float64, copy=False)


def num_ngrams(num_tokens: NDArray[np.integer], ngrams: int) -> NDArray[np.int64]:
    """How many n-grams of 1 .. `ngrams` tokens a text of so many tokens has, int64 [m]."""
    tokens = num_tokens.astype(np.int64)
    return sum((np.maximum(tokens - longer, 0) for longer in range(1, ngrams)), start=tokens)


def hash_texts(texts: Sequence[str], buckets: NgramBuckets, ngrams: int) -> HashedTexts:
    """The buckets of all n-grams of 1 .. `ngrams` tokens.

    Args:
        texts: m of them.
        buckets: kept from call to call, it spares hashing the same n-gram again.
        ngrams: at least 1.

    Example:
        >>> hashed = hash_texts(["No, no!", ""], NgramBuckets(10000), ngrams=2)
        >>> hashed.num_tokens.tolist(), len(hashed.buckets)
        ([4, 0], 7)
    """
    num_tokens: list[int] = []
    found = array("I")
    for text in texts:
        tokens = tokenize(text)
        num_tokens.append(len(tokens))
        found.extend(map(buckets.__getitem__, tokens))
        for length in range(2, ngrams + 1):
            together = zip(*(tokens[start:] for start in range(length)), strict=False)
            found.extend(map(buckets.__getitem__, map(" ".join, together)))
    return HashedTexts(np.array(num_tokens, np.uint32), np.array(found, np.uint32), ngrams)


def log_ratios(target: NDArray[np.int64], raw: NDArray[np.int64]) -> NDArray[np.float64]:
    """log(p_t + 1e-8) - log(p_r + 1e-8), float64 [num_buckets].

    Args:
        target, raw: int64 [num_buckets], n-grams in each bucket; neither is all zero.

    Example:
        >>> log_ratios(np.array([1, 3]), np.array([3, 1])).round(4).tolist()
        [-1.0986, 1.0986]
    """
    return np.log(target / target.sum() + SMOOTHING) - np.log(raw / raw.sum() + SMOOTHING)


def perturbed(log_weights: NDArray[np.floating], generator: np.random.Generator) -> NDArray[np.float64]:
    """log w + Gumbel(0, 1) noise, float64 [M]; its B largest are B draws in proportion to w without replacement."""
    return log_weights + generator.gumbel(size=len(log_weights))
