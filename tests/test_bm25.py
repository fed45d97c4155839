"""record_bm25: what it writes, what it refuses, and that a killed run goes on."""

import numpy as np
import pytest

from hf_datasel import BM25Selector, Trace, bm25, record_bm25
from hf_datasel.functional import importance_resampling
from hf_datasel.functional.importance_resampling import tokenize
from tests.functional.test_bm25 import scores_of
from tests.test_dsir import RAW, TARGET, Killed, as_target, hashed_texts, numbered, small_chunks

__all__ = ["hashed_texts", "small_chunks"]  # fixtures

DOCUMENTS, QUERIES = ([tokenize(text) for text in texts] for texts in (RAW, TARGET))


@pytest.mark.parametrize("combine", ["mean", "max"])
def test_the_trace_holds_the_scores_of_the_formula(tmp_path, combine):
    dataset = numbered(RAW)
    trace = record_bm25(dataset.shuffle(seed=3), as_target(TARGET), combine=combine, output_dir=tmp_path / "bm25")
    assert (trace.metric, trace.num_checkpoints, trace.complete) == ("bm25", 1, True)
    assert trace.fingerprint is not None
    scores = np.array(scores_of(DOCUMENTS, QUERIES))
    wanted = scores.mean(axis=1) if combine == "mean" else scores.max(axis=1)
    # the rounding to float32, of sums that are exact to float64
    np.testing.assert_allclose(trace.column(0), wanted, rtol=np.finfo(np.float32).eps)
    assert np.array_equal(Trace.load(tmp_path / "bm25").values, trace.values)
    assert trace.info.items() >= {"combine": combine, "k1": 1.5, "b": 0.75, "num_target_rows": 9}.items()
    assert [path.name for path in tmp_path.iterdir()] == ["bm25"]
    in_memory = record_bm25(dataset, as_target(TARGET), combine=combine)
    assert np.array_equal(in_memory.values, trace.values)
    best = BM25Selector(budget=5).select(in_memory)
    assert best.ids.tolist() == sorted(np.argsort(-wanted)[:5].tolist())


def test_k1_and_b_are_the_formula_s():
    trace = record_bm25(numbered(RAW), as_target(TARGET), k1=0.4, b=0)
    wanted = np.mean(scores_of(DOCUMENTS, QUERIES, k1=0.4, b=0), axis=1)
    np.testing.assert_allclose(trace.column(0), wanted, rtol=np.finfo(np.float32).eps)


def test_a_function_can_say_the_text():
    wanted = record_bm25(numbered(RAW), as_target(TARGET)).values
    by_function = record_bm25(numbered(RAW), as_target(TARGET), text=lambda row: row["text"])
    assert np.array_equal(by_function.values, wanted)


def test_rows_without_words_are_never_kept_but_count_as_documents():
    texts = ["", *RAW, " \n"]
    trace = record_bm25(numbered(texts), as_target(TARGET))
    assert {reason: ids.tolist() for reason, ids in trace.unmeasurable.items()} == {"no word": [0, 41]}
    wanted = np.mean(scores_of([tokenize(text) for text in texts], QUERIES), axis=1)
    np.testing.assert_allclose(trace.column(0)[1:-1], wanted[1:-1], rtol=np.finfo(np.float32).eps)
    assert len(BM25Selector(budget=1.0).select(trace)) == 40


def test_nothing_in_common_is_a_uniform_draw_and_says_so():
    with pytest.warns(UserWarning, match="every BM25 score is 0, and a selection by them is a uniform draw"):
        trace = record_bm25(numbered(["red", "green"]), as_target(["blue"]), combine="max")
    assert not trace.values.any()


def test_a_killed_run_goes_on_where_it_stopped(tmp_path, hashed_texts):
    dataset, target = numbered(RAW), as_target(TARGET)
    wanted = record_bm25(dataset, target).values
    hashed_texts.update(texts=[], limit=len(TARGET) + 21)
    with pytest.raises(Killed):
        record_bm25(dataset, target, output_dir=tmp_path / "bm25")
    assert [path.name for path in tmp_path.iterdir()] == ["bm25.ngrams"]
    hashed_texts.update(texts=[], limit=None)
    # other options of the score read the same words
    trace = record_bm25(dataset, target, combine="max", output_dir=tmp_path / "bm25")
    assert hashed_texts["texts"] == [*TARGET, *RAW[21:]]
    assert np.array_equal(trace.values, record_bm25(dataset, target, combine="max").values)
    assert not np.array_equal(trace.values, wanted)
    assert [path.name for path in tmp_path.iterdir()] == ["bm25"]


@pytest.mark.parametrize("change", ["texts", "words", "function"])
def test_what_was_left_of_other_texts_or_queries_is_not_taken(tmp_path, hashed_texts, change):
    rows, text = numbered(RAW), (lambda row: row["text"]) if change == "function" else None
    before = after = as_target(TARGET)
    if change == "words":
        after = as_target([*TARGET[:-1], "red door"])
    hashed_texts["limit"] = len(TARGET) + 21
    with pytest.raises(Killed):
        record_bm25(rows, before, text=text, output_dir=tmp_path / "bm25")
    hashed_texts.update(texts=[], limit=None)
    if change == "texts":  # the stamp stays, the texts do not
        rows = rows.map(lambda row: {"text": row["text"].replace("red", "green")})
    again = record_bm25(rows, after, text=text, output_dir=tmp_path / "bm25")
    assert len(hashed_texts["texts"]) == len(TARGET) + len(RAW)
    assert np.array_equal(again.values, record_bm25(rows, after, text=text).values)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"combine": "sum"}, r"combine='sum' must be 'mean' or 'max'"),
        ({"k1": -0.1}, r"k1=-0.1 must be a number of at least 0"),
        ({"k1": np.inf}, r"k1=inf must be"),
        ({"k1": True}, r"k1=True must be"),
        ({"b": 1.01}, r"b=1.01 must be a number from 0 to 1"),
        ({"b": np.nan}, r"b=nan must be"),
        ({"target_dataset": as_target(["", " "])}, r"target_dataset has not one word in its 2 rows"),
        ({"target_dataset": as_target([])}, r"target_dataset has not one word in its 0 rows"),
        ({"dataset": numbered(["\n"])}, r"dataset has not one word in its 1 rows"),
        ({"dataset": as_target(RAW)}, r"no column 'example_id'"),
        ({"text": "answer"}, r"dataset has no column 'answer'"),
    ],
)
def test_bad_input_is_named(options, message):
    with pytest.raises(ValueError, match=message):
        record_bm25(**{"dataset": numbered(RAW), "target_dataset": as_target(TARGET), **options})


def test_a_stream_and_splits_are_refused():
    target = as_target(TARGET)
    with pytest.raises(TypeError, match="record_bm25: dataset is a stream"):
        record_bm25(numbered(RAW).to_iterable_dataset(), target)
    with pytest.raises(TypeError, match="target_dataset works on one dataset"):
        record_bm25(numbered(RAW), {"train": target})


def test_what_is_there_is_not_replaced_unasked(tmp_path):
    dataset, target = numbered(RAW), as_target(TARGET)
    record_bm25(dataset, target, output_dir=tmp_path / "bm25")
    with pytest.raises(FileExistsError, match="pass overwrite=True"):
        record_bm25(dataset, target, output_dir=tmp_path / "bm25")
    trace = record_bm25(dataset, as_target(["red"]), output_dir=tmp_path / "bm25", overwrite=True)
    assert np.array_equal(Trace.load(tmp_path / "bm25").values, trace.values)


def test_the_words_of_the_target_alone_are_remembered():
    vocabulary = bm25.Vocabulary(["a", "b"])
    hashed = importance_resampling.hash_texts(["b c a", "d"], vocabulary, 1)
    assert hashed.buckets.tolist() == [1, 2, 0, 2]
    assert len(vocabulary) == 2


def test_the_dataset_may_be_its_own_target():
    dataset = numbered(RAW)
    trace = record_bm25(dataset, dataset, combine="max")
    wanted = np.array(scores_of(DOCUMENTS, DOCUMENTS)).max(axis=1)
    np.testing.assert_allclose(trace.column(0), wanted, rtol=np.finfo(np.float32).eps)
