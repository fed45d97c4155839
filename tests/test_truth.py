"""What a column says of the rows is what the Trace holds, whatever kind of column it is."""

from typing import Any

import numpy as np
import pytest
from datasets import ClassLabel, Dataset
from hypothesis import given, settings
from hypothesis import strategies as st

from hf_datasel import OracleSelector, Trace, add_example_ids, record_truth

KINDS = ["clean", "short", "False"]


def dataset(flags: list[int], shift: int = 0) -> Dataset:
    """Rows of which `KINDS[flag]` is the kind, in several columns; ids are not the rows' numbers."""
    rows = Dataset.from_dict(
        {
            "kind": [KINDS[flag] for flag in flags],
            "label": flags,
            "number": flags,
            "is_clean": [flag == 0 for flag in flags],
            "example_id": [(number * 7 + shift) % 1009 for number in range(len(flags))],
        }
    )
    return add_example_ids(rows.cast_column("label", ClassLabel(names=KINDS)))


SAYING: list[tuple[str, Any]] = [("kind", "clean"), ("label", "clean"), ("number", 0), ("is_clean", True)]


@settings(max_examples=30, deadline=None)
@given(st.lists(st.integers(0, 2), min_size=1, max_size=30), st.integers(0, 1008), st.sampled_from(SAYING))
def test_a_row_is_good_where_its_column_says_so(flags: list[int], shift: int, saying: tuple[str, Any]) -> None:
    rows = dataset([*flags, 0], shift)
    column, good = saying
    trace = record_truth(rows, column, good=good)
    expected = sorted((row["example_id"], float(row["kind"] == "clean")) for row in rows)
    assert list(zip(trace.ids.tolist(), trace.column(0).tolist(), strict=True)) == expected
    assert trace.fingerprint is not None
    kept = OracleSelector().select(trace).ids.tolist()
    assert kept == [number for number, is_clean in expected if is_clean]


def test_a_column_may_mark_the_bad_rows() -> None:
    rows = dataset([0, 1, 0, 2])
    assert record_truth(rows, "is_clean", good=False).column(0).tolist() == [0.0, 1.0, 0.0, 1.0]
    assert record_truth(rows, "kind", good="False").column(0).tolist() == [0.0, 0.0, 0.0, 1.0]


def test_it_is_kept_where_a_folder_is_given(tmp_path: Any) -> None:
    record_truth(dataset([0, 1]), "kind", good="clean", output_dir=tmp_path / "truth")
    trace = Trace.load(tmp_path / "truth")
    assert (trace.metric, trace.info["column"], trace.info["good"]) == ("clean", "kind", "clean")
    np.testing.assert_array_equal(trace.column(0), [1, 0])
    with pytest.raises(FileExistsError, match="overwrite=True"):
        record_truth(dataset([0, 1]), "kind", good="clean", output_dir=tmp_path / "truth")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"column": "cleen"}, "no column 'cleen', only "),
        ({"column": "kind"}, "column 'kind' is of string, and good=True is no value of it: name a column of booleans"),
        ({"column": "number"}, "column 'number' is of int64, and good=True"),
        ({"column": "is_clean", "good": "True"}, "column 'is_clean' is of bool, and good='True'"),
        ({"column": "is_clean", "good": 1}, "column 'is_clean' is of bool, and good=1"),
        ({"column": "kind", "good": "claen"}, r"no row has good='claen' in column 'kind', only \['clean', 'short'\]"),
        ({"column": "texts", "good": True}, "column 'texts' is of lists"),
        ({"column": "gaps", "good": True}, r"Row 1 \(example 1\) has no label in column 'gaps'"),
    ],
)
def test_what_is_no_truth_is_refused(options: dict[str, Any], message: str) -> None:
    rows = Dataset.from_dict(
        {
            "kind": ["clean", "short"],
            "number": [1, 0],
            "is_clean": [True, False],
            "texts": [["a"], ["b"]],
            "gaps": [True, None],
        }
    )
    with pytest.raises(ValueError, match=message):
        record_truth(add_example_ids(rows), **options)


def test_a_stream_is_refused() -> None:
    with pytest.raises(TypeError, match="is a stream"):
        record_truth(dataset([0, 1]).to_iterable_dataset(), "is_clean")
