"""Two processes share the coalitions: each is trained once, by one of them alone, and both have the values of one."""

import json

import numpy as np
import pytest

from tests.training import test_two_processes
from tests.training.utility.coalitions import TOLERANCE
from tests.training.utility.shared_coalitions import COALITIONS, PLAYERS

runs = test_two_processes.runs  # made once for both files


@pytest.fixture
def folder(runs):
    return runs[0] / "utility"


@pytest.fixture
def ranks(folder):
    return [json.loads((folder / f"rank{rank}.json").read_text()) for rank in (0, 1)]


@pytest.fixture
def expected(runs):
    return json.loads((runs[1] / "utility" / "rank0.json").read_text())["first"]["values"]


def test_both_have_the_values_of_one_process(ranks, expected):
    for rank in ranks:
        assert rank["first"]["values"] == rank["again"]["values"] == expected
        np.testing.assert_allclose(rank["together"]["values"], expected, rtol=TOLERANCE)
    assert np.ptp(expected) > 50 * TOLERANCE * np.abs(expected).max()


def test_every_coalition_is_trained_once_and_both_work(ranks, folder):
    first, second = (rank["first"]["trained"] for rank in ranks)
    asked = {tuple(np.sort(PLAYERS[mask]).tolist()) for mask in COALITIONS if mask.any()}
    assert sorted(map(tuple, first + second)) == sorted(asked)
    assert [len(ids) for ids in first] == [5, 4, 2]
    assert [len(ids) for ids in second] == [4, 2, 1]
    assert all(rank["again"]["trained"] == [] for rank in ranks)
    assert sorted(map(len, segments(folder / "one_by_one"))) == [1 + 3, 1 + 4], "a header each, and v of nothing"


def test_a_failure_of_one_is_raised_by_both(ranks, folder):
    first, second = (rank["failed"] for rank in ranks)
    words = "The coalition of 2 examples (0, 12) has no value: ZeroDivisionError: nothing to divide by"
    assert (first["message"], second["message"]) == (f"On process 1: {words}", words)
    assert first["processes"] == second["processes"] == [1, 1], "each by itself, and nobody after the failed round"
    assert sorted(map(len, segments(folder / "failed"))) == [1 + 1, 1 + 2], "what was measured is kept"


def segments(folder):
    return [path.read_text().splitlines() for path in (folder / "ledger").iterdir()]


def test_accelerate_is_as_it_was(ranks):
    assert all(rank[name]["same_state"] for rank in ranks for name in ("first", "again", "together"))
