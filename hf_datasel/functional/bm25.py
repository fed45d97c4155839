"""BM25: how well a document answers a query of words.

Robertson, Zaragoza, "The Probabilistic Relevance Framework: BM25 and Beyond", 2009 (Okapi BM25). With N documents, n_t
of them with the term t, f_tD the count of t in the document D of |D| tokens, and q_t its count in the query Q,

    idf(t)      = log(1 + (N - n_t + 0.5) / (n_t + 0.5))
    score(D, Q) = sum_t q_t idf(t) f_tD (k1 + 1) / (f_tD + k1 (1 - b + b |D| / mean |D|)).

The 1 in the logarithm keeps terms that most documents have from counting against a document, as search engines do. A
query's terms count as often as it has them. Only terms of queries matter, so documents are their counts of those.

Legend: m documents, e pairs of a document and a term it has, V terms, Q queries.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

K1, B = 1.5, 0.75
_BLOCK = 1 << 22  # numbers at once


@dataclass(frozen=True, eq=False)
class TermCounts:
    """How often documents have the terms, by document and then by term.

    Args:
        documents, terms: int64 [e], no pair twice.
        counts: int64 [e], positive.
        num_documents, num_terms: m and V.
    """

    documents: NDArray[np.int64]
    terms: NDArray[np.int64]
    counts: NDArray[np.int64]
    num_documents: int
    num_terms: int

    @classmethod
    def of(cls, num_tokens: NDArray[np.integer], tokens: NDArray[np.integer], num_terms: int) -> TermCounts:
        """Count the terms of documents.

        Args:
            num_tokens: integers [m].
            tokens: integers [num_tokens.sum()], document after document; from `num_terms` on they are no terms.
            num_terms: V.

        Example:
            >>> counts = TermCounts.of(np.array([3, 0, 2]), np.array([1, 7, 1, 0, 1]), 2)
            >>> counts.documents.tolist(), counts.terms.tolist(), counts.counts.tolist()
            ([0, 2, 2], [1, 0, 1], [2, 1, 1])
        """
        documents = np.repeat(np.arange(len(num_tokens)), num_tokens)
        is_term = tokens < num_terms
        pairs = documents[is_term] * num_terms + tokens[is_term]
        present, counts = np.unique(pairs, return_counts=True)
        return cls(present // num_terms, present % num_terms, counts, len(num_tokens), num_terms)

    def num_containing(self) -> NDArray[np.int64]:
        """In how many documents each term is, int64 [V]."""
        return np.bincount(self.terms, minlength=self.num_terms)


@dataclass(frozen=True, eq=False)
class BM25:
    """Scores of documents for Q queries.

    Args:
        queries: their term counts, V terms.
        idf: float64 [V].
        mean_length: tokens of a document.
        k1: how soon more of the same term stops to count, at least 0.
        b: how much the length of a document counts, 0 .. 1.
    """

    queries: TermCounts
    idf: NDArray[np.float64]
    mean_length: float
    k1: float = K1
    b: float = B

    def mean_scores(self, documents: TermCounts, lengths: NDArray[np.integer]) -> NDArray[np.float64]:
        """The mean of each document's scores for all queries, float64 [m], in O(e).

        Args:
            documents: m documents.
            lengths: integers [m], all their tokens.
        """
        queries = self.queries
        mean_counts = np.bincount(queries.terms, queries.counts, minlength=len(self.idf)) / queries.num_documents
        weighed = self._weights(documents, lengths) * mean_counts[documents.terms]
        sums = np.bincount(documents.documents, weighed, minlength=documents.num_documents)
        return sums.astype(np.float64, copy=False)  # without a single pair they are integers

    def largest_scores(self, documents: TermCounts, lengths: NDArray[np.integer]) -> NDArray[np.float64]:
        """The largest of each document's scores for the queries, float64 [m], in O(e Q); arguments as above."""
        scores = np.zeros(documents.num_documents, np.float64)
        if not len(documents.terms):
            return scores
        weights, queries = self._weights(documents, lengths), self.queries
        present, starts = np.unique(documents.documents, return_index=True)
        at_once = max(1, _BLOCK // max(len(weights), len(self.idf)))
        for first in range(0, queries.num_documents, at_once):
            some = slice(*np.searchsorted(queries.documents, [first, first + at_once]))
            table = np.zeros((len(self.idf), min(at_once, queries.num_documents - first)), np.float64)
            table[queries.terms[some], queries.documents[some] - first] = queries.counts[some]
            sums = np.add.reduceat(weights[:, None] * table[documents.terms], starts, axis=0)
            scores[present] = np.maximum(scores[present], sums.max(axis=1))
        return scores

    def _weights(self, documents: TermCounts, lengths: NDArray[np.integer]) -> NDArray[np.float64]:
        """What a term adds to a document's score where a query has it once, float64 [e]."""
        norms = self.k1 * (1 - self.b + self.b * lengths / self.mean_length)
        counts = documents.counts
        return self.idf[documents.terms] * counts * (self.k1 + 1) / (counts + norms[documents.documents])


def inverse_document_frequencies(num_containing: NDArray[np.int64], num_documents: int) -> NDArray[np.float64]:
    """idf of terms, float64 [V], positive.

    Args:
        num_containing: int64 [V], n_t.
        num_documents: N.

    Example:
        >>> inverse_document_frequencies(np.array([0, 10]), 10).round(3).tolist()
        [3.091, 0.047]
    """
    return np.log1p((num_documents - num_containing + 0.5) / (num_containing + 0.5))
