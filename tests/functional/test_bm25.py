"""BM25 against the formula written out over tokens."""

import math
from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hf_datasel.functional import bm25
from hf_datasel.functional.bm25 import BM25, TermCounts, inverse_document_frequencies

TEXTS = st.lists(st.lists(st.sampled_from("abcdefg"), max_size=9), min_size=1, max_size=7)


def scores_of(documents, queries, k1=1.5, b=0.75):
    """Obviously correct, but slow: a list of the scores for all queries for each document, of tokens."""
    mean_length = sum(map(len, documents)) / len(documents)

    def idf(term):
        containing = sum(term in document for document in documents)
        return math.log(1 + (len(documents) - containing + 0.5) / (containing + 0.5))

    def score(document, query):
        counts = Counter(document)
        norm = k1 * (1 - b + b * len(document) / mean_length)
        return sum(idf(term) * counts[term] * (k1 + 1) / (counts[term] + norm) for term in query if counts[term])

    return [[score(document, query) for query in queries] for document in documents]


def counted(texts, vocabulary):
    """Term counts of lists of tokens, and their lengths."""
    number = {term: position for position, term in enumerate(vocabulary)}
    tokens = [number.get(token, len(vocabulary)) for text in texts for token in text]
    lengths = np.array([len(text) for text in texts])
    return TermCounts.of(lengths, np.array(tokens, np.int64), len(vocabulary)), lengths


@given(
    documents=TEXTS.filter(any),
    queries=TEXTS.filter(any),
    k1=st.sampled_from([0.0, 1.5, 4.0]),
    b=st.sampled_from([0.0, 0.75, 1.0]),
    block=st.sampled_from([1, 40, 1 << 22]),
)
def test_means_and_maxima_are_those_of_the_formula(documents, queries, k1, b, block):
    vocabulary = sorted(set().union(*queries))
    terms, lengths = counted(documents, vocabulary)
    idf = inverse_document_frequencies(terms.num_containing(), len(documents))
    scorer = BM25(counted(queries, vocabulary)[0], idf, float(lengths.mean()), k1, b)
    wanted = np.array(scores_of(documents, queries, k1, b))
    # some sixty positive terms in float64
    np.testing.assert_allclose(scorer.mean_scores(terms, lengths), wanted.mean(axis=1), rtol=1e-13)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(bm25, "_BLOCK", block)
        np.testing.assert_allclose(scorer.largest_scores(terms, lengths), wanted.max(axis=1), rtol=1e-13)


@given(texts=TEXTS, vocabulary=st.sets(st.sampled_from("abcdefg"), min_size=1).map(sorted))
def test_counts_are_of_the_terms_alone(texts, vocabulary):
    terms, _ = counted(texts, vocabulary)
    pairs = zip(terms.documents.tolist(), terms.terms.tolist(), terms.counts.tolist(), strict=True)
    assert {(document, vocabulary[term]): count for document, term, count in pairs} == {
        (number, term): count for number, text in enumerate(texts) for term, count in Counter(text).items()
        if term in vocabulary
    }  # fmt: skip
    assert terms.num_containing().tolist() == [sum(term in text for text in texts) for term in vocabulary]


def test_a_term_that_all_documents_have_still_counts_for_them():
    assert (inverse_document_frequencies(np.arange(11), 10) > 0).all()
    assert (np.diff(inverse_document_frequencies(np.arange(11), 10)) < 0).all()
