"""What CLUES does where nothing is said: the least of three detectors, cut by "conformal"."""

import numpy as np

from hf_datasel.selectors import CLUESSelector
from tests.selectors.evidence import influence_trace
from tests.selectors.test_clues import ANCHORS, IDS, NUM_EXAMPLES, RATES, ROWS, full_trace, random_rows, slow_scores


def test_the_default_is_the_weakest_link_cut_by_conformal():
    anchors = influence_trace(np.arange(90), **random_rows(90, 2), rates=RATES)
    trace = influence_trace(IDS, **ROWS, rates=RATES, anchors=anchors)
    (step,) = CLUESSelector().select(trace).provenance
    assert step["config"]["threshold"] == step["details"]["rule"] == "conformal"
    options = {
        "score": "fused", "weighting": "learning_rate", "normalise_checkpoints": False, "combine": "min",
        "detectors": ["contrast_truncated", "pairing", "loss"], "weights": None,
        "fusion": "lower_half", "loss_at": "last",
    }  # fmt: skip
    expected, of_anchors = slow_scores(options, ROWS, ANCHORS)
    scores = CLUESSelector().score_examples(full_trace())
    np.testing.assert_allclose(scores.values, expected, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(scores.anchors, of_anchors, rtol=1e-5, atol=1e-6)


def test_a_row_is_dropped_if_it_is_bad_in_any_way():
    names = CLUESSelector().evidence
    for worst in names:
        rows = {name: values.copy() for name, values in ROWS.items()}
        rows[worst][11] = 99 if worst == "loss" else -99
        selection = CLUESSelector(budget=NUM_EXAMPLES - 1).select(full_trace(rows))
        assert selection.candidate_ids[~selection.kept].tolist() == [IDS[11]]
    assert names == ("contrast_truncated", "pairing", "loss")
