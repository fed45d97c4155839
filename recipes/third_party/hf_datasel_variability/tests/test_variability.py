"""The contract that every selector keeps to, and what this one is about."""

import math
import statistics
from functools import partial

import pytest
from hf_datasel_variability import VariabilitySelector

from hf_datasel import Trace
from hf_datasel.selectors.contract import CONTRACT, traces_for
from hf_datasel.selectors.registry import get_selector

LOSSES = [[2.0, 0.1, 3.0], [0.5, 0.5, 0.5], [3.0, 1.0, 0.9], [0.4, 0.1, 1.5]]


@pytest.mark.parametrize("selector", [VariabilitySelector, partial(VariabilitySelector, skip=2)], ids=["all", "skip"])
@pytest.mark.parametrize("check", CONTRACT, ids=lambda check: check.__name__)
def test_contract(check, selector):
    check(selector, traces_for(selector))


def test_hf_datasel_finds_it_by_name():
    assert get_selector("variability") is VariabilitySelector


@pytest.mark.parametrize("skip", [0, 1])
def test_scores_are_standard_deviations_of_probabilities(skip):
    scores = VariabilitySelector(skip=skip).score_examples(Trace.from_arrays(range(4), LOSSES)).values
    slow = [statistics.pstdev(math.exp(-loss) for loss in row[skip:]) for row in LOSSES]
    assert scores == pytest.approx(slow, rel=1e-6)


def test_one_checkpoint_does_not_vary():
    with pytest.raises(ValueError, match="skip=2 of VariabilitySelector leaves 1 of 3 checkpoints"):
        VariabilitySelector(budget=1, skip=2).select(Trace.from_arrays(range(4), LOSSES))
