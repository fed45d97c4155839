"""How well scores and selections tell clean rows from damaged ones; clean is the positive class throughout."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hf_datasel.functional.statistics import spread, t_quantile


def auroc(scores: NDArray[np.floating], clean: NDArray[np.bool_]) -> float:
    """Probability that a clean row scores above a damaged one, ties counted half; NaN where a class has no row.

    Args:
        scores: [n], high is good.
        clean: bool [n].

    Example:
        >>> auroc(np.array([3.0, 2.0, 2.0, 1.0]), np.array([True, True, False, False]))
        0.875
    """
    good, bad = scores[clean], np.sort(scores[~clean])
    if not len(good) or not len(bad):
        return float("nan")
    below, upto = (np.searchsorted(bad, good, side=side) for side in ("left", "right"))
    return float((below + upto).sum() / (2 * len(good) * len(bad)))


def confusion(kept: NDArray[np.bool_], clean: NDArray[np.bool_]) -> dict[str, float]:
    """Precision, recall, F1 and accuracy of keeping the clean rows; precision is NaN where nothing is kept, F1 is 0.

    Example:
        >>> confusion(np.array([True, True, False]), np.array([True, False, True]))
        {'precision': 0.5, 'recall': 0.5, 'f1': 0.5, 'accuracy': 0.3333333333333333}
    """
    right, num_kept, num_clean = int((kept & clean).sum()), int(kept.sum()), int(clean.sum())
    return {
        "precision": right / num_kept if num_kept else float("nan"),
        "recall": right / num_clean if num_clean else float("nan"),
        "f1": 2 * right / (num_kept + num_clean) if num_kept + num_clean else float("nan"),
        "accuracy": float((kept == clean).mean()),
    }


def best_f1(scores: NDArray[np.floating], clean: NDArray[np.bool_]) -> float:
    """The highest F1 that any threshold on the scores reaches: a ceiling that only the truth knows.

    Example:
        >>> best_f1(np.array([3.0, 2.0, 1.0]), np.array([True, False, True]))
        0.8
    """
    return max(confusion(scores >= cut, clean)["f1"] for cut in np.unique(scores))


def per_kind(
    scores: NDArray[np.floating] | None, kept: NDArray[np.bool_] | None, kinds: NDArray[np.str_]
) -> dict[str, dict[str, float]]:
    """Both kinds of measure for the clean rows against all damaged ones ("all"), and against those of each kind.

    Args:
        scores: [n], or None for a method without.
        kept: bool [n], or None for scores without a threshold.
        kinds: [n], "clean" or the kind of damage.
    """
    clean = kinds == "clean"
    found = {}
    for kind in ("all", *sorted(set(kinds[~clean].tolist()))):
        rows = np.ones(len(kinds), bool) if kind == "all" else clean | (kinds == kind)
        measures = {} if scores is None else {"auroc": auroc(scores[rows], clean[rows])}
        found[kind] = measures | ({} if kept is None else confusion(kept[rows], clean[rows]))
    return found


def interval(values: Sequence[float]) -> dict[str, Any]:
    """Mean over seeds with its 95% interval by Student's t, and the values; the interval is None for one seed.

    Example:
        >>> interval([1.0, 2.0, 3.0])
        {'mean': 2.0, 'interval': [-0.4842, 4.4842], 'per_seed': [1.0, 2.0, 3.0]}
    """
    found = spread(list(values))
    half = t_quantile(len(values) - 1) * found.standard_error if len(values) > 1 else None
    bounds = None if half is None else [round(found.mean - half, 4), round(found.mean + half, 4)]
    return {"mean": round(found.mean, 4), "interval": bounds, "per_seed": [round(value, 4) for value in values]}
