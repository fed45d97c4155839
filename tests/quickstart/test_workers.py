"""Functions run side by side: results, failures and work done come back."""

import operator
from typing import Any

import pytest
import torch

from hf_datasel.quickstart.workers import Workers, one_thread, usable_workers


def power(base: int, exponent: int, advance: Any) -> int:
    advance(1.0)
    return int(base**exponent)


def test_one_worker_works_here_and_in_order() -> None:
    done: list[float] = []
    with Workers(1, done.append) as workers:
        first = workers.submit(power, 2, 3)
        assert done == [1.0]
        assert workers.wait_for(first) == 8
        results = workers.run_all(power, [(2, 1), (2, 2)])
        assert next(results) == 2
        assert sum(done) == 2.0
        assert list(results) == [4]
        with pytest.raises(ZeroDivisionError):
            list(workers.run_all(power, [(0, -1)]))


def test_a_failure_in_another_process_is_raised_here() -> None:
    with Workers(2, lambda amount: None) as workers:
        with pytest.raises(TypeError, match="concatenate"):
            # The last argument that a worker passes is the counter, which no string adds to.
            list(workers.run_all(operator.add, [("text",)]))


def test_number_of_workers() -> None:
    assert usable_workers(3) == 3
    assert 1 <= usable_workers(0) <= 4


def test_threads_are_given_back() -> None:
    before = torch.get_num_threads()
    with one_thread():
        assert torch.get_num_threads() == 1
    assert torch.get_num_threads() == before
