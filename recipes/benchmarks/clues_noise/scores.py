"""Every score that is compared, from one client's evidence; high is good in all of them.

Damage is of several kinds and one is enough, so a fused score may let the worst of several detectors decide, each
standardised by the anchors ("weakest link", the library's default): a sum lets a good mark in one detector pay for a
bad one in another.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hf_datasel import CLUESSelector, Trace
from recipes.benchmarks.clues_noise.lab import Evidence

Floats = NDArray[np.floating]
PUBLISHED = {
    "dot": {"score": "dot"},
    "dot, learning-rate weights": {"score": "dot", "weighting": "learning_rate"},
    "length-normalised": {"score": "length_normalised"},
}
WITH_COSINES = {
    "cosine": {"score": "cosine"},
    "cosine + loss": {"detectors": ("cosine", "loss"), "combine": "mean", "fusion": "zscore"},
}
OF_CONTRASTS = {
    "contrast, mismatched": {"detectors": ("contrast_mismatched",)},
    "contrast, truncated": {"detectors": ("contrast_truncated",)},
    "contrast, shuffled": {"detectors": ("contrast_shuffled",)},
    "contrasts, mean": {
        "detectors": ("contrast_mismatched", "contrast_truncated", "contrast_shuffled"),
        "combine": "mean",
        "fusion": "zscore",
    },
    "contrasts, weakest": {"detectors": ("contrast_mismatched", "contrast_truncated", "contrast_shuffled")},
}
OF_LOSSES = {
    "pairing": {"detectors": ("pairing",)},
    "IFD of the base, low is good": {"detectors": ("ifd",)},
    "weakest link of four": {"detectors": ("contrast_truncated", "contrast_shuffled", "pairing", "loss")},
    "weakest link of two": {"detectors": ("pairing", "loss")},
    "weakest link of three": {"detectors": ("contrast_truncated", "pairing", "loss")},
    "sum of the four": {
        "detectors": ("contrast_truncated", "contrast_shuffled", "pairing", "loss"),
        "combine": "mean",
        "fusion": "zscore",
    },
}
DEFAULTS = {"budget": 1.0, "weighting": "uniform", "score": "fused", "combine": "min", "fusion": "lower_half"}


@dataclass(frozen=True, eq=False)
class Score:
    """Of the rows [n], and of the anchors [m] where these were scored too."""

    rows: Floats
    anchors: Floats | None = None


def all_scores(evidence: Evidence, seed: int) -> dict[str, Score]:
    """Scores by name; those from gradients begin with the name of the recording."""
    found: dict[str, Score] = {}
    for name, trace in evidence.traces.items():
        variants = dict(PUBLISHED)
        if "cosine" in trace.companions:
            variants |= WITH_COSINES
        if "contrast_truncated" in trace.companions:
            variants |= OF_CONTRASTS
        found |= {f"{name} {variant}": score_trace(trace, options) for variant, options in variants.items()}
        if "pairing" in trace.companions:
            found |= {variant: score_trace(trace, options) for variant, options in OF_LOSSES.items()}
            anchors = trace.companion("anchors")
            found["perplexity"] = Score(*(-part.companion("loss").values[:, -1] for part in (trace, anchors)))
            found["length"] = Score(*(part.companion("num_labels").values[:, -1] for part in (trace, anchors)))
    if evidence.ifd is not None:
        found["IFD"] = Score(evidence.ifd.values[:, 0])
        found["IFD, low is good"] = Score(-evidence.ifd.values[:, 0])
    if evidence.datainf is not None:
        found["DataInf"] = Score(-evidence.datainf.values[:, 0])
    found["random"] = Score(np.random.default_rng(seed).random(len(evidence.kinds)))
    return found


def score_trace(trace: Trace, options: dict[str, Any]) -> Score:
    """What a `CLUESSelector` with these options makes of the rows and of the anchors."""
    scores = CLUESSelector(**(DEFAULTS | options)).score_examples(trace)
    return Score(scores.values, scores.anchors)
