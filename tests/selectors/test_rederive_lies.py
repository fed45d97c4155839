"""Choosing again by what was published notices a lie, and says where it cannot know."""

import dataclasses

import numpy as np
import pytest

from hf_datasel.selectors import (
    SELECTORS,
    Choice,
    DatasetQuantizationSelector,
    DSIRSelector,
    FullSelector,
    RandomSelector,
    S2LSelector,
    ScoreSelector,
    Selector,
    SHEDSelector,
    Strata,
)
from hf_datasel.selectors.rederive import NotRederivable, Published, rederive
from hf_datasel.trace import Trace
from tests.selectors.evidence import recorded
from tests.selectors.published import CHOOSING_AGAIN, published

pytestmark = pytest.mark.filterwarnings("ignore:num_clusters=.* exceeds the number of examples:UserWarning")
every_selector = pytest.mark.parametrize("selector", CHOOSING_AGAIN, ids=lambda selector: selector.name)


def large(selector, **options):
    ids, values = np.arange(200), np.random.default_rng(7).gamma(2.0, size=(200, 3)).astype(np.float32)
    return selector(**options, budget=50, seed=5).select(recorded(selector, ids, values))


DRAWN = [one for one in CHOOSING_AGAIN if one.is_random]


@pytest.mark.parametrize("selector", DRAWN, ids=lambda one: one.name)
def test_another_seed_is_noticed(selector):
    selection = large(selector)
    step, told = published(selection)
    step["config"]["seed"] += 1
    assert not np.array_equal(rederive(step, told), selection.kept)


@every_selector
def test_another_budget_is_noticed(selector):
    if selector is FullSelector:
        step = FullSelector().select(recorded(selector, range(9), np.ones((9, 1)))).provenance[-1]
        with pytest.raises(ValueError, match="budget=5 is none for FullSelector"):
            rederive({**step, "config": {"budget": 5}}, Published(np.arange(9)))
        return
    selection = large(selector)
    step, told = published(selection)
    step["config"]["budget"] += 1
    assert rederive(step, told).sum() == 51
    step["config"]["budget"] = 201
    with pytest.raises(ValueError, match="budget=201 examples is out of range"):
        rederive(step, told)


BY_SCORE = [one for one in SELECTORS.values() if issubclass(one, ScoreSelector) or one is DSIRSelector]


@pytest.mark.parametrize("selector", BY_SCORE, ids=lambda one: one.name)
def test_another_score_is_noticed(selector):
    selection = large(selector)
    step, told = published(selection)
    worst = np.float32(-1e6 if getattr(selector, "direction", "high") == "high" else 1e6)
    told.scores[np.flatnonzero(selection.kept)[0]] = worst
    assert not np.array_equal(rederive(step, told), selection.kept)
    with pytest.raises(ValueError, match=f"{selector.__name__} chooses by scores, but none were published"):
        rederive(step, dataclasses.replace(told, scores=None))


def test_another_value_of_a_cluster_is_noticed():
    selection = large(SHEDSelector)
    step, told = published(selection)
    row = int(np.flatnonzero(selection.kept)[0])
    together = told.clusters == told.clusters[row]
    told.scores[row] -= 1
    with pytest.raises(ValueError, match="SHEDSelector scores all rows of a cluster alike, but example"):
        rederive(step, told)
    told.scores[together] = -1e6
    assert not np.array_equal(rederive(step, told), selection.kept)


@pytest.mark.parametrize(
    ("selector", "strange"), [(S2LSelector, 10**6), (S2LSelector, -1), (DatasetQuantizationSelector, -2)]
)
def test_another_cluster_is_noticed(selector, strange):
    selection = large(selector)
    step, told = published(selection)
    told.clusters[:] = np.roll(told.clusters, 1)
    assert not np.array_equal(rederive(step, told), selection.kept)
    told.clusters[17] = strange
    with pytest.raises(ValueError, match=f"{selector.__name__}: example 17 is in cluster {strange}, where"):
        rederive(step, told)
    with pytest.raises(ValueError, match=f"{selector.__name__} chooses by clusters, but none were published"):
        rederive(step, dataclasses.replace(told, clusters=None))


def test_a_cluster_of_another_stratum_is_noticed():
    ids, values = np.arange(60), np.random.default_rng(1).gamma(2.0, size=(60, 3))
    selection = DatasetQuantizationSelector(budget=20, num_bins=3).select(
        recorded(DatasetQuantizationSelector, ids, values), strata=Strata(ids, ["a"] * 30 + ["b"] * 30)
    )
    step, told = published(selection)
    told.clusters[40] = 2  # the last of the first stratum; its own are 3, 4 and 5
    with pytest.raises(ValueError, match="example 40 is in cluster 2, where those of its stratum are 3 to 5"):
        rederive(step, told)


def test_another_stratum_is_noticed():
    ids = np.arange(60)
    evidence = recorded(RandomSelector, ids, np.ones((60, 1)))
    selection = RandomSelector(budget=12).select(evidence, strata=Strata(ids, ["a", "b", "c"] * 20))
    step, told = published(selection)
    assert (step["stratum_names"], told.codes[:4].tolist()) == (["a", "b", "c"], [0, 1, 2, 0])
    told.codes[:30] = 0
    assert not np.array_equal(rederive(step, told), selection.kept)


def test_strata_that_were_not_recorded_are_not_derived_from():
    ids = np.arange(60)
    for selector in (RandomSelector, S2LSelector):
        evidence = recorded(selector, ids, np.random.default_rng(1).gamma(2.0, size=(60, 3)))
        step, told = published(selector(budget=12).select(evidence, strata=Strata(ids, ["a", "b", "c"] * 20)))
        with pytest.raises(NotRederivable, match="strata, which an earlier hf_datasel did not record"):
            rederive(step, dataclasses.replace(told, codes=None, stratum_names=()))


@pytest.mark.parametrize(
    ("step", "message"),
    [
        (
            {"selector": "elsewhere", "config": {"budget": 1}},
            "no such selector here: selector='elsewhere' is not known",
        ),
        ({"selector": "random", "config": {"budget": 1, "new": 2}}, "no such selector here: .*unexpected keyword"),
    ],
)
def test_what_is_not_installed_cannot_choose_again(step, message):
    with pytest.raises(NotRederivable, match=message):
        rederive(step, Published(np.arange(3)))


@pytest.mark.parametrize("step", [{}, {"selector": "random"}, {"selector": 3, "config": {}}])
def test_what_is_no_step_is_named(step):
    with pytest.raises(ValueError, match="must name a selector and its configuration") as raised:
        rederive(step, Published(np.arange(3)))
    assert not isinstance(raised.value, NotRederivable)


@dataclasses.dataclass(frozen=True, kw_only=True)
class FirstRows(Selector):
    """A method that does not say how it chooses again."""

    name = "first"
    reads_values = False

    def _choose(self, pool, budget):
        return Choice(np.arange(len(pool.ids)) < budget)


def test_a_method_need_not_say_how_it_chooses_again():
    selection = FirstRows(budget=2).select(Trace.from_arrays(range(5), np.ones((5, 1))))
    with pytest.raises(NotRederivable, match="FirstRows does not say how it chooses by what is published"):
        FirstRows(budget=2).choose_again(Published.of(selection))
