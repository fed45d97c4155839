"""Rows that are bad on purpose: what is damaged, what is not, and that the rows given are left alone."""

import random
import re

import numpy as np
import pytest
from datasets import Dataset, Features, Value
from hypothesis import given
from hypothesis import strategies as st

from hf_datasel import add_example_ids, damaged
from hf_datasel.damage import LONGEST, SHORTEST

KINDS = ("mismatched", "truncated", "shuffled")
BLANKS = st.text(alphabet=" \n\t", min_size=1, max_size=3)
ANSWERS = st.builds(
    lambda lead, words, blanks: lead + "".join(word + blank for word, blank in zip(words, blanks, strict=False)),
    st.sampled_from(["", " ", "\n"]),
    st.lists(st.text(alphabet="abcé中", min_size=1, max_size=4), max_size=12),
    st.lists(BLANKS, min_size=12, max_size=12),
)


def pairs(answers: list[str]) -> Dataset:
    return Dataset.from_dict(
        {
            "prompt": [f"question {row}" for row in range(len(answers))],
            "completion": answers,
            "source": ["a"] * len(answers),
        }
    )


def chats(answers: list[str], column: str = "messages") -> Dataset:
    turns = [[{"role": "user", "content": f"q{row}"}] * (column == "messages") for row in range(len(answers))]
    rows = [[*before, {"role": "assistant", "content": text}] for before, text in zip(turns, answers, strict=True)]
    columns = {column: rows}
    if column == "completion":
        columns["prompt"] = [[{"role": "user", "content": f"q{row}"}] for row in range(len(answers))]
    return Dataset.from_dict(columns)


def words(text: str) -> list[str]:
    return re.findall(r"\S+", text)


@given(answers=st.lists(ANSWERS, min_size=2, max_size=8, unique=True), seed=st.integers(0, 2**31))
def test_mismatched_answers_are_all_another_rows(answers: list[str], seed: int) -> None:
    found = damaged(pairs(answers), "mismatched", seed)["completion"][:]
    assert sorted(found) == sorted(answers)
    assert all(own != other for own, other in zip(answers, found, strict=True))


@given(answers=st.lists(ANSWERS, min_size=1, max_size=8), seed=st.integers(0, 2**31))
def test_truncated_answers_break_off_after_a_word(answers: list[str], seed: int) -> None:
    for whole, part in zip(answers, damaged(pairs(answers), "truncated", seed)["completion"][:], strict=True):
        assert whole.startswith(part)
        kept, all_words = words(part), words(whole)
        assert kept == all_words[: len(kept)]
        if all_words:
            assert max(1, int(SHORTEST * len(all_words))) <= len(kept) <= max(1, LONGEST * len(all_words))
        else:
            assert part == whole


@given(answers=st.lists(ANSWERS, min_size=1, max_size=8), seed=st.integers(0, 2**31))
def test_shuffled_answers_keep_their_words_and_their_blanks(answers: list[str], seed: int) -> None:
    for whole, mixed in zip(answers, damaged(pairs(answers), "shuffled", seed)["completion"][:], strict=True):
        assert sorted(words(mixed)) == sorted(words(whole))
        assert re.split(r"\S+", mixed) == re.split(r"\S+", whole)


def test_words_do_change_places() -> None:
    text = " ".join(str(number) for number in range(30))
    found = damaged(pairs([text, text]), "shuffled")["completion"][:]
    assert len({text, *found}) == 3


@pytest.mark.parametrize("kind", KINDS)
def test_all_but_the_answer_stays_and_the_seed_decides(kind: str) -> None:
    dataset = add_example_ids(pairs([f" {row} b c d e f g h i j k l" for row in range(9)]))
    before = dataset.to_dict()
    random.seed(0)
    state = random.getstate(), np.random.get_state()[1].tolist()  # noqa: NPY002 (the global one)
    found = damaged(dataset, kind, seed=3)
    assert (random.getstate(), np.random.get_state()[1].tolist()) == state  # noqa: NPY002 (the global one)
    assert dataset.to_dict() == before
    assert set(found.column_names) == {"prompt", "completion", "source"}
    assert found["prompt"][:] == dataset["prompt"][:]
    assert found["completion"][:] == damaged(dataset, kind, seed=3)["completion"][:]
    assert found["completion"][:] != damaged(dataset, kind, seed=4)["completion"][:]
    assert found["completion"][:] != dataset["completion"][:]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("column", ["messages", "completion"])
def test_conversations(kind: str, column: str) -> None:
    answers = [f" {row} b c d e f g h i j k l" for row in range(5)]
    found = damaged(chats(answers, column), kind, seed=1)
    plain = damaged(pairs(answers), kind, seed=1)["completion"][:]
    for row, value in enumerate(found[column]):
        assert value[-1] == {"role": "assistant", "content": plain[row]}
        assert value[:-1] == chats(answers, column)[row][column][:-1]
    assert found.features[column] == chats(answers, column).features[column]


def test_the_kind_of_a_column_stays() -> None:
    features = Features({"prompt": Value("string"), "completion": Value("large_string")})
    dataset = Dataset.from_dict({"prompt": ["a", "b"], "completion": ["c d", "e f"]}, features=features)
    assert damaged(dataset, "truncated").features["completion"] == Value("large_string")


@pytest.mark.parametrize(
    ("dataset", "kind", "match"),
    [
        (pairs(["a", "b"]), "rotten", r"kind='rotten' must be one of \['mismatched', 'shuffled', 'truncated'\]"),
        (Dataset.from_dict({"text": ["a"]}), "truncated", r"needs columns 'prompt' and 'completion'.*\['text'\]"),
        (pairs(["a"]), "mismatched", "1 rows with so many equal answers"),
        (pairs(["a", "a", "b"]), "mismatched", "3 rows with so many equal answers cannot all get another one"),
    ],
)
def test_what_cannot_be_damaged(dataset: Dataset, kind: str, match: str) -> None:
    with pytest.raises(ValueError, match=match):
        damaged(dataset, kind)
