"""record_lengths: whose characters or tokens are counted, and what is refused."""

import numpy as np
import pytest
from datasets import Dataset

from hf_datasel import LongestSelector, Trace, add_example_ids, lengths, record_lengths
from hf_datasel.texts import Answers

CHAT = [
    [{"role": "user", "content": "hello"}, {"role": "assistant", "content": "hi"}],
    [
        {"role": "assistant", "content": "who"},
        {"role": "user", "content": "me"},
        {"role": "assistant", "content": "so"},
    ],
    [{"role": "user", "content": "call it"}, {"role": "assistant", "content": None}],
]


@pytest.fixture(autouse=True)
def small_chunks(monkeypatch):
    monkeypatch.setattr(lengths, "CHUNK_ROWS", 2)


def numbered(**columns):
    return add_example_ids(Dataset.from_dict(columns))


def words(texts, add_special_tokens=True):
    """A tokenizer of words, with two special tokens about them."""
    special = [0] if add_special_tokens else []
    return {"input_ids": [[*special, *text.split(), *special] for text in texts]}


@pytest.mark.parametrize(
    ("columns", "answer", "wanted"),
    [
        ({"text": ["abc", "", "üß"]}, None, ["abc", "", "üß"]),
        ({"prompt": ["a"] * 3, "completion": ["bc", "", "def"], "text": ["-"] * 3}, None, ["bc", "", "def"]),
        ({"messages": CHAT, "completion": ["-"] * 3}, None, ["hi", "who\nso", ""]),
        ({"prompt": [CHAT[0][:1]] * 3, "completion": [one[-1:] for one in CHAT]}, None, ["hi", "so", ""]),
        ({"instruction": ["-"] * 3, "output": ["a", "bb", "c"]}, "output", ["a", "bb", "c"]),
        ({"chat": CHAT}, "chat", ["hi", "who\nso", ""]),
        ({"n": [1, 2, 3]}, lambda row: "x" * row["n"], ["x", "xx", "xxx"]),
    ],
)
def test_what_is_answered_is_counted(columns, answer, wanted):
    dataset = numbered(**columns)
    assert Answers(dataset, answer).read(slice(0, 3)) == wanted
    trace = record_lengths(dataset, answer=answer)
    assert trace.column(0).tolist() == [len(text) for text in wanted]
    assert (trace.metric, trace.complete, trace.info["unit"]) == ("length", True, "characters")


def test_tokens_are_counted_without_special_ones():
    trace = record_lengths(numbered(text=["one two three", "", "four"]), tokenizer=words)
    assert trace.column(0).tolist() == [3, 0, 1]
    assert trace.info["unit"] == "tokens"


def test_a_tokenizer_of_transformers_will_do(tiny_files):
    from transformers import AutoTokenizer

    trace = record_lengths(
        numbered(completion=["red green", "blue"]), tokenizer=AutoTokenizer.from_pretrained(tiny_files.model)
    )
    assert trace.column(0).tolist() == [2, 1]
    assert trace.info["tokenizer"] == str(tiny_files.model)


def test_on_the_disk_it_is_the_same_in_the_order_of_ids(tmp_path):
    dataset = numbered(text=["abc", "a", "", "abcde", "ab"])
    trace = record_lengths(dataset.shuffle(seed=2), output_dir=tmp_path / "lengths")
    assert Trace.load(tmp_path / "lengths").column(0).tolist() == [3, 1, 0, 5, 2]
    assert trace.fingerprint == record_lengths(dataset).fingerprint is not None
    with pytest.raises(FileExistsError, match="pass overwrite=True"):
        record_lengths(dataset, output_dir=tmp_path / "lengths")
    again = record_lengths(dataset, tokenizer=words, output_dir=tmp_path / "lengths", overwrite=True)
    assert Trace.load(tmp_path / "lengths").values.tolist() == again.values.tolist()


def test_the_longest_are_kept_and_the_seed_breaks_ties():
    trace = record_lengths(numbered(text=["abc", "a", "ab", "abcd", "bc"]))
    assert LongestSelector(budget=2).select(trace).ids.tolist() == [0, 3]
    kept = {tuple(LongestSelector(budget=3, seed=seed).select(trace).ids.tolist()) for seed in range(30)}
    assert kept == {(0, 2, 3), (0, 3, 4)}
    assert LongestSelector(threshold=2).select(trace).ids.tolist() == [0, 2, 3, 4]
    with pytest.raises(
        ValueError, match="reads a Trace of the metric 'length', recorded by record_lengths, not one of"
    ):
        LongestSelector(budget=1).select(Trace.from_arrays([1], np.ones((1, 1))))


def test_what_has_no_answer_is_named():
    with pytest.raises(ValueError, match=r"dataset has no column 'text', .* as in answer='instruction'"):
        record_lengths(numbered(prompt=["a"], output=["b"]))
    with pytest.raises(
        ValueError, match=r"Row 1 of dataset has no text in 'completion' but NoneType: .* pass answer="
    ):
        record_lengths(numbered(completion=["a", None]))
    with pytest.raises(ValueError, match="no column 'example_id'"):
        record_lengths(Dataset.from_dict({"text": ["a"]}))
    with pytest.raises(TypeError, match="answer=3 must be a column's name"):
        record_lengths(numbered(text=["a"]), answer=3)
    with pytest.raises(TypeError, match="record_lengths: dataset is a stream"):
        record_lengths(numbered(text=["a"]).to_iterable_dataset())
