"""The baselines that read losses at one checkpoint or two: least confidence, middle perplexity, high learnability."""

import math

import numpy as np
import pytest

from hf_datasel import (
    HighLearnabilitySelector,
    LeastConfidenceSelector,
    MiddlePerplexitySelector,
    PerplexitySelector,
    Selection,
    Strata,
    Trace,
)
from tests.selectors.evidence import influence_trace

IDS = [4, 6, 9, 11, 13]
LOSSES = np.float32([[4.0, 1.0, 2.0], [1.0, 9.0, 0.5], [3.0, 0.0, 1.0], [2.0, 0.0, 7.0], [0.5, 0.0, 0.25]])
READERS = [LeastConfidenceSelector, MiddlePerplexitySelector, HighLearnabilitySelector]
each_reader = pytest.mark.parametrize("selector", READERS, ids=lambda selector: selector.name)


def losses(values=LOSSES, ids=IDS):
    return Trace.from_arrays(ids, values, steps=[10 * t + 1 for t in range(np.shape(values)[1])])


@each_reader
def test_an_influence_trace_has_its_losses_beside_it(selector):
    trace = influence_trace(IDS, np.ones((5, 3)), loss=LOSSES)
    beside, plain = (selector(budget=2).select(one) for one in (trace, losses()))
    assert beside.ids.tolist() == plain.ids.tolist()
    assert np.array_equal(beside.scores, plain.scores)
    with pytest.raises(ValueError, match=f"{selector.__name__} needs the companion 'loss'"):
        selector(budget=2).select(influence_trace(IDS, np.ones((5, 3))))


@each_reader
def test_another_metric_is_refused(selector):
    with pytest.raises(
        ValueError,
        match=f"{selector.__name__} reads a Trace of the metric 'loss' or 'influence', recorded by "
        "LossTrajectoryCallback or GradientTraceCallback, not one of 'ifd'",
    ):
        selector(budget=2).select(Trace.from_arrays(IDS, LOSSES, metric="ifd"))


class TestLeastConfidence:
    @pytest.mark.parametrize(("at", "column", "kept"), [("last", 2, [4, 11]), ("first", 0, [4, 9])])
    def test_it_keeps_the_largest_losses_of_the_reference_that_is_asked_for(self, at, column, kept):
        selection = LeastConfidenceSelector(budget=2, at=at).select(losses())
        assert selection.ids.tolist() == kept
        assert np.array_equal(selection.scores, LOSSES[:, column])
        assert selection.provenance[0]["config"]["at"] == at

    def test_it_is_the_opposite_of_perplexity(self):
        values = np.random.default_rng(0).gamma(2.0, size=(50, 2))
        trace = losses(values, range(50))
        likely = PerplexitySelector(budget=20).select(trace).ids
        assert (
            np.setdiff1d(np.arange(50), LeastConfidenceSelector(budget=30).select(trace).ids).tolist()
            == likely.tolist()
        )

    def test_a_threshold_is_a_loss(self):
        assert LeastConfidenceSelector(threshold=1.0).select(losses()).ids.tolist() == [4, 9, 11]

    @pytest.mark.parametrize("selector", [LeastConfidenceSelector, MiddlePerplexitySelector])
    def test_another_checkpoint_is_refused(self, selector):
        with pytest.raises(ValueError, match=r"at='middle' of .* must be one of \('first', 'last'\)"):
            selector(budget=1, at="middle").check(5)


class TestMiddlePerplexity:
    @pytest.mark.parametrize(
        ("budget", "kept"),  # the last losses in order are those of 13, 6, 9, 4 and 11
        [(1, [9]), (2, [6, 9]), (3, [4, 6, 9]), (4, [4, 6, 9, 13]), (5, IDS)],
    )
    def test_it_keeps_the_ranks_around_the_median(self, budget, kept):
        assert MiddlePerplexitySelector(budget=budget).select(losses()).ids.tolist() == kept

    def test_the_scores_are_perplexities_and_the_ends_are_told(self):
        selection = MiddlePerplexitySelector(budget=3).select(losses())
        np.testing.assert_allclose(selection.scores, [math.exp(one) for one in LOSSES[:, 2]], rtol=1e-6)
        details = selection.provenance[0]["details"]
        assert details == {"lowest": float(selection.scores[1]), "highest": float(selection.scores[0])}

    def test_an_early_reference_can_be_asked_for(self):
        assert MiddlePerplexitySelector(budget=1, at="first").select(losses()).ids.tolist() == [11]

    def test_every_stratum_has_a_median_of_its_own(self):
        values = np.concatenate([np.arange(10.0), 100 + np.arange(20.0)])[:, None]
        labels = ["easy"] * 10 + ["hard"] * 20
        selection = MiddlePerplexitySelector(budget=8).select(
            losses(values / 8, range(30)), strata=Strata(range(30), labels)
        )
        assert selection.ids.tolist() == [3, 4, 5, 6, 18, 19, 20, 21]
        assert selection.provenance[0]["details"]["strata"] == {"easy": 4, "hard": 4}

    def test_equal_perplexities_are_ranked_by_the_seed(self):
        trace = losses([[1.0], [2.0], [2.0], [2.0], [3.0]])
        kept = {tuple(MiddlePerplexitySelector(budget=1, seed=seed).select(trace).ids.tolist()) for seed in range(40)}
        assert kept == {(6,), (9,), (11,)}

    def test_a_perplexity_beyond_float32_is_the_largest(self):
        selection = MiddlePerplexitySelector(budget=3).select(losses([[1.0], [300.0], [2.0], [200.0], [0.5]]))
        assert np.isfinite(selection.scores).all()
        assert {4, 9} < set(selection.ids.tolist())


class TestHighLearnability:
    def test_it_keeps_what_fell_most_from_the_first_checkpoint_to_the_last(self):
        selection = HighLearnabilitySelector(budget=2).select(losses())
        assert selection.scores.tolist() == [2.0, 0.5, 2.0, -5.0, 0.25]
        assert selection.ids.tolist() == [4, 9]
        assert selection.provenance[0]["details"].items() >= {"pretrained_step": 1, "fine_tuned_step": 21}.items()

    def test_what_was_learned_at_all_passes_zero(self):
        assert HighLearnabilitySelector(threshold=0.0).select(losses()).ids.tolist() == [4, 6, 9, 13]

    def test_relative_is_by_the_share_of_the_first_loss(self):
        selection = HighLearnabilitySelector(budget=1, relative=True).select(losses())
        np.testing.assert_allclose(selection.scores, [0.5, 0.5, 2 / 3, -2.5, 0.5], rtol=1e-6)
        assert selection.ids.tolist() == [9]

    def test_a_first_loss_of_zero_has_no_share(self):
        values = LOSSES.copy()
        values[3, 0] = 0
        with pytest.raises(
            ValueError, match=r"divides by the first loss, which is 0 for example 11 of the Trace: pass"
        ):
            HighLearnabilitySelector(budget=1, relative=True).select(losses(values))
        others = Selection(candidate_ids=np.array(IDS), kept=np.array(IDS) != 11)
        selector = HighLearnabilitySelector(budget=1, relative=True)
        assert selector.select(losses(values), within=others).ids.tolist() == [9]

    def test_a_single_checkpoint_is_refused(self):
        with pytest.raises(
            ValueError, match=r"but the Trace has the single checkpoint of step 1: record at least two"
        ):
            HighLearnabilitySelector(budget=1).select(losses(LOSSES[:, :1]))

    def test_anchors_are_measured_alike(self):
        anchors = influence_trace([0, 1], np.ones((2, 3)), loss=[[3.0, 0.0, 2.0], [2.0, 0.0, 1.0]])
        trace = influence_trace(IDS, np.ones((5, 3)), loss=LOSSES, anchors=anchors)
        assert HighLearnabilitySelector(threshold="mean").select(trace).ids.tolist() == [4, 9]

    def test_relative_is_yes_or_no(self):
        with pytest.raises(ValueError, match="relative="):
            HighLearnabilitySelector(budget=1, relative="yes").check(3)
