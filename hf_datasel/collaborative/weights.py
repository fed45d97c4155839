"""How much each party counts."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, Literal

Weights = Literal["uniform", "num_kept"] | Mapping[str, float]


def check_weights(weights: Any, whose: str) -> None:
    """Refuse what says no weights.

    Raises:
        ValueError: neither a rule's name nor finite numbers by party; names the value.
    """
    if isinstance(weights, Mapping):
        for party, weight in weights.items():
            if isinstance(weight, bool) or not isinstance(weight, (int, float)) or not math.isfinite(weight):
                raise ValueError(f"{whose}: the weight of party {party!r} is {weight!r}, not a finite number.")
    elif weights not in ("uniform", "num_kept"):
        raise ValueError(
            f"{whose}: weights={weights!r} must be 'uniform', 'num_kept', or a dictionary of a number for each party."
        )


def resolve_weights(weights: Weights, parties: Sequence[str], num_kept: Mapping[str, int]) -> dict[str, float]:
    """A number for each party.

    Args:
        weights: "uniform" or "num_kept", which add up to 1, or numbers by party, which are taken as they are.
        parties: who takes part.
        num_kept: rows kept, read for "num_kept" only.

    Raises:
        ValueError: a party without a weight.

    Example:
        >>> resolve_weights("num_kept", ["north", "south"], {"north": 30, "south": 10})
        {'north': 0.75, 'south': 0.25}
    """
    if isinstance(weights, Mapping):
        missing = [party for party in parties if party not in weights]
        if missing:
            raise ValueError(f"weights has no number for party {missing[0]!r}, only for {sorted(weights)}.")
        return {party: float(weights[party]) for party in parties}
    if weights == "uniform":
        return dict.fromkeys(parties, 1 / len(parties))
    total = sum(num_kept[party] for party in parties)
    return {party: num_kept[party] / total for party in parties}
