"""What every scoring selector does with a budget or a threshold, against a sort and a loop."""

import json
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hf_datasel.functional.thresholds import RULES, find_threshold
from hf_datasel.selection import Selection
from hf_datasel.selectors import (
    SELECTORS,
    BM25Selector,
    CLUESSelector,
    DataInfSelector,
    HighLearnabilitySelector,
    IFDSelector,
    LeastConfidenceSelector,
    LongestSelector,
    OracleSelector,
    PerplexitySelector,
    ScoreSelector,
    Strata,
)
from hf_datasel.trace import Trace
from tests.selectors.evidence import recorded

NUM_EXAMPLES = 60
IDS = np.arange(NUM_EXAMPLES) * 2 + 3
VALUES = np.random.default_rng(4).normal(size=(NUM_EXAMPLES, 3)).astype(np.float32)
SCORING = [selector for selector in SELECTORS.values() if issubclass(selector, ScoreSelector)]
RANKING = [selector for selector in SCORING if selector is not OracleSelector]
HIGH_IS_GOOD = {
    CLUESSelector: True,
    PerplexitySelector: False,
    LeastConfidenceSelector: True,
    HighLearnabilitySelector: True,
    IFDSelector: True,
    DataInfSelector: False,
    BM25Selector: True,
    LongestSelector: True,
}

every_scorer = pytest.mark.parametrize("selector", SCORING, ids=lambda selector: selector.name)
every_ranker = pytest.mark.parametrize("selector", RANKING, ids=lambda selector: selector.name)


def with_anchors(selector, values=VALUES, num_anchors=50):
    anchors = np.random.default_rng(9).normal(size=(num_anchors, 3))
    return recorded(selector, IDS, values, companions={"anchors": recorded(selector, range(num_anchors), anchors)})


@pytest.fixture
def trace(selector):
    return recorded(selector, IDS, VALUES)


def better_first(selector, scores):
    return np.argsort(-scores if HIGH_IS_GOOD[selector] else scores, kind="stable")


def test_each_states_its_direction():
    stated = {selector: selector.direction == "high" for selector in RANKING}
    assert stated == HIGH_IS_GOOD
    assert OracleSelector.direction == "high"


@every_ranker
@given(budget=st.integers(1, NUM_EXAMPLES))
def test_a_budget_keeps_the_best_by_score(selector, budget):
    selection = selector(budget=budget).select(recorded(selector, IDS, VALUES))
    best = better_first(selector, selection.scores)[:budget]
    assert selection.ids.tolist() == sorted(IDS[best].tolist())
    details = selection.provenance[0]["details"]
    assert details["rule"] == "budget"
    assert details["threshold"] == selection.scores[best[-1]]


@every_ranker
def test_the_seed_only_breaks_ties(selector):
    tied = recorded(selector, IDS, np.repeat(VALUES[:6], 10, axis=0))
    kept = [selector(budget=15, seed=seed).select(tied) for seed in range(6)]
    assert len({tuple(selection.ids.tolist()) for selection in kept}) > 1
    best, second, *_ = better_first(selector, kept[0].scores[::10])
    for selection in kept:
        assert selection.kept.reshape(6, 10).sum(axis=1)[[best, second]].tolist() == [10, 5]


@every_ranker
def test_strata_each_give_their_best(selector, trace):
    labels = ["large"] * 40 + ["small"] * 2 + ["middle"] * 18
    selection = selector(budget=20).select(trace, strata=Strata(IDS, labels))
    quotas = {"large": 9, "small": 2, "middle": 9}
    assert selection.provenance[0]["details"]["strata"] == quotas
    for label, quota in quotas.items():
        members = np.flatnonzero(np.array(labels) == label)
        best = members[better_first(selector, selection.scores[members])[:quota]]
        assert np.flatnonzero(selection.kept[members]).tolist() == sorted((best - members[0]).tolist())


@every_ranker
@given(row=st.integers(0, NUM_EXAMPLES - 1))
def test_a_number_keeps_what_passes_and_the_row_that_meets_it(selector, row):
    trace = recorded(selector, IDS, VALUES)
    scores = selector(budget=1.0).select(trace).scores
    selection = selector(threshold=float(scores[row])).select(trace)
    passing = scores >= scores[row] if HIGH_IS_GOOD[selector] else scores <= scores[row]
    assert np.array_equal(selection.kept, passing)
    details = selection.provenance[0]["details"]
    assert (details["rule"], details["threshold"], details["num_kept"]) == ("fixed", scores[row], passing.sum())
    assert details["direction"] == selector.direction


@every_ranker
@pytest.mark.parametrize("rule", RULES)
def test_a_rule_cuts_by_the_anchors_and_the_saved_selection_shows_it(selector, rule, tmp_path):
    trace = with_anchors(selector)
    selector(threshold=rule, alpha=0.12).select(trace).save(tmp_path / "selection")
    selection = Selection.load(tmp_path / "selection")
    scores = selector(threshold=rule).score_examples(trace)
    assert np.array_equal(scores.values, selection.scores)
    assert scores.ids.tolist() == IDS.tolist()
    sign = 1 if HIGH_IS_GOOD[selector] else -1
    found = find_threshold(rule, sign * scores.anchors, sign * scores.values, 0.12)
    details = selection.provenance[0]["details"]
    assert (details["rule"], details["num_anchors"]) == (rule, 50)
    assert details["clean_kept"] == (None if found.clean_kept is None else list(found.clean_kept))
    assert details["clean_share"] == found.clean_share
    if found.value == -math.inf:
        assert (details["threshold"], len(selection)) == (None, NUM_EXAMPLES)
    else:
        assert details["threshold"] == np.float32(sign * found.value)
        kept = sign * selection.scores >= np.float32(sign * details["threshold"])
        assert np.array_equal(selection.kept, kept)
    step = selection.provenance[0]
    again = SELECTORS[step["selector"]](**json.loads(json.dumps(step["config"]))).select(trace)
    assert np.array_equal(again.kept, selection.kept)


@every_ranker
def test_an_anchor_like_a_row_passes_as_it_does(selector):
    trace = recorded(selector, IDS, VALUES, companions={"anchors": recorded(selector, range(60), VALUES)})
    scores = selector(budget=1.0).score_examples(trace)
    assert np.array_equal(scores.values, scores.anchors)
    assert len(selector(threshold="conformal", alpha=0.1).select(trace)) == NUM_EXAMPLES - 6 + 1


@every_ranker
def test_too_few_anchors_warn_and_keep_everything(selector):
    with pytest.warns(UserWarning, match="5 anchors are too few"):
        selection = selector(threshold="conformal").select(with_anchors(selector, num_anchors=5))
    assert len(selection) == NUM_EXAMPLES
    assert "at least 9 anchors" in selection.provenance[0]["warnings"][0]


@every_ranker
def test_anchors_that_cannot_be_measured_do_not_count(selector):
    trace = with_anchors(selector)
    plain = selector(threshold="mean").score_examples(trace)
    anchors = trace.companion("anchors")
    values = np.vstack([anchors.values, np.full((1, 3), np.nan)])
    more = recorded(selector, range(51), values)
    more.mark_unmeasurable([50], "every label is masked")
    marked = selector(threshold="mean").score_examples(recorded(selector, IDS, VALUES, companions={"anchors": more}))
    assert np.array_equal(plain.anchors, marked.anchors)


class TestRefusals:
    @every_scorer
    def test_a_budget_and_a_threshold_at_once(self, selector, trace):
        with pytest.raises(ValueError, match=r"budget=3 and threshold=0.5: pass the one or the other"):
            selector(budget=3, threshold=0.5).select(trace)

    @every_scorer
    @pytest.mark.parametrize("threshold", ["median", math.nan, math.inf, True, [1.0]])
    def test_a_threshold_that_is_none(self, selector, trace, threshold):
        with pytest.raises(ValueError, match=r"threshold="):
            selector(threshold=threshold).select(trace)

    @every_scorer
    @pytest.mark.parametrize("alpha", [0, 1, -1, math.nan, "0.1", None, True])
    def test_alpha_out_of_range(self, selector, alpha):
        with pytest.raises(ValueError, match=r"alpha="):
            selector(budget=3, alpha=alpha).check(10)

    @every_scorer
    @pytest.mark.parametrize("rule", RULES)
    def test_a_rule_without_anchors(self, selector, trace, rule):
        with pytest.raises(
            ValueError, match=rf"threshold='{rule}'\) needs anchors.*anchor_dataset=.*or pass budget=.*as threshold="
        ):
            selector(threshold=rule).select(trace)

    @every_scorer
    def test_a_trace_of_another_metric(self, selector):
        with pytest.raises(
            ValueError, match=rf"{selector.__name__} reads .*{selector.recorded_by[:9]}.*not .*'taste'"
        ):
            selector(budget=3).select(Trace.from_arrays(IDS, VALUES, metric="taste"))

    @every_scorer
    def test_anchors_of_another_metric_or_of_other_checkpoints(self, selector):
        for anchors in (
            Trace.from_arrays(range(9), np.ones((9, 3)), metric="taste"),
            Trace.from_arrays(range(9), np.ones((9, 2)), metric=selector.metrics[0]),
        ):
            trace = recorded(selector, IDS, VALUES, companions={"anchors": anchors})
            with pytest.raises(ValueError, match=r"The anchors hold .*record them in one run"):
                selector(threshold="mean").select(trace)

    @every_scorer
    def test_an_anchor_that_was_not_measured(self, selector):
        values = np.ones((9, 3))
        values[4, 1] = np.nan
        trace = recorded(selector, IDS, VALUES, companions={"anchors": recorded(selector, range(9), values)})
        with pytest.raises(ValueError, match="example 4 was not measured at step 2"):
            selector(threshold="mean").select(trace)

    @every_scorer
    def test_not_one_anchor_that_can_be_measured(self, selector):
        anchors = recorded(selector, [0], np.full((1, 3), np.nan))
        anchors.mark_unmeasurable([0], "masked")
        trace = recorded(selector, IDS, VALUES, companions={"anchors": anchors})
        with pytest.raises(ValueError, match="Not one anchor can be measured"):
            selector(threshold="mean").select(trace)

    @every_scorer
    def test_strata_with_a_threshold(self, selector, trace):
        with pytest.raises(ValueError, match="strata share out a budget"):
            selector(threshold=0.5).select(trace, strata=Strata(IDS, ["a"] * NUM_EXAMPLES))

    @every_ranker
    def test_a_threshold_that_nothing_passes(self, selector, trace):
        scores = selector(budget=1.0).select(trace).scores
        best = better_first(selector, scores)[0]
        beyond = scores[best] + 1 if HIGH_IS_GOOD[selector] else scores[best] - 1
        side = "above" if HIGH_IS_GOOD[selector] else "below"
        with pytest.raises(
            ValueError,
            match=rf"no example: none scores at or {side} the threshold {beyond:.6g} .*"
            rf"best score is {scores[best]:.6g} \(example {IDS[best]}\).*pass budget=",
        ):
            selector(threshold=float(beyond)).select(trace)
