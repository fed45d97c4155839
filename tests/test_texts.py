"""Rows as plain text: which columns are read, how, and what is refused."""

import numpy as np
import pytest
from datasets import Dataset

from hf_datasel.texts import Texts

CHAT = [
    [{"role": "user", "content": "hello"}, {"role": "assistant", "content": "hi"}],
    [{"role": "user", "content": "call it"}, {"role": "assistant", "content": None}],
]


@pytest.mark.parametrize(
    ("columns", "wanted"),
    [
        ({"text": ["a", "b"], "source": ["x", "y"]}, ["a", "b"]),
        ({"completion": ["4", "5"], "prompt": ["2+2", "2+3"], "text": ["-", "-"]}, ["2+2\n4", "2+3\n5"]),
        ({"prompt": [CHAT[0][:1], CHAT[1][:1]], "completion": [CHAT[0][1:], CHAT[1][1:]]}, ["hello\nhi", "call it\n"]),
        ({"messages": CHAT, "prompt": ["-", "-"], "completion": ["-", "-"]}, ["hello\nhi", "call it"]),
    ],
)
def test_the_format_says_what_the_text_is(columns, wanted):
    assert Texts(Dataset.from_dict(columns)).read(slice(0, 2)) == wanted


def test_a_column_or_a_function_can_say_it_instead():
    rows = Dataset.from_dict({"text": ["-", "-", "-"], "note": ["a", "b", "c"], "number": [1, 2, 3]})
    by_name = Texts(rows, "note")
    assert by_name.read(np.array([2, 0])) == ["c", "a"]
    assert (by_name.columns, by_name.description) == (("note",), "note")
    by_function = Texts(rows, lambda row: row["note"] * row["number"])
    assert by_function.read(slice(1, 5)) == ["bb", "ccc"]
    assert by_function.columns is None
    assert "lambda" in by_function.description


def test_a_format_of_the_dataset_does_not_matter():
    rows = Dataset.from_dict({"text": ["a", "b"]})
    assert Texts(rows.with_format("numpy")).read(slice(0, 2)) == ["a", "b"]


def test_what_is_no_text_is_refused_by_row_and_column():
    empty = Texts(Dataset.from_dict({"text": ["a", None, "c"]}), what="target_dataset")
    with pytest.raises(ValueError, match=r"Row 1 of target_dataset has no text in 'text' but NoneType"):
        empty.read(np.array([2, 1]))
    numbers = Texts(Dataset.from_dict({"text": ["a"], "number": [3]}), lambda row: row["number"])
    with pytest.raises(ValueError, match=r"Row 0 of the dataset has no text in 'text\(\)' but int"):
        numbers.read(slice(0, 1))
    picture = [[{"role": "user", "content": [{"type": "image"}]}]]
    with pytest.raises(ValueError, match=r"Row 0 .* no text in 'messages' but list"):
        Texts(Dataset.from_dict({"messages": picture})).read(slice(0, 1))


def test_a_column_that_is_not_there_is_named_with_those_that_are():
    rows = Dataset.from_dict({"instruction": ["a"], "prompt": ["b"]})
    with pytest.raises(ValueError, match=r"target has no column 'text', only \['instruction', 'prompt'\]"):
        Texts(rows, what="target")
    with pytest.raises(ValueError, match=r"no column 'answer', only"):
        Texts(rows, "answer")
    with pytest.raises(TypeError, match=r"text=3 must be a column's name"):
        Texts(rows, 3)
