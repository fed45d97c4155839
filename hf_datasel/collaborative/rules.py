"""The rule that parties filter by, as plain values, and the threshold that holds for all of them.

A rule is the name and the hyperparameters of a :class:`~hf_datasel.CLUESSelector`.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import asdict, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hf_datasel.functional.thresholds import Threshold, find_threshold
from hf_datasel.selectors import CLUESSelector
from hf_datasel.trace import Trace

NEEDS_NO_POOL = ("mean", "quantile", "conformal")


def threshold_of(selector: CLUESSelector) -> float | str | None:
    """The threshold in force: its own, the default where neither it nor a budget is given, else None."""
    if selector.threshold is None and selector.budget is None:
        return selector.default_threshold
    return selector.threshold


def make_rule(selector: CLUESSelector) -> dict[str, Any]:
    """A selector as plain values."""
    options = asdict(replace(selector, threshold=threshold_of(selector)))
    return {"name": selector.name, **{key: _plain(value) for key, value in options.items()}}


def make_selector(rule: Mapping[str, Any]) -> CLUESSelector:
    """The selector of a rule.

    Raises:
        ValueError: a rule of another method, or an option that it does not have.
    """
    options: dict[str, Any] = {key: tuple(value) if isinstance(value, list) else value for key, value in rule.items()}
    if options.pop("name", None) != CLUESSelector.name:
        raise ValueError(f"Parties filter by the rule {CLUESSelector.name!r}, not by {rule.get('name')!r}.")
    try:
        return CLUESSelector(**options)
    except TypeError as error:
        raise ValueError(f"The rule does not fit this hf_datasel's CLUESSelector: {error}.") from error


def check_global(selector: CLUESSelector) -> None:
    """Refuse a threshold that no one party can know for all.

    Raises:
        ValueError: the rule reads private rows; says which.
    """
    rule = threshold_of(selector)
    if isinstance(rule, str) and rule not in NEEDS_NO_POOL:
        raise ValueError(
            f"threshold={rule!r} is estimated from a party's own rows, so it cannot be one for all parties: "
            f"use threshold_scope='per_client', or one of {NEEDS_NO_POOL}."
        )
    if selector.score == "fused" and selector.fusion == "rank":
        raise ValueError(
            "fusion='rank' scores by ranks among a party's own rows, which do not compare between parties and tell of "
            "these rows: use fusion='zscore', or threshold_scope='per_client'."
        )
    if "pairing" in selector.evidence:
        raise ValueError(
            "The detector 'pairing' asks the questions of a party's own rows, so the anchors' scores would tell of "
            "them: leave it out of detectors=, or use threshold_scope='per_client'."
        )


def _plain(value: Any) -> Any:
    """A hyperparameter as JSON has it."""
    if isinstance(value, np.generic):
        return value.item()
    return [_plain(item) for item in value] if isinstance(value, (tuple, list)) else value


def keeps_nothing(selector: CLUESSelector, trace: Trace) -> bool:
    """Whether no example of the Trace passes the selector's threshold; a budget always keeps something."""
    rule = threshold_of(selector)
    if rule is None:
        return False
    scores = selector.score_examples(trace)
    if isinstance(rule, str):
        if scores.anchors is None:
            return False  # select says what is missing
        rule = find_threshold(rule, scores.anchors, scores.values, selector.alpha).value
    with np.errstate(over="ignore"):
        return not bool((scores.values >= np.float32(rule)).any())


def global_threshold(rule: Mapping[str, Any], anchors: Mapping[str, NDArray[np.float32]]) -> Threshold:
    """One threshold from the anchors' scores at all parties.

    The paper's tau is the mean of the anchors' scores. Here every anchor counts once a party, as each party scores it
    on checkpoints of its own; a quantile is then one of the mixture over parties. What "conformal" promises holds for
    a threshold of one party's: over all there is no interval, and the notices are those of one party's anchors.

    Args:
        rule: with the name of a threshold's rule.
        anchors: float32 [n], by party.

    Returns:
        The threshold; a value of minus infinity (everything is kept) becomes the smallest finite number.

    Raises:
        ValueError: no scores, or one that is not finite; names the party.
    """
    name, alpha = str(rule["threshold"]), float(rule["alpha"])
    for party, scores in anchors.items():
        if scores.ndim != 1 or not scores.size or not np.isfinite(scores).all():
            raise ValueError(f"Party {party!r} sent anchor scores that are no finite numbers: its training diverged.")
    pooled = np.concatenate(list(anchors.values()))
    found = find_threshold(name, pooled, pooled, alpha)
    of_one = [find_threshold(name, scores, scores, alpha) for scores in anchors.values()]
    fewest = min(of_one, key=lambda threshold: threshold.num_anchors)
    return replace(
        found,
        value=max(found.value, -sys.float_info.max),
        num_anchors=fewest.num_anchors,
        clean_kept=None,
        notices=fewest.notices,
    )
