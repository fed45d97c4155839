"""CLUES: keep examples whose gradients agree, over training, with those of trusted examples.

Zhao, Fan, Hu, Zhou, Chen, Lane, "CLUES: Collaborative High-Quality Data Selection for LLMs via Training Dynamics",
NeurIPS 2024, arXiv 2507.03004. With L the gradient of an example's loss and theta_t the model at checkpoint t,

    S(z) = sum_t eta_t sum_{z' in validation} <L(z', theta_t), L(z, theta_t)>
    tau  = mean of S over the anchor set
    keep z where S(z) >= tau.

High is good. The inner products are in the Trace (`GradientTraceCallback` records them, `functional/` holds the
rules); from there on everything is here. `CLUESSelector(score="dot", threshold="mean")` is the paper.

The default is ours, what told damage of several kinds best (recipes/benchmarks/clues_noise): the weakest link of three
standardised detectors (a direction contrasted with truncated answers, pairing, the last loss), cut by "conformal". It
reads rows of a question and an answer; for plain text take score="cosine" or "dot".

Where else we differ, each by an option:
- Thresholds. Anchors that are distributed as the clean rows have half of these below their mean, so "mean" loses half
  of what is good; "quantile", "conformal" and "f1" do not, and a budget is the fixed ratio.
- Scores. "cosine" divides by the gradients' norms. "length_normalised" multiplies by the root of the number of label
  tokens, because the gradient of a mean over few tokens is large by chance. "fused" combines detectors that err on
  different rows (gradients, losses, IFD, contrasted directions), each standardised: their mean, or, as a row is bad
  if it is bad in any way, their minimum.
- The validation gradient is a mean, not a sum, and the released code takes a mean over checkpoints: other scales of
  the same score. The released code's Adam direction is no option here but of the recorder (`precondition`).

Fusion by "zscore" standardises with the anchors' mean and standard deviation where there are anchors, so that every
party gets the same scale and tells nothing of its own data; by "rank" it takes ranks among the candidates, which do
not compare between parties.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray

from hf_datasel.functional.influence_scores import (
    WEIGHTINGS,
    checkpoint_weights,
    ecdf,
    length_normalised,
    lower_half,
    moments,
    standardise,
    weighted_sum,
)
from hf_datasel.selectors.base import is_number
from hf_datasel.selectors.recorded import Recorded
from hf_datasel.selectors.score import ScoreSelector

LOW_IS_GOOD = ("loss", "ifd")
ONCE = ("ifd", "pairing")  # measured when training began
CONTRAST = "contrast_"
GRADIENT_SCORES = ("dot", "cosine", "length_normalised")
DETECTORS = (*GRADIENT_SCORES, *LOW_IS_GOOD, "pairing", f"{CONTRAST}<name>")


@dataclass(frozen=True, kw_only=True)
class CLUESSelector(ScoreSelector):
    """Keep the examples whose gradients agree with the trusted ones, and that nothing else speaks against.

    The paper is `CLUESSelector(score="dot", threshold="mean")`. The default is ours: a row is scored by the least of
    what its detectors say, so that it is dropped if it is bad in any way. Its detectors need rows of a question and an
    answer (pairing asks other questions, contrasts come from damaged answers); for plain text take `score="cosine"` or
    "dot". What a selector reads is recorded by `GradientTraceCallback(..., for_selector=selector)`, without which only
    "dot", "length_normalised" and the loss are there; its `evidence` names it.

    Args:
        budget, threshold, alpha, seed: see `ScoreSelector`; with neither budget nor threshold the rule is "conformal".
        score: "dot" (the paper), "cosine", "length_normalised", or "fused", of the detectors.
        weighting: of the checkpoints: "learning_rate" (the paper) or "uniform".
        normalise_checkpoints: divide every checkpoint's values by their standard deviation over the anchors, or over
            the candidates where the Trace has no anchors.
        detectors: what "fused" combines: "dot", "cosine", "length_normalised", "loss", "ifd", "pairing" or
            "contrast_<name>"; of loss and IFD low is good, of the others high.
        combine: "min", the weakest link, or "mean" of the standardised detectors.
        weights: of the detectors in a mean; equal where none are given.
        fusion: how they are standardised: "zscore", by mean and standard deviation; "lower_half", by the median and
            the distance down to the 16% quantile, as how far up good rows reach says nothing of how low a bad one is;
            "rank", among the candidates.
        loss_at: the loss taken: "trajectory", summed as the gradient score is, or that of the "last" checkpoint.

    Example:
        >>> from hf_datasel import Trace
        >>> anchors = Trace.from_arrays(ids=[0, 1, 2], values=[[1.0], [1.2], [1.4]], metric="influence")
        >>> trace = Trace.from_arrays(
        ...     ids=[0, 1, 2], values=[[1.3], [-0.5], [1.25]], metric="influence", companions={"anchors": anchors}
        ... )
        >>> CLUESSelector(score="dot", threshold="mean", weighting="uniform").select(trace).ids.tolist()
        [0, 2]
    """

    score: Literal["dot", "cosine", "length_normalised", "fused"] = "fused"
    weighting: Literal["learning_rate", "uniform"] = "learning_rate"
    normalise_checkpoints: bool = False
    detectors: Sequence[str] = ("contrast_truncated", "pairing", "loss")
    combine: Literal["mean", "min"] = "min"
    weights: Sequence[float] | None = None
    fusion: Literal["zscore", "lower_half", "rank"] = "lower_half"
    loss_at: Literal["trajectory", "last"] = "last"

    name: ClassVar[str] = "clues"
    direction: ClassVar[Literal["high", "low"]] = "high"
    metrics: ClassVar[tuple[str, ...]] = ("influence",)
    recorded_by: ClassVar[str] = "GradientTraceCallback"
    default_threshold: ClassVar[float | str | None] = "conformal"

    def _check(self) -> None:
        super()._check()
        self._require_one_of("score", self.score, (*GRADIENT_SCORES, "fused"))
        self._require_one_of("weighting", self.weighting, WEIGHTINGS)
        self._require_bool("normalise_checkpoints", self.normalise_checkpoints)
        self._check_detectors()
        self._require_one_of("combine", self.combine, ("mean", "min"))
        self._require_one_of("fusion", self.fusion, ("zscore", "lower_half", "rank"))
        self._require_one_of("loss_at", self.loss_at, ("trajectory", "last"))

    def _check_detectors(self) -> None:
        names = self.detectors
        if isinstance(names, str) or not names or len(set(names)) != len(list(names)):
            raise ValueError(f"detectors={names!r} of CLUESSelector must be a list of distinct names.")
        for name in names:
            if not str(name).startswith(CONTRAST):
                self._require_one_of(
                    "detectors", name, (*GRADIENT_SCORES, *LOW_IS_GOOD, "pairing", f"{CONTRAST}<name>")
                )
        if self.weights is None:
            return
        if self.combine == "min":
            raise ValueError(
                f"weights={self.weights!r} of CLUESSelector are of a mean, and combine='min' takes none: pass "
                "combine='mean'."
            )
        numbers = [value for value in self.weights if is_number(value) and value >= 0]
        if len(numbers) != len(names) or not sum(numbers) > 0:
            raise ValueError(
                f"weights={self.weights!r} of CLUESSelector must be {len(names)} numbers, one a detector, none "
                "negative and not all 0."
            )

    @property
    def evidence(self) -> tuple[str, ...]:
        """What of a Trace is read: "dot", or names of companions."""
        read = tuple(self.detectors) if self.score == "fused" else (self.score,)
        return tuple("dot" if name == "length_normalised" else name for name in read)

    def _wants_anchors(self, candidates: Recorded) -> bool:
        standardises = self.normalise_checkpoints or (self.score == "fused" and self.fusion != "rank")
        return standardises and "anchors" in candidates.trace.companions

    def _score(
        self, candidates: Recorded, anchors: Recorded | None
    ) -> tuple[NDArray[np.float64], NDArray[np.float64] | None, dict[str, Any]]:
        details = {"score": self.score, "precondition": candidates.trace.info.get("precondition")}
        reference = candidates if anchors is None else anchors
        if self.normalise_checkpoints or (self.score == "fused" and self.fusion != "rank"):
            details["standardised_by"] = "candidates" if anchors is None else "anchors"
        if self.score != "fused":
            component = self._component(self.score, reference)
            return component(candidates), None if anchors is None else component(anchors), details
        names = list(self.detectors)
        weights = np.ones(len(names)) if self.weights is None else np.asarray(self.weights, np.float64)
        weights = weights / weights.sum()
        of_candidates, of_anchors = (
            self._combined(len(candidates)),
            self._combined(0 if anchors is None else len(anchors)),
        )
        for name, weight in zip(names, weights.tolist(), strict=True):
            component = self._component(name, reference)
            values = component(candidates)
            trusted = values[:0] if anchors is None else component(anchors)
            scale = self._scale(name, values, trusted if len(trusted) else values)
            of_candidates = self._add(of_candidates, scale(values), weight)
            of_anchors = self._add(of_anchors, scale(trusted), weight)
        return of_candidates, None if anchors is None else of_anchors, {**details, "detectors": names}

    def _combined(self, count: int) -> NDArray[np.float64]:
        return np.full(count, np.inf) if self.combine == "min" else np.zeros(count)

    def _add(self, total: NDArray[np.float64], part: NDArray[np.float64], weight: float) -> NDArray[np.float64]:
        return np.minimum(total, part) if self.combine == "min" else total + weight * part

    def _component(self, kind: str, reference: Recorded) -> Callable[[Recorded], NDArray[np.float64]]:
        """How rows are scored by one kind of evidence, high is good; checkpoints are normalised over `reference`."""
        weights = checkpoint_weights(reference.trace.learning_rates, self.weighting)
        if self.normalise_checkpoints and kind not in ONCE:
            weights = weights * self._inverse_deviations(kind, reference)

        def component(rows: Recorded) -> NDArray[np.float64]:
            if kind in ONCE:
                values = self._source(kind, rows).last().astype(np.float64)
                return -values if kind in LOW_IS_GOOD else values
            if kind == "loss" and self.loss_at == "last":
                return -self._source(kind, rows).last().astype(np.float64)
            scores = np.empty(len(rows), np.float64)
            for where, block in self._source(kind, rows).blocks():
                scores[where] = weighted_sum(block, weights)
            if kind == "length_normalised":
                return length_normalised(scores, _num_labels(rows))
            return -scores if kind in LOW_IS_GOOD else scores

        return component

    def _source(self, kind: str, rows: Recorded) -> Recorded:
        """Where one kind of evidence was recorded."""
        if kind in ("dot", "length_normalised"):
            return rows
        asker, otherwise = f"CLUESSelector(score={self.score!r})", "; or take score='dot', which needs nothing more"
        return rows.companion(kind, asker, same_steps=kind not in ONCE, otherwise=otherwise)

    def _inverse_deviations(self, kind: str, reference: Recorded) -> NDArray[np.float64]:
        """1 / standard deviation of each checkpoint over the reference; 0 where all its values are equal."""
        _, deviations, count = moments(block for _, block in self._source(kind, reference).blocks())
        if not deviations.any():
            raise ValueError(
                f"normalise_checkpoints=True divides by the standard deviation over {reference.what}, but its {count} "
                "rows do not differ: give more anchors, or leave it out."
            )
        return np.divide(1.0, deviations, out=np.zeros_like(deviations), where=deviations > 0)

    def _scale(
        self, kind: str, candidates: NDArray[np.float64], reference: NDArray[np.float64]
    ) -> Callable[[NDArray[np.float64]], NDArray[np.float64]]:
        """What brings a component to the scale on which components are added."""
        if self.fusion == "rank":
            return lambda values: ecdf(candidates, values)
        if self.fusion == "lower_half":
            mean, deviation = lower_half(reference)
        else:
            (mean,), (deviation,), _ = moments([reference[:, None]])
        if not deviation > 0:
            raise ValueError(
                f"fusion={self.fusion!r} standardises {kind!r}, but the {len(reference)} scores to standardise by do "
                "not differ: give more anchors, or take fusion='rank'."
            )
        return lambda values: standardise(values, mean, deviation)


def _num_labels(rows: Recorded) -> NDArray[np.float32]:
    """Label tokens of each row, float32 [n]; raises ValueError for a row with none, naming its example."""
    labels = rows.companion("num_labels", "CLUESSelector(score='length_normalised')", same_steps=False).last()
    few = ~(labels >= 1)
    if few.any():
        row = int(few.argmax())
        raise ValueError(
            f"Example {rows.ids[row]} of {rows.what} has {labels[row]:g} label tokens: mark it unmeasurable, or leave "
            "it out with within=."
        )
    return labels
