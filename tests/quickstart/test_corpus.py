"""The generated corpus: seeded, uneven, redundant, disjoint, and with every truth known."""

from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hf_datasel.quickstart.corpus import Corpus, corrupt, make_corpus
from hf_datasel.quickstart.skills import SKILL_NAMES, SKILLS

SOLVE = {
    "copy": lambda q: q,
    "reverse": lambda q: q[::-1],
    "next": lambda q: [chr((ord(letter) - ord("a") + 1) % 16 + ord("a")) for letter in q],
    "count": lambda q: [str(len(q))],
    "alternate": lambda q: [letter for place, letter in enumerate(q) if place % 2 == 0],
    "sort": lambda q: sorted(q),
    "add": lambda q: list(str(int(q[0] + q[1]) + int(q[3] + q[4]))),
    "merge": lambda q: [q[side * (len(q) // 2 + 1) + k] for k in range(len(q) // 2) for side in (0, 1)],
}


@pytest.fixture(scope="module")
def corpus() -> Corpus:
    return make_corpus(2000, seed=3, corrupted=0.25, num_test_rows=80, num_pretraining_rows=1500)


def columns(corpus: Corpus) -> list[dict[str, list[object]]]:
    return [part.to_dict() for part in (corpus.train, corpus.test, corpus.pretraining, corpus.trusted)]


def test_equal_arguments_give_equal_rows_and_another_seed_gives_others(corpus: Corpus) -> None:
    again = make_corpus(2000, seed=3, corrupted=0.25, num_test_rows=80, num_pretraining_rows=1500)
    other = make_corpus(2000, seed=4, corrupted=0.25, num_test_rows=80, num_pretraining_rows=1500)
    assert columns(again) == columns(corpus)
    for mine, theirs in zip(columns(corpus), columns(other), strict=True):
        assert mine["prompt"] != theirs["prompt"]


def test_global_generators_stay_as_they_were() -> None:
    before = np.random.get_state()[1].tolist()  # noqa: NPY002 - the global generator is what is looked at
    make_corpus(100, num_test_rows=8, num_pretraining_rows=10)
    assert np.random.get_state()[1].tolist() == before  # noqa: NPY002


def test_corruption_changes_no_question(corpus: Corpus) -> None:
    clean = make_corpus(2000, seed=3, num_test_rows=80, num_pretraining_rows=1500)
    assert clean.train["prompt"][:] == corpus.train["prompt"][:]
    assert clean.train["completion"][:] == clean.train["truth"][:] == corpus.train["truth"][:]
    assert not any(clean.train["corrupted"])


@settings(max_examples=30, deadline=None)
@given(num_rows=st.integers(50, 3000))
def test_every_skill_has_its_share_of_the_rows(num_rows: int) -> None:
    train = make_corpus(num_rows, num_test_rows=8, num_pretraining_rows=1).train
    counts = Counter(train["skill"])
    assert len(train) == num_rows
    for skill in SKILLS:
        assert abs(counts[skill.name] - skill.share * num_rows) <= 1
        assert counts[skill.name] >= 1
    assert counts["copy"] > 15 * counts["merge"] or num_rows < 500


def test_shares_add_up_to_all_rows() -> None:
    assert sum(skill.share for skill in SKILLS) == pytest.approx(1)


def test_rows_are_redundant_within_a_skill(corpus: Corpus) -> None:
    distinct = Counter(prompt.split()[0] for prompt in set(corpus.train["prompt"]))
    for skill, count in Counter(corpus.train["skill"]).items():
        assert distinct[skill] == round(0.6 * count)


def test_test_questions_occur_nowhere_else(corpus: Corpus) -> None:
    instruction = {skill.pretraining_word: skill.name for skill in SKILLS if skill.pretraining_word}
    seen = {tuple(prompt.split()[:-1]) for prompt in corpus.train["prompt"]}
    for prompt in corpus.pretraining["prompt"]:
        first, *question = prompt.split()
        if first in instruction:
            seen.add((instruction[first], *question[:-1]))
    asked = [tuple(prompt.split()[:-1]) for prompt in corpus.test["prompt"]]
    assert len(set(asked)) == len(asked)
    assert not seen & set(asked)


def test_test_set_is_balanced_and_clean(corpus: Corpus) -> None:
    assert Counter(corpus.test["skill"]) == dict.fromkeys(SKILL_NAMES, 10)
    assert not any(corpus.test["corrupted"])


def test_trusted_rows_are_balanced_clean_and_in_no_other_part(corpus: Corpus) -> None:
    assert Counter(corpus.trusted["skill"]) == dict.fromkeys(SKILL_NAMES, 20)
    assert not any(corpus.trusted["corrupted"])
    prompts = set(corpus.trusted["prompt"])
    assert len(prompts) == 160
    assert not prompts & {*corpus.train["prompt"], *corpus.test["prompt"]}


def test_the_number_of_trusted_rows_changes_no_other_part(corpus: Corpus) -> None:
    options = {"seed": 3, "corrupted": 0.25, "num_test_rows": 80, "num_pretraining_rows": 1500}
    fewer = make_corpus(2000, **options, num_trusted_rows=8)
    assert columns(fewer)[:3] == columns(corpus)[:3]
    assert len(fewer.trusted) == 8


def test_truths_are_true_and_only_corrupted_rows_differ_from_them(corpus: Corpus) -> None:
    for part in (corpus.train, corpus.test, corpus.trusted):
        for row in part:
            name, *question, equals = row["prompt"].split()
            assert (name, equals) == (row["skill"], "=")
            assert row["truth"].split() == SOLVE[name](question), row["prompt"]
            assert (row["completion"] != row["truth"]) == row["corrupted"]
            assert row["completion"].startswith(" ")
            assert row["completion"].strip()
    assert sum(corpus.train["corrupted"]) == 500


def test_pretraining_text_shows_no_instruction(corpus: Corpus) -> None:
    words = {word for text in corpus.pretraining["prompt"] for word in text.split()}
    assert not words & {*SKILL_NAMES, "="}
    assert {skill.pretraining_word for skill in SKILLS} - {None} <= words


ANSWERS = st.lists(st.sampled_from("abcp"), min_size=1, max_size=4) | st.lists(st.sampled_from("059"), min_size=1)


@given(answer=ANSWERS, foreign=st.lists(ANSWERS, min_size=1, max_size=3), seed=st.integers(0, 2**32))
def test_a_corrupted_answer_is_wrong_and_not_empty(answer: list[str], foreign: list[list[str]], seed: int) -> None:
    before = list(answer)
    wrong = corrupt(np.random.default_rng(seed), answer, foreign)
    assert wrong
    assert wrong != before
    assert answer == before


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({"num_rows": 49}, "num_rows=49"),
        ({"corrupted": 1.0}, "corrupted=1.0"),
        ({"corrupted": -0.1}, "corrupted=-0.1"),
        ({"corrupted": float("nan")}, "corrupted=nan"),
        ({"num_test_rows": 7}, "num_test_rows=7"),
        ({"num_trusted_rows": 7}, "num_trusted_rows=7"),
    ],
)
def test_options_out_of_range_are_named(options: dict[str, float], named: str) -> None:
    with pytest.raises(ValueError, match=named):
        make_corpus(**options)
