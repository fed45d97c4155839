"""What is published of a choice is enough to make it again, whatever the method, and a lie is noticed."""

import dataclasses

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hf_datasel.selection import Selection
from hf_datasel.selectors import (
    CLUESSelector,
    DataInfSelector,
    DatasetQuantizationSelector,
    DSIRSelector,
    FacilityLocationSelector,
    FullSelector,
    IFDSelector,
    OracleSelector,
    PerplexitySelector,
    S2LSelector,
    SHEDSelector,
    Strata,
)
from hf_datasel.selectors.rederive import rederive
from hf_datasel.valuation import Valuation
from tests.selectors.evidence import recorded
from tests.selectors.published import CHOOSING_AGAIN, again, published

pytestmark = pytest.mark.filterwarnings("ignore:num_clusters=.* exceeds the number of examples:UserWarning")
every_selector = pytest.mark.parametrize("selector", CHOOSING_AGAIN, ids=lambda selector: selector.name)
OPTIONS = {
    S2LSelector: [{}, {"num_clusters": 7}, {"variant": "official"}, {"variant": "official", "num_clusters": 5}],
    SHEDSelector: [{}, {"sampling": "qwcs"}, {"sampling": "qwcs", "weighting": "raw", "sharpness": 3.0}],
    DSIRSelector: [{}, {"noise": "none"}],
    DatasetQuantizationSelector: [{}, {"num_bins": 3}, {"num_bins": 4, "chunk_size": 11}],
    CLUESSelector: [{"score": "dot"}, {"fusion": "rank"}],
    FacilityLocationSelector: [{}, {"similarity": "rbf"}, {"num_neighbours": 5}],
}
NAMES = ("code", "math", "prose", "talk")


@st.composite
def pools(draw):
    """Ids and values of rows, many of which tie; strata and an earlier Selection where drawn."""
    generator = np.random.default_rng(draw(st.integers(0, 10**6)))
    num_rows = draw(st.integers(8, 120))
    ids = np.sort(generator.choice(1000, num_rows, replace=False))
    values = np.round(generator.gamma(2.0, size=(num_rows, 3)), draw(st.integers(0, 5))).astype(np.float32)
    weights = draw(st.sampled_from([None, (0.85, 0.1, 0.05, 0.0), (0.25, 0.25, 0.25, 0.25)]))
    labels = None if weights is None else generator.choice(NAMES, num_rows, p=weights).tolist()
    within = None
    if draw(st.booleans()):
        within = Selection(
            candidate_ids=ids, kept=generator.permutation(num_rows) < 6, provenance=({"selector": "by hand"},)
        )
    return ids, values, None if labels is None else Strata(ids, labels), within


@every_selector
@given(
    pool=pools(), seed=st.integers(0, 99), budget=st.integers(1, 6) | st.floats(0.01, 1.0), number=st.integers(0, 3)
)
@settings(deadline=None, max_examples=25)
def test_every_choice_of_a_budget_is_made_again(selector, pool, seed, budget, number):
    ids, values, strata, within = pool
    options = OPTIONS.get(selector, [{}])
    made = selector(**options[number % len(options)], budget=None if selector is FullSelector else budget, seed=seed)
    selection = made.select(recorded(selector, ids, values), strata=strata, within=within)
    assert (selection.strata is None) == (strata is None)
    assert np.array_equal(again(selection), selection.kept)


@pytest.mark.parametrize(
    "selector", [S2LSelector, SHEDSelector, DatasetQuantizationSelector], ids=lambda one: one.name
)
def test_a_choice_that_went_over_the_disk_is_made_again(selector, tmp_path):
    ids, values = np.arange(60) * 2, np.random.default_rng(4).gamma(2.0, size=(60, 3)).astype(np.float32)
    strata = Strata(ids, ["few"] * 3 + ["some"] * 17 + ["many"] * 40)
    selector(budget=25).select(recorded(selector, ids, values), strata=strata).save(tmp_path / "selection")
    loaded = Selection.load(tmp_path / "selection")
    assert loaded.stratum_names == ("few", "many", "some")
    assert np.array_equal(again(loaded), loaded.kept)


@given(pool=pools(), threshold=st.floats(0.2, 3.0), cherry=st.booleans())
@settings(deadline=None, max_examples=25)
@pytest.mark.parametrize("selector", [PerplexitySelector, IFDSelector, DataInfSelector, CLUESSelector, OracleSelector])
def test_every_cut_is_made_again(selector, pool, threshold, cherry):
    ids, values, _, within = pool
    evidence = recorded(selector, ids, values)
    options = {"cherry": cherry} if selector is IFDSelector else {}
    if selector is CLUESSelector:
        options = {"score": "dot"}
    score = selector(**options, budget=1.0).score_examples(evidence, within=within).values
    best = score.max() if selector.direction == "high" else score.min()
    for cut in (float(threshold), float(best), float(np.sort(score)[len(score) // 2])):  # also exactly at a score
        made = selector(**options, threshold=1 if selector is OracleSelector else cut)
        kept = np.flatnonzero(score >= cut if selector.direction == "high" else score <= cut)
        if selector is IFDSelector and cherry:
            kept = kept[score[kept] <= 1]
        if len(kept):
            selection = made.select(evidence, within=within)
            assert np.array_equal(again(selection), selection.kept)


@pytest.mark.parametrize("rule", ["mean", "quantile", "conformal", "f1"])
@pytest.mark.parametrize("selector", [PerplexitySelector, CLUESSelector], ids=lambda one: one.name)
@pytest.mark.parametrize("num_anchors", [5, 40])
@pytest.mark.filterwarnings("ignore:.*anchors:UserWarning")
def test_a_rule_s_cut_is_made_again_by_the_number_that_it_came_to(selector, rule, num_anchors):
    generator = np.random.default_rng(num_anchors)
    values, anchors = (generator.gamma(2.0, size=(rows, 3)) / 3 for rows in (90, num_anchors))
    evidence = recorded(
        selector, range(90), values, companions={"anchors": recorded(selector, range(num_anchors), anchors)}
    )
    selection = selector(threshold=rule).select(evidence)
    assert np.array_equal(again(selection), selection.kept)
    if num_anchors == 5 and rule == "conformal":  # too few to cut anywhere
        assert selection.provenance[-1]["details"]["threshold"] is None
    else:
        step, told = published(selection)
        strict = np.nextafter(np.float32(told.scores[selection.kept].min()), np.float32(np.inf))
        if selector.direction == "low":
            strict = np.nextafter(np.float32(told.scores[selection.kept].max()), np.float32(-np.inf))
        moved = dataclasses.replace(told, details={**told.details, "threshold": float(strict)})
        assert not np.array_equal(rederive(step, moved), selection.kept)


def test_values_that_are_one_in_float32_tie_when_chosen_and_when_chosen_again():
    values = 1.0 + np.arange(50) * 1e-12
    valuation = Valuation(
        ids=np.arange(50),
        clusters=np.arange(50, dtype=np.int32),
        values=values,
        standard_errors=np.full(50, np.nan),
        num_evaluations=np.ones(50, np.int64),
        info={},
    )
    selection = SHEDSelector(budget=20).select(valuation)
    assert set(selection.ids.tolist()) != set(range(30, 50))
    assert np.array_equal(again(selection), selection.kept)
