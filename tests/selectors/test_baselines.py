"""The baselines that read one recorded number an example: perplexity, IFD, DataInf, oracle."""

import math

import numpy as np
import pytest

from hf_datasel.selectors import DataInfSelector, IFDSelector, OracleSelector, PerplexitySelector
from hf_datasel.trace import Trace
from tests.selectors.evidence import influence_trace

IDS = [4, 6, 9, 11]


def column(values, metric):
    return Trace.from_arrays(IDS, np.reshape(values, (-1, 1)), metric=metric)


class TestPerplexity:
    LOSSES = np.float32([[0.0, 2.0], [9.0, 0.5], [0.0, 1.0], [0.0, 7.0]])

    def test_it_is_the_exponential_of_the_last_loss_and_low_is_good(self):
        selection = PerplexitySelector(budget=2).select(Trace.from_arrays(IDS, self.LOSSES))
        np.testing.assert_allclose(selection.scores, [math.exp(loss) for loss in (2.0, 0.5, 1.0, 7.0)], rtol=1e-6)
        assert selection.ids.tolist() == [6, 9]

    def test_an_influence_trace_has_its_losses_beside_it_and_its_anchors_too(self):
        anchors = influence_trace([0, 1], np.ones((2, 2)), loss=[[0.0, 1.0], [0.0, 0.8]])
        trace = influence_trace(IDS, np.ones((4, 2)), loss=self.LOSSES, anchors=anchors)
        plain = PerplexitySelector(budget=2).select(Trace.from_arrays(IDS, self.LOSSES))
        assert np.array_equal(plain.scores, PerplexitySelector(budget=2).select(trace).scores)
        selection = PerplexitySelector(threshold="mean").select(trace)
        assert selection.ids.tolist() == [6]
        expected = (math.exp(1.0) + math.exp(0.8)) / 2
        assert selection.provenance[0]["details"]["threshold"] == pytest.approx(expected, rel=1e-6)

    def test_an_influence_trace_without_losses_is_refused(self):
        with pytest.raises(ValueError, match="PerplexitySelector needs the companion 'loss'"):
            PerplexitySelector(budget=2).select(influence_trace(IDS, np.ones((4, 2))))

    def test_a_loss_whose_exponential_is_beyond_float32_stays_finite_and_worst(self):
        selection = PerplexitySelector(budget=3).select(column([1.0, 200.0, 3e30, 2.0], "loss"), within=None)
        assert np.isfinite(selection.scores).all()
        assert {4, 11} < set(selection.ids.tolist())


class TestIFD:
    IFD = (0.9, 1.3, 1.0, 0.2)

    def test_high_is_good_and_only_cherry_drops_what_lies_above_one(self):
        trace = column(self.IFD, "ifd")
        assert IFDSelector(budget=2).select(trace).ids.tolist() == [6, 9]
        assert IFDSelector(budget=2, cherry=True).select(trace).ids.tolist() == [4, 9]
        assert IFDSelector(threshold=0.5).select(trace).ids.tolist() == [4, 6, 9]
        assert IFDSelector(threshold=0.5, cherry=True).select(trace).ids.tolist() == [4, 9]

    def test_a_share_is_of_all_candidates_and_refused_where_too_few_pass(self):
        trace = column(self.IFD, "ifd")
        assert len(IFDSelector(budget=0.75, cherry=True).select(trace)) == 3
        with pytest.raises(ValueError, match=r"budget=1.0 asks for 4 examples, .* lets only 3 of 4 pass"):
            IFDSelector(budget=1.0, cherry=True).select(trace)

    def test_cherry_is_yes_or_no(self):
        with pytest.raises(ValueError, match="cherry="):
            IFDSelector(budget=1, cherry="yes").check(3)


def test_datainf_keeps_what_lowers_the_validation_loss():
    trace = column([0.3, -2.0, -0.1, 0.0], "datainf")
    assert DataInfSelector(budget=1).select(trace).ids.tolist() == [6]
    assert DataInfSelector(threshold=0.0).select(trace).ids.tolist() == [6, 9, 11]


class TestOracle:
    def test_it_keeps_what_is_known_to_be_clean(self):
        selection = OracleSelector().select(column([1, 0, 1, 0], "clean"))
        assert selection.ids.tolist() == [4, 9]
        assert selection.scores.tolist() == [1, 0, 1, 0]

    def test_a_budget_draws_among_the_clean_rows_only(self):
        clean = np.arange(200) % 2
        trace = Trace.from_arrays(range(200), clean[:, None], metric="clean")
        first, second = (OracleSelector(budget=50, seed=seed).select(trace) for seed in (0, 1))
        assert clean[first.ids].all()
        assert not np.array_equal(first.ids, second.ids)
        with pytest.raises(ValueError, match=r"budget=101 asks for 101 examples, .* lets only 100 of 200 pass"):
            OracleSelector(budget=101).select(trace)

    def test_no_row_that_is_clean_is_refused(self):
        with pytest.raises(ValueError, match="OracleSelector would keep no example"):
            OracleSelector().select(column([0, 0, 0, 0], "clean"))

    def test_another_number_is_refused_by_id(self):
        with pytest.raises(ValueError, match=r"example 9 has 0.5 for 1 \(clean\) or 0"):
            OracleSelector().select(column([1, 0, 0.5, 0], "clean"))
