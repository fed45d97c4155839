"""From runs to a statement: means with their spread, paired differences, and no claim inside the noise."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

# 97.5% quantiles of Student's t for 1 .. 10 degrees of freedom.
_T = (12.7062, 4.3027, 3.1824, 2.7764, 2.5706, 2.4469, 2.3646, 2.3060, 2.2622, 2.2281)
_Z = 1.959963984540054


@dataclass(frozen=True)
class Spread:
    """Mean of a few repetitions and its standard error, NaN where there is only one."""

    mean: float
    standard_error: float


@dataclass(frozen=True)
class PairedDifference:
    """Mean of `first - second` over paired repetitions, with its 95% interval (Student's t).

    The bounds are NaN where the repetitions show no spread to measure it by.
    """

    first: str
    second: str
    mean: float
    low: float
    high: float
    num_pairs: int

    @property
    def is_clear(self) -> bool:
        """Whether the interval is known and leaves out 0."""
        return self.low > 0 or self.high < 0


def spread(values: Sequence[float]) -> Spread:
    """Mean and standard error; raises ValueError on no value or one that is not finite.

    Example:
        >>> spread([1.0, 2.0, 3.0]).mean
        2.0
    """
    if not values or not all(math.isfinite(value) for value in values):
        raise ValueError(f"A mean needs finite values, not {list(values)}.")
    mean = math.fsum(values) / len(values)
    if len(values) == 1:
        return Spread(mean, math.nan)
    variance = math.fsum((value - mean) ** 2 for value in values) / (len(values) - 1)
    return Spread(mean, math.sqrt(variance / len(values)))


def paired_difference(first: str, second: str, scores: dict[str, Sequence[float]]) -> PairedDifference:
    """The difference of two arms of `scores`, repetition by repetition; raises ValueError unless they pair up.

    Example:
        >>> paired_difference("a", "b", {"a": [2.0, 3.0, 4.0], "b": [1.0, 1.0, 1.0]}).mean
        2.0
    """
    left, right = scores[first], scores[second]
    if len(left) != len(right):
        raise ValueError(f"{first} has {len(left)} repetitions and {second} has {len(right)}: they do not pair up.")
    differences = spread([a - b for a, b in zip(left, right, strict=True)])
    width = math.nan
    # Differences that agree to the last bit are too coarsely measured to have an interval, not infinitely exact.
    if differences.standard_error > 1e-12:
        width = t_quantile(len(left) - 1) * differences.standard_error
    mean = differences.mean
    return PairedDifference(first, second, mean, mean - width, mean + width, len(left))


def t_quantile(degrees: int) -> float:
    """97.5% quantile of Student's t: a table up to 10 degrees of freedom, then the series in 1 / degrees.

    Example:
        >>> round(t_quantile(4), 3), round(t_quantile(30), 3)
        (2.776, 2.042)
    """
    if degrees < 1:
        raise ValueError(f"Student's t needs at least one degree of freedom, not {degrees}.")
    if degrees <= len(_T):
        return _T[degrees - 1]
    z, n = _Z, degrees
    return (
        z
        + (z**3 + z) / (4 * n)
        + (5 * z**5 + 16 * z**3 + 3 * z) / (96 * n**2)
        + (3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z) / (384 * n**3)
    )


def verdict(difference: PairedDifference) -> str:
    """One sentence on a difference in macro exact match, which claims nothing unless its interval leaves out 0.

    Example:
        >>> verdict(PairedDifference("S2L", "random", 0.01, -0.02, 0.04, 5))
        'S2L - random: +0.010, 95% interval [-0.020, +0.040] over 5 pairs: they cannot be told apart.'
    """
    first, second = difference.first, difference.second
    what = f"{first} - {second}: {difference.mean:+.3f}"
    pairs = f"{difference.num_pairs} pair{'s' if difference.num_pairs > 1 else ''}"
    if math.isnan(difference.low):
        return f"{what} over {pairs}, without a measurable spread: nothing can be said."
    what = f"{what}, 95% interval [{difference.low:+.3f}, {difference.high:+.3f}] over {pairs}"
    if not difference.is_clear:
        return f"{what}: they cannot be told apart."
    better, worse = (first, second) if difference.mean > 0 else (second, first)
    return f"{what}: {better} did better than {worse} here."
