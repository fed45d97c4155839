"""The content digest sees every value and nothing of how Arrow holds it."""

import datetime

import numpy as np
import pyarrow as pa
import pytest
from datasets import Dataset
from hypothesis import given, settings
from hypothesis import strategies as st

from hf_datasel import content
from hf_datasel.content import content_digest

texts = st.none() | st.text(max_size=6)
messages = st.none() | st.lists(st.fixed_dictionaries({"role": texts, "content": texts}), max_size=3)
rows = st.fixed_dictionaries(
    {
        "text": texts,
        "messages": messages,
        "tokens": st.none() | st.lists(st.none() | st.integers(-5, 5), max_size=3),
        "score": st.none() | st.floats(width=32, allow_nan=False),
        "flag": st.none() | st.booleans(),
    }
)
STRING = {"role": pa.string(), "content": pa.string()}
KINDS = {
    "text": pa.string(),
    "messages": pa.list_(pa.struct(STRING.items())),
    "tokens": pa.list_(pa.int32()),
    "score": pa.float32(),
    "flag": pa.bool_(),
}


def table(content, kinds=KINDS):
    return pa.table({name: pa.array([row[name] for row in content], kind) for name, kind in kinds.items()})


def digest(arrow, ids=None):
    dataset = Dataset(arrow)
    ids = np.arange(len(dataset)) if ids is None else ids
    return content_digest(dataset, ids, tuple(sorted(dataset.column_names)))


@given(st.lists(rows, min_size=1, max_size=8), st.lists(rows, min_size=1, max_size=8))
@settings(deadline=None, max_examples=60)
def test_two_tables_have_one_digest_only_if_they_say_the_same(first, second):
    # to_pylist has one order of keys, whatever order the rows' dictionaries were made in; repr tells 0.0 from -0.0.
    same = repr(table(first).to_pylist()) == repr(table(second).to_pylist())
    assert (digest(table(first)) == digest(table(second))) == same


@given(st.lists(rows, min_size=2, max_size=8), st.data())
@settings(deadline=None, max_examples=30)
def test_chunks_offsets_order_and_wide_types_leave_no_trace(content, data):
    expected = digest(table(content))
    cut = data.draw(st.integers(0, len(content)))
    padded = table([content[0], *content, content[0]]).slice(1, len(content))
    chunked = pa.concat_tables([table(content).slice(0, cut), table(content).slice(cut)])
    wide_text = pa.struct([(name, pa.large_string()) for name in STRING])
    wide = KINDS | {
        "text": pa.large_string(),
        "messages": pa.large_list(wide_text),
        "tokens": pa.large_list(pa.int32()),
    }
    assert {digest(padded), digest(chunked), digest(table(content, wide))} == {expected}
    order = np.array(data.draw(st.permutations(range(len(content)))))
    assert digest(table([content[position] for position in order]), ids=order) == expected


def test_what_lies_behind_a_null_leaves_no_trace():
    values, valid = np.array([1, 2, 3]), pa.py_buffer(bytes([0b101]))
    hidden = [pa.Array.from_buffers(pa.int64(), 3, [valid, pa.py_buffer(values * [1, k, 1])]) for k in (1, 50)]
    assert len({digest(pa.table({"a": array})) for array in hidden}) == 1


def test_dictionaries_leave_no_trace():
    plain = pa.array(["x", "y", "x", None])
    assert digest(pa.table({"a": plain})) == digest(pa.table({"a": plain.dictionary_encode()}))


def test_batches_leave_no_gap(monkeypatch):
    values = list(range(25))
    monkeypatch.setattr(content, "BATCH_ROWS", 10)
    digests = {digest(pa.table({"a": [*values[:row], -1, *values[row + 1 :]]})) for row in range(25)}
    assert len(digests) == 25


@pytest.mark.parametrize(
    ("first", "second"),
    [
        (["ab", "c"], ["a", "bc"]),
        ([["a"], []], [[], ["a"]]),
        ([None, ""], ["", None]),
        ([None], [[]]),
        ([1], [1.0]),
        ([datetime.date(2020, 1, 1)], [datetime.date(2020, 1, 2)]),
    ],
)
def test_neighbours_are_told_apart(first, second):
    kind = pa.list_(pa.int64()) if first == [None] else None
    assert digest(pa.table({"a": pa.array(first, kind)})) != digest(pa.table({"a": pa.array(second, kind)}))


def test_the_digest_is_the_same_on_every_machine_and_day():
    content = [
        {"text": "é", "messages": [{"role": "user", "content": None}], "tokens": [1], "score": 0.5, "flag": True},
        {"text": None, "messages": None, "tokens": None, "score": None, "flag": None},
    ]
    assert digest(table(content)) == "f73c018eecbc3a61f091680ad93bf894"
