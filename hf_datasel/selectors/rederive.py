"""Choose again by what was published of a step, and so see whether it says what was done.

`select` reads evidence; whoever gets a published set has none of it, but scores, clusters, strata, and the step of the
provenance with its configuration and seed. From there on every method here is determined, up to numpy's generators
drawing alike in both versions.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hf_datasel.selectors.base import Selector
from hf_datasel.selectors.published import NotRederivable, Published
from hf_datasel.selectors.registry import get_selector

__all__ = ["NotRederivable", "Published", "rederive"]


def rederive(step: Mapping[str, Any], published: Published) -> NDArray[np.bool_]:
    """Which candidates a step kept, worked out anew.

    Args:
        step: of a Selection's provenance: "selector" and "config" are read.
        published: the candidates of that step, M of them.

    Returns:
        bool [M], to be compared with what is said to have been kept.

    Raises:
        NotRederivable: the selector is not installed here, or it does not choose by what is published.
        ValueError: the step or what was published is nothing that `Selector.select` can have left.

    Example:
        >>> from hf_datasel import RandomSelector, Trace
        >>> selection = RandomSelector(budget=5).select(Trace.from_arrays(range(50), np.ones((50, 1))))
        >>> again = rederive(selection.provenance[-1], Published.of(selection))
        >>> np.array_equal(again, selection.kept)
        True
    """
    if published.codes is None and _had_strata(published.details):
        raise NotRederivable("It was chosen by strata, which an earlier hf_datasel did not record.")
    return _selector(step).choose_again(published)


def _selector(step: Mapping[str, Any]) -> Selector:
    name, config = step.get("selector"), step.get("config")
    if not isinstance(name, str) or not isinstance(config, Mapping):
        raise ValueError(f"The provenance must name a selector and its configuration, not {name!r} and {config!r}.")
    try:
        return get_selector(name, "selector")(**config)
    except (ValueError, ImportError, TypeError) as error:  # not installed, or of a version with other options
        raise NotRederivable(f"There is no such selector here: {error}") from error


def _had_strata(details: Mapping[str, Any]) -> bool:
    strata = details.get("strata") or ()
    names = list(strata) if isinstance(strata, Mapping) else [one.get("stratum") for one in strata]
    return any(name is not None for name in names)
