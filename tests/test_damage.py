"""Rows that are bad on purpose: what stays, what changes, what is refused."""

from __future__ import annotations

from collections import Counter

import pytest
from datasets import Dataset
from hypothesis import given, settings
from hypothesis import strategies as st

from hf_datasel import damaged
from hf_datasel.damage import DAMAGES

ANSWERS = st.lists(st.text("ab \n", min_size=1, max_size=12), min_size=2, max_size=12, unique=True)


def pairs(answers: list[str]) -> Dataset:
    return Dataset.from_dict({"prompt": [f"q{n}" for n in range(len(answers))], "completion": answers})


@given(answers=ANSWERS, seed=st.integers(0, 100))
@settings(deadline=None, max_examples=40)
def test_mismatched_answers_are_the_same_ones_and_none_keeps_its_place(answers: list[str], seed: int) -> None:
    found = damaged(pairs(answers), "mismatched", seed)
    assert found["prompt"][:] == pairs(answers)["prompt"][:]
    assert sorted(found["completion"][:]) == sorted(answers)
    assert all(own != other for own, other in zip(answers, found["completion"][:], strict=True))


@given(answers=ANSWERS, seed=st.integers(0, 100))
@settings(deadline=None, max_examples=40)
def test_truncated_answers_begin_as_they_did_and_keep_a_word(answers: list[str], seed: int) -> None:
    for own, cut in zip(answers, damaged(pairs(answers), "truncated", seed)["completion"][:], strict=True):
        assert own.startswith(cut)
        assert len(cut.split()) == (max(1, len(cut.split())) if own.split() else 0)
        assert len(cut.split()) <= max(1, len(own.split()) // 2)


@given(answers=ANSWERS, seed=st.integers(0, 100))
@settings(deadline=None, max_examples=40)
def test_shuffled_answers_have_the_same_words_between_the_same_blanks(answers: list[str], seed: int) -> None:
    for own, mixed in zip(answers, damaged(pairs(answers), "shuffled", seed)["completion"][:], strict=True):
        assert Counter(own.split()) == Counter(mixed.split())
        assert [c for c in own if c.isspace()] == [c for c in mixed if c.isspace()]
        assert own[: len(own) - len(own.lstrip())] == mixed[: len(mixed) - len(mixed.lstrip())]


@pytest.mark.parametrize("kind", DAMAGES)
@pytest.mark.parametrize("column", ["messages", "completion"])
def test_only_the_last_turn_of_a_conversation_is_damaged(kind: str, column: str) -> None:
    def turns(number: int) -> list[dict[str, str]]:
        answer = {"role": "assistant", "content": f"one{number} two three four five six"}
        return [answer] if column == "completion" else [{"role": "user", "content": "why"}, answer]

    columns = {column: [turns(number) for number in range(4)], "source": ["a", "b", "c", "d"]}
    if column == "completion":
        columns["prompt"] = [[{"role": "user", "content": "why"}] for _ in range(4)]
    rows = Dataset.from_dict(columns)
    found = damaged(rows, kind)
    assert found["source"][:] == ["a", "b", "c", "d"]
    for before, after in zip(rows[column], found[column], strict=True):
        assert before[:-1] == after[:-1]
        assert after[-1]["role"] == "assistant"
        assert before[-1]["content"] != after[-1]["content"]
    assert rows[column][0] == turns(0)


def test_ids_are_left_out_and_the_seed_decides() -> None:
    rows = pairs([f"answer {n}" for n in range(20)]).add_column("example_id", list(range(20)))
    first, again, other = (damaged(rows, "mismatched", seed)["completion"][:] for seed in (1, 1, 2))
    assert first == again != other
    assert "example_id" not in damaged(rows, "mismatched").column_names


@pytest.mark.parametrize(
    ("rows", "kind", "message"),
    [
        (pairs(["a", "b"]), "burnt", "kind='burnt' must be one of"),
        (Dataset.from_dict({"text": ["a", "b"]}), "mismatched", "needs columns 'prompt' and 'completion'"),
        (pairs(["same", "same", "other"]), "mismatched", "so many equal answers"),
        (pairs(["one"]), "mismatched", "1 rows with so many equal answers"),
    ],
)
def test_what_cannot_be_damaged_is_refused(rows: Dataset, kind: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        damaged(rows, kind)
