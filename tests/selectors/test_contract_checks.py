"""Every check of the contract finds what it is there for."""

import random
from dataclasses import dataclass, field
from typing import ClassVar

import numpy as np
import pytest

from hf_datasel import PerplexitySelector, RandomSelector, Trace
from hf_datasel.selectors import Choice, contract
from hf_datasel.selectors.contract import CONTRACT, check_selector, traces_for


@dataclass(frozen=True, kw_only=True)
class Validating(RandomSelector):
    def __post_init__(self):
        object.__setattr__(self, "budget", 1)


class Generous(RandomSelector):
    def resolve_budget(self, num_candidates):
        return min(num_candidates, super().resolve_budget(num_candidates) + 1)


class Lenient(RandomSelector):
    def resolve_budget(self, num_candidates):
        return 1 if self.budget is None else super().resolve_budget(num_candidates)


class AnySeed(RandomSelector):
    def _check(self):
        pass

    def _choose(self, pool, budget):
        return Choice(np.arange(len(pool.ids)) < budget)


class Unseeded(RandomSelector):
    def _choose(self, pool, budget):
        return Choice(np.random.default_rng().permutation(len(pool.ids)) < budget)


class Constant(RandomSelector):
    def _choose(self, pool, budget):
        return Choice(np.arange(len(pool.ids)) < budget)


class Global(RandomSelector):
    def _choose(self, pool, budget):
        random.random()
        return super()._choose(pool, budget)


class Unlabelled(RandomSelector):
    def select(self, evidence, *, strata=None, within=None):
        return super().select(evidence, within=within)


class Forgetful(RandomSelector):
    def select(self, evidence, *, strata=None, within=None):
        return super().select(evidence, strata=strata)


class Gullible(RandomSelector):
    def select(self, evidence, *, strata=None, within=None):
        evidence = evidence if isinstance(evidence, Trace) else Trace.from_arrays([1], [[1.0]])
        return super().select(evidence, strata=strata, within=within)


@dataclass(frozen=True, kw_only=True)
class Secretive(RandomSelector):
    secret: list = field(default_factory=lambda: [0])
    name: ClassVar[str] = "secretive"

    def _config(self):
        return {**super()._config(), "seed": 0}


def by_place(ids, values):
    """Evidence that takes values for those of the ids in their own order."""
    return Trace.from_arrays(np.sort(ids), values)


FINDS = {
    "is_frozen_and_checks_nothing_when_made": Validating,
    "keeps_its_budget": Generous,
    "refuses_bad_budgets": Lenient,
    "refuses_bad_seeds": AnySeed,
    "follows_its_seed": Unseeded,
    "leaves_global_generators_alone": Global,
    "gives_strata_their_shares": Constant,
    "requires_a_label_of_every_candidate": Unlabelled,
    "works_within_an_earlier_selection": Forgetful,
    "refuses_what_is_no_evidence": Gullible,
    "says_how_to_do_it_again": Secretive,
}


def test_every_check_is_tried():
    assert {check.__name__ for check in CONTRACT} == {*FINDS, "ignores_the_order_of_rows"}


@pytest.mark.parametrize(("check", "wrong"), FINDS.items(), ids=list(FINDS))
def test_a_check_finds_what_is_wrong(check, wrong):
    with pytest.raises(AssertionError):
        getattr(contract, check)(wrong, traces_for(wrong))
    getattr(contract, check)(RandomSelector, traces_for(RandomSelector))


def test_a_method_that_says_it_is_random_is_held_to_it():
    with pytest.raises(AssertionError, match="is_random=True, but another seed gave the same"):
        contract.follows_its_seed(Constant, traces_for(Constant))


def test_the_order_of_rows_is_found_to_matter():
    with pytest.raises(AssertionError, match="another order of rows gave another answer"):
        contract.ignores_the_order_of_rows(PerplexitySelector, by_place)


def test_all_checks_are_run_by_one_call():
    check_selector(RandomSelector)
    with pytest.raises(AssertionError, match="strata of 5, 35 and 200 rows got"):
        check_selector(type("Told", (Constant,), {"is_random": False}))
