"""record_dsir: what it writes, what it refuses, and that a killed run goes on."""

import numpy as np
import pytest
from datasets import Dataset

from hf_datasel import DSIRSelector, Trace, add_example_ids, hashed_rows, record_dsir
from hf_datasel.functional import importance_resampling
from tests.functional.test_importance_resampling import log_weights_of

WORDS = np.array(["red", "green", "blue", "one", "two", "plus", "is", "so", "?", "..."])


def sentences(num_rows, seed, first=0):
    generator = np.random.default_rng(seed)
    return [" ".join(generator.choice(WORDS[first:], size=generator.integers(1, 12))) for _ in range(num_rows)]


RAW, TARGET = sentences(40, 0), sentences(9, 1, first=3)


def numbered(texts, **columns):
    return add_example_ids(Dataset.from_dict({"text": texts, **columns}))


def as_target(texts):
    return Dataset.from_dict({"text": texts})


@pytest.fixture(autouse=True)
def small_chunks(monkeypatch):
    monkeypatch.setattr(hashed_rows, "CHUNK_ROWS", 7)


def test_the_trace_holds_the_log_weights_of_the_formula(tmp_path):
    dataset = numbered(RAW)
    trace = record_dsir(dataset.shuffle(seed=3), as_target(TARGET), output_dir=tmp_path / "dsir", num_buckets=100)
    assert (trace.metric, trace.num_checkpoints, trace.complete) == ("dsir", 1, True)
    assert trace.fingerprint is not None
    wanted = np.float32(log_weights_of(RAW, TARGET, 2, 100))
    # 23 summands of at most 37, and the rounding to float32
    np.testing.assert_allclose(trace.column(0), wanted, rtol=2 * np.finfo(np.float32).eps, atol=1e-11)
    assert np.array_equal(Trace.load(tmp_path / "dsir").values, trace.values)
    assert trace.info.items() >= {"num_buckets": 100, "ngrams": 2, "min_tokens": 0, "text": "text"}.items()
    assert [path.name for path in tmp_path.iterdir()] == ["dsir"]


def test_in_memory_it_is_the_same(tmp_path):
    dataset, target = numbered(RAW), as_target(TARGET)
    on_disk = record_dsir(dataset, target, output_dir=tmp_path / "dsir")
    in_memory = record_dsir(dataset, target)
    assert np.array_equal(on_disk.values, in_memory.values)
    assert in_memory.fingerprint == on_disk.fingerprint
    assert in_memory.complete
    assert DSIRSelector(budget=5).select(in_memory).ids.tolist() == DSIRSelector(budget=5).select(on_disk).ids.tolist()


def test_prompts_and_completions_or_a_function_say_the_text():
    dataset, target = numbered(RAW), as_target(TARGET)
    wanted = record_dsir(dataset, target).values
    by_function = record_dsir(dataset, target, text=lambda row: row["text"])
    assert np.array_equal(by_function.values, wanted)
    halves = {
        "prompt": [text.split(" ", 1)[0] for text in RAW],
        "completion": [(text + " ").split(" ", 1)[1] for text in RAW],
    }
    assert np.array_equal(record_dsir(add_example_ids(Dataset.from_dict(halves)), target).values, wanted)


def test_rows_without_words_or_with_too_few_are_never_kept_but_count():
    texts = ["", *RAW, " \n", "one"]
    full = record_dsir(numbered(texts), as_target(TARGET))
    assert {reason: ids.tolist() for reason, ids in full.unmeasurable.items()} == {"no word": [0, 41]}
    assert 0 not in DSIRSelector(budget=1.0).select(full).ids
    cut = record_dsir(numbered(texts), as_target(TARGET), min_tokens=4)
    tokens = [len(importance_resampling.tokenize(text)) for text in texts]
    kept = DSIRSelector(budget=1.0).select(cut).ids
    assert kept.tolist() == [row for row, num_tokens in enumerate(tokens) if num_tokens >= 4]
    assert np.array_equal(cut.column(0)[kept], full.column(0)[kept])
    assert 42 in cut.unmeasurable["fewer than 4 words"]


def test_a_dataset_for_its_own_target_is_a_uniform_draw_and_says_so():
    dataset = numbered(RAW)
    with pytest.warns(UserWarning, match="every log weight is 0, and DSIR is a uniform draw"):
        trace = record_dsir(dataset, dataset)
    assert not trace.values.any()


class Killed(Exception):
    """What a test kills a run with."""


@pytest.fixture
def hashed_texts(monkeypatch):
    """The texts that were hashed; after `limit` of the dataset's chunks the run is killed."""
    seen = {"texts": [], "limit": None}

    def counting(texts, buckets, ngrams):
        if seen["limit"] is not None and len(seen["texts"]) >= seen["limit"]:
            raise Killed
        seen["texts"].extend(texts)
        return importance_resampling.hash_texts(texts, buckets, ngrams)

    monkeypatch.setattr(hashed_rows, "hash_texts", counting)
    return seen


def test_a_killed_run_goes_on_where_it_stopped(tmp_path, hashed_texts):
    dataset, target = numbered(RAW), as_target(TARGET)
    wanted = record_dsir(dataset, target).values
    hashed_texts.update(texts=[], limit=len(TARGET) + 21)
    with pytest.raises(Killed):
        record_dsir(dataset, target, output_dir=tmp_path / "dsir")
    assert [path.name for path in tmp_path.iterdir()] == ["dsir.ngrams"]
    hashed_texts.update(texts=[], limit=None)
    assert np.array_equal(record_dsir(dataset, target, output_dir=tmp_path / "dsir").values, wanted)
    assert hashed_texts["texts"] == [*TARGET, *RAW[21:]]
    assert [path.name for path in tmp_path.iterdir()] == ["dsir"]


@pytest.mark.parametrize("change", ["texts", "option", "function"])
def test_what_was_left_of_other_texts_or_options_is_not_taken(tmp_path, hashed_texts, change):
    target, before, after = as_target(TARGET), {}, {}
    rows = numbered(RAW)
    if change == "texts":  # the stamp stays, the texts do not
        after["dataset"] = rows.map(lambda row: {"text": row["text"].replace("red", "green")})
    elif change == "option":
        after["ngrams"] = 1
    else:
        before["text"] = after["text"] = lambda row: row["text"]
    hashed_texts["limit"] = len(TARGET) + 21
    with pytest.raises(Killed):
        record_dsir(**{"dataset": rows, "target_dataset": target, "output_dir": tmp_path / "dsir", **before})
    hashed_texts.update(texts=[], limit=None)
    again = record_dsir(**{"dataset": rows, "target_dataset": target, "output_dir": tmp_path / "dsir", **after})
    assert len(hashed_texts["texts"]) == len(TARGET) + len(RAW)
    assert np.array_equal(again.values, record_dsir(**{"dataset": rows, "target_dataset": target, **after}).values)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"num_buckets": 0}, r"num_buckets=0 must be an int from 1"),
        ({"num_buckets": 1.5}, r"num_buckets=1.5 must be"),
        ({"ngrams": True}, r"ngrams=True must be an int from 1"),
        ({"min_tokens": -1}, r"min_tokens=-1 must be an int from 0"),
        ({"target_dataset": as_target(["", " "])}, r"target_dataset has not one word in its 2 rows"),
        ({"target_dataset": as_target([])}, r"target_dataset has not one word in its 0 rows"),
        ({"dataset": numbered(["\n"])}, r"dataset has not one word in its 1 rows"),
        ({"dataset": as_target(RAW)}, r"no column 'example_id'"),
        ({"text": "answer"}, r"dataset has no column 'answer'"),
    ],
)
def test_bad_input_is_named(options, message):
    with pytest.raises(ValueError, match=message):
        record_dsir(**{"dataset": numbered(RAW), "target_dataset": as_target(TARGET), **options})


def test_a_stream_and_splits_are_refused():
    target = as_target(TARGET)
    with pytest.raises(TypeError, match="dataset is a stream"):
        record_dsir(numbered(RAW).to_iterable_dataset(), target)
    with pytest.raises(TypeError, match="target_dataset works on one dataset"):
        record_dsir(numbered(RAW), {"train": target})


def test_what_is_there_is_not_replaced_unasked(tmp_path, hashed_texts):
    dataset, target = numbered(RAW), as_target(TARGET)
    record_dsir(dataset, target, output_dir=tmp_path / "dsir")
    hashed_texts["texts"].clear()
    with pytest.raises(FileExistsError, match="pass overwrite=True"):
        record_dsir(dataset, target, output_dir=tmp_path / "dsir")
    assert hashed_texts["texts"] == []
    trace = record_dsir(dataset, as_target(["red"]), output_dir=tmp_path / "dsir", overwrite=True)
    assert np.array_equal(Trace.load(tmp_path / "dsir").values, trace.values)
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine.ngrams").mkdir()
    (tmp_path / "mine.ngrams" / "letter").write_text("dear")
    with pytest.raises(FileExistsError, match="holds no folder of hashed n-grams"):
        record_dsir(dataset, target, output_dir=tmp_path / "mine")
