"""Every score that is compared, from one client's evidence; high is good in all of them.

Published scores are taken from the selectors. Two are not in the library:

- pairing: log of the answer's mean loss after other questions and after none, over its loss after its own question.
  It is IFD turned round (low IFD is good here), with real questions beside the missing one.
- weakest link: damage is of several kinds and one is enough, so the lowest of several detectors decides, each
  standardised by the anchors. A sum lets a good mark in one detector pay for a bad one in another.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hf_datasel import CLUESSelector, Trace
from recipes.benchmarks.clues_noise.lab import Evidence

Floats = NDArray[np.floating]
WEAKEST_LINKS = {
    "weakest link": ("plain contrast_truncated", "plain contrast_shuffled", "pairing", "perplexity"),
    "weakest link, Adam": ("adam contrast_truncated", "adam contrast_shuffled", "pairing", "perplexity"),
    "weakest link, last layer": (
        "last_layer contrast_truncated",
        "last_layer contrast_shuffled",
        "pairing",
        "perplexity",
    ),
    "weakest link, gradients only": (
        "plain contrast_truncated",
        "plain contrast_shuffled",
        "plain contrast_mismatched",
    ),
    "weakest link, Adam gradients only": (
        "adam contrast_truncated",
        "adam contrast_shuffled",
        "adam contrast_mismatched",
    ),
    "weakest link, no gradients": ("pairing", "perplexity"),
}


@dataclass(frozen=True, eq=False)
class Score:
    """Of the rows [n], and of the anchors [m] where these were scored too."""

    rows: Floats
    anchors: Floats | None = None


def all_scores(evidence: Evidence, seed: int) -> dict[str, Score]:
    """Scores by name."""
    found: dict[str, Score] = {}
    for name, trace in evidence.traces.items():
        found |= _of_trace(name, trace)
    if "plain" in evidence.traces:
        found["perplexity"] = _last_loss(evidence.traces["plain"])
    own, alone, others = evidence.own, evidence.alone, evidence.others
    found["perplexity of the base"] = _both(lambda part: -own[part])
    found["IFD of the base, low is good"] = _both(lambda part: -own[part] / alone[part])
    found["pairing"] = _both(lambda part: np.log((others[part].mean(axis=0) + alone[part]) / 2) - np.log(own[part]))
    found["length"] = _both(lambda part: evidence.num_labels[part])
    if evidence.ifd is not None:
        found["IFD"] = Score(evidence.ifd.values[:, 0])
        found["IFD, low is good"] = Score(-evidence.ifd.values[:, 0])
    if evidence.datainf is not None:
        found["DataInf"] = Score(-evidence.datainf.values[:, 0])
    found["random"] = Score(np.random.default_rng(seed).random(len(evidence.kinds)))
    for name, parts in WEAKEST_LINKS.items():
        if set(parts) <= set(found):
            found[name] = weakest_link([found[part] for part in parts])
    return found


def weakest_link(parts: Sequence[Score]) -> Score:
    """The lowest of several scores, each standardised by what the anchors' lower half looks like.

    The scale is the distance from the anchors' median down to their 16% quantile, one standard deviation of a normal
    distribution: how far up good rows reach says nothing of how low a bad one is.

    Raises:
        ValueError: a score without anchors, or anchors that are all equal.
    """
    rows, anchors = [], []
    for part in parts:
        if part.anchors is None:
            raise ValueError("each detector needs the anchors' scores, to be standardised by")
        low, middle = np.quantile(part.anchors, [0.16, 0.5])
        if not middle > low:
            raise ValueError("the anchors' scores are all equal, so they have no scale")
        rows.append((part.rows - middle) / (middle - low))
        anchors.append((part.anchors - middle) / (middle - low))
    return Score(np.min(rows, axis=0), np.min(anchors, axis=0))


def _of_trace(name: str, trace: Trace) -> dict[str, Score]:
    contrasts = [companion for companion in trace.companions if companion.startswith("contrast_")]
    kinds = ["dot", *(["cosine"] if "cosine" in trace.companions else [])]
    variants = {kind: CLUESSelector(budget=1.0, score=kind, weighting="uniform") for kind in kinds}
    for detectors in (*((contrast,) for contrast in contrasts), tuple(contrasts)):
        if detectors:
            variants["+".join(detectors) if len(detectors) == 1 else "contrasts, mean"] = CLUESSelector(
                budget=1.0, score="fused", detectors=detectors, weighting="uniform"
            )
    if name == "plain":
        variants["dot, learning-rate weights"] = CLUESSelector(budget=1.0, score="dot")
        variants["length-normalised"] = CLUESSelector(budget=1.0, score="length_normalised", weighting="uniform")
    if "cosine" in kinds:
        variants["cosine + loss"] = CLUESSelector(budget=1.0, score="fused", weighting="uniform")
    found = {}
    for variant, selector in variants.items():
        scores = selector.score_examples(trace)
        found[f"{name} {variant}"] = Score(scores.values, scores.anchors)
    return found


def _last_loss(trace: Trace) -> Score:
    anchors = trace.companion("anchors")
    return Score(*(-part.companion("loss").values[:, -1] for part in (trace, anchors)))


def _both(of_part: Callable[[str], Floats]) -> Score:
    return Score(of_part("rows"), of_part("anchors"))
