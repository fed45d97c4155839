"""The content digest sees every value and nothing of how Arrow holds it."""

import datetime
import hashlib
import struct

import numpy as np
import pyarrow as pa
import pytest
from datasets import Dataset
from hypothesis import given, settings
from hypothesis import strategies as st

from hf_datasel import content
from hf_datasel.content import content_digest, row_digests

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


def said(kind, values):
    """What one column says, written down value by value from Python's objects; None is null."""
    nested = pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind)
    name = "struct" if pa.types.is_struct(kind) else "list" if nested else str(kind).removeprefix("large_")
    flags = "".join("0" if value is None else "1" for value in values)
    flags += "0" * (-len(flags) % 8)
    head = f"{name} {len(values)};".encode() + bytes(int(flags[k : k + 8], 2) for k in range(0, len(flags), 8))
    if name == "struct":
        fields = sorted(kind, key=lambda field: field.name)
        return head + b"".join(
            f"field {field.name!r}".encode()
            + said(field.type, [None if value is None else value[field.name] for value in values])
            for field in fields
        )
    there = [value.encode() if isinstance(value, str) else value for value in values if value is not None]
    if nested or name in ("string", "binary"):
        head += b"".join(struct.pack("<q", len(value)) for value in there)
        return head + (
            said(kind.value_type, [item for value in there for item in value]) if nested else b"".join(there)
        )
    if name in ("bool", "int32", "int64", "float", "double"):
        return head + np.array(there, kind.to_pandas_dtype()).tobytes()
    return head + repr(there).encode()


def slow_row_digests(arrow, columns):
    digests = []
    for row in arrow.to_pylist():
        digest = hashlib.blake2b(bytes(8), digest_size=16)  # the id 0
        for name in columns:
            column = hashlib.blake2b(said(arrow.schema.field(name).type, [row[name]]), digest_size=16)
            digest.update(f"column {name!r} {column.hexdigest()}".encode())
        digests.append(digest.hexdigest())
    return digests


class TestRows:
    @given(st.lists(rows, min_size=1, max_size=30), st.data())
    @settings(deadline=None, max_examples=30)
    def test_each_is_what_python_writes_down_of_it_however_it_is_held(self, content, data):
        columns = tuple(KINDS)
        slow = slow_row_digests(table(content), columns)
        cut = data.draw(st.integers(0, len(content)))
        wide_text = pa.struct([(name, pa.large_string()) for name in STRING])
        wide = KINDS | {"text": pa.large_string(), "messages": pa.large_list(wide_text)}
        held = [
            table(content),
            table([content[0], *content, content[0]]).slice(1, len(content)),
            pa.concat_tables([table(content).slice(0, cut), table(content).slice(cut)]),
            table(content, wide),
        ]
        for arrow in held:
            assert row_digests(Dataset(arrow), columns).tolist() == slow
        order = data.draw(st.permutations(range(len(content))))
        assert row_digests(Dataset(held[0]).select(order), columns).tolist() == [slow[row] for row in order]

    @given(st.lists(rows, min_size=1, max_size=6))
    @settings(deadline=None, max_examples=20)
    def test_each_is_the_content_digest_of_the_row_alone(self, content):
        dataset, columns = Dataset(table(content)), tuple(KINDS)
        alone = [content_digest(dataset.select([row]), np.zeros(1, np.int64), columns) for row in range(len(content))]
        assert row_digests(dataset, columns).tolist() == alone

    @pytest.mark.parametrize(
        "array",
        [
            pa.array([[1.0, 2.0], None, [3.0, None]], pa.list_(pa.float64(), 2)),
            pa.array(["x", None, "x"]).dictionary_encode(),
            pa.array([b"\x00", None, b""], pa.large_binary()),
            pa.array([None, None, None]),
            pa.array([datetime.date(2024, 2, 29), None, datetime.date(1970, 1, 1)]),
            pa.array([{"a": None}, None, {"a": [{"b": 1}]}], pa.struct({"a": pa.list_(pa.struct({"b": pa.int64()}))})),
        ],
        ids=lambda array: str(array.type),
    )
    def test_rarer_types(self, array):
        plain = array.dictionary_decode() if pa.types.is_dictionary(array.type) else array
        assert row_digests(Dataset(pa.table({"a": array})), ("a",)).tolist() == slow_row_digests(
            pa.table({"a": plain}), ("a",)
        )

    def test_batches_are_as_small_as_their_rows_are_large(self, monkeypatch):
        values = ["x" * 100 + str(row) for row in range(40)]
        whole = row_digests(Dataset.from_dict({"a": values}), ("a",))
        asked = []

        class Watched:
            dataset = Dataset.from_dict({"a": values}).with_format("arrow")

            def __len__(self):
                return len(self.dataset)

            def select_columns(self, names):
                return self

            def with_format(self, name):
                return self

            def __getitem__(self, where):
                asked.append(where.stop - where.start)
                return self.dataset[where]

        monkeypatch.setattr(content, "FIRST_ROWS", 3)
        monkeypatch.setattr(content, "BATCH_BYTES", 1000)
        assert row_digests(Watched(), ("a",)).tolist() == whole.tolist()
        assert asked[0] == 3
        assert 5 <= max(asked[1:]) <= 10
        assert len(set(whole.tolist())) == 40

    def test_no_rows_have_no_digests(self):
        assert row_digests(Dataset.from_dict({"a": []}), ("a",)).tolist() == []
