"""What a few repetitions say: means, Student's t intervals, paired differences, and many of them at once.

With n values of mean m and standard error s, |m| > t s is what chance alone does with probability `level`, where t is
the 1 - level / 2 quantile of Student's t with n - 1 degrees of freedom. The tails are the finite sums for whole
degrees of freedom (Abramowitz and Stegun, 26.7.3 and 26.7.4).

Of m such questions asked at once some come out by chance. Holm (1979, "A simple sequentially rejective multiple test
procedure") walks through them by ascending p-value, holds the k-th against level / (m - k + 1), and stops at the first
that fails: the probability of even one false claim stays below `level`, however the questions hang together.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

LEVEL = 0.05
# 97.5% quantiles of Student's t for 1 .. 10 degrees of freedom.
_T = (12.7062, 4.3027, 3.1824, 2.7764, 2.5706, 2.4469, 2.3646, 2.3060, 2.2622, 2.2281)
_Z = 1.959963984540054
_NO_SPREAD = 1e-12  # values that agree to the last bit are too coarsely measured, not infinitely exact


@dataclass(frozen=True)
class Spread:
    """Mean of a few repetitions and its standard error, NaN where there is only one."""

    mean: float
    standard_error: float


@dataclass(frozen=True)
class PairedDifference:
    """Mean of `first - second` over paired repetitions, with its interval by Student's t.

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


def t_interval(values: Sequence[float], level: float = LEVEL) -> tuple[float, float]:
    """The bounds of the mean that miss it with probability `level`; NaN where the values show no spread.

    Example:
        >>> t_interval([1.0, 2.0, 3.0]), t_interval([1.0])
        ((-0.4841..., 4.4841...), (nan, nan))
    """
    found, width = spread(values), math.nan
    if found.standard_error > _NO_SPREAD:
        width = t_quantile(len(values) - 1, level) * found.standard_error
    return found.mean - width, found.mean + width


def paired_difference(
    first: str, second: str, scores: Mapping[str, Sequence[float]], level: float = LEVEL
) -> PairedDifference:
    """The difference of two arms of `scores`, repetition by repetition; raises ValueError unless they pair up.

    Example:
        >>> paired_difference("a", "b", {"a": [2.0, 3.0, 4.0], "b": [1.0, 1.0, 1.0]}).mean
        2.0
    """
    left, right = scores[first], scores[second]
    if len(left) != len(right):
        raise ValueError(f"{first} has {len(left)} repetitions and {second} has {len(right)}: they do not pair up.")
    differences = [a - b for a, b in zip(left, right, strict=True)]
    return PairedDifference(first, second, spread(differences).mean, *t_interval(differences, level), len(left))


def p_value(values: Sequence[float]) -> float:
    """Probability that values of mean 0 have a mean as far from it, by Student's t; NaN where they show no spread.

    Example:
        >>> round(p_value([1.0, 2.0, 3.0]), 4)
        0.0742
    """
    found = spread(values)
    if not found.standard_error > _NO_SPREAD:
        return math.nan
    return _two_tails(abs(found.mean) / found.standard_error, len(values) - 1)


def holm_levels(p_values: Sequence[float], level: float = LEVEL) -> list[float]:
    """The level that Holm's procedure holds each question against; all after the first failure get that one's.

    A question is answered where its p-value is not above its level, or its interval at that level leaves out 0: both
    say the same. NaN, a question without an answer, counts as one that fails.

    Example:
        >>> [round(level, 4) for level in holm_levels([0.001, 0.6, 0.03])]
        [0.0167, 0.025, 0.025]
    """
    found, failed = [0.0] * len(p_values), 0.0
    order = sorted(range(len(p_values)), key=lambda k: (math.isnan(p_values[k]), p_values[k]))
    for rank, k in enumerate(order):
        found[k] = failed or level / (len(order) - rank)
        if not p_values[k] <= found[k]:
            failed = found[k]
    return found


def num_repetitions_needed(
    values: Sequence[float], level: float = LEVEL, power: float = 0.8, most: int = 1000
) -> int | None:
    """About how many repetitions would show the mean of `values` at `level`, were it and their spread the true ones.

    The smallest n with |mean| >= (t(1 - level / 2) + t(power)) s / sqrt(n), where s is the standard deviation: as many
    as make an interval leave out 0 in a share `power` of such experiments. None above `most`, and where the mean is 0
    or the values show no spread.

    Example:
        >>> num_repetitions_needed([0.0, 1.0, 2.0])
        10
    """
    found = spread(values)
    if not found.standard_error > _NO_SPREAD:
        return None
    deviation = found.standard_error * math.sqrt(len(values))

    def suffices(n: int) -> bool:
        bounds = t_quantile(n - 1, level) + t_quantile(n - 1, 2 * (1 - power))
        return abs(found.mean) * math.sqrt(n) >= bounds * deviation

    low, high = 1, most  # too few, and perhaps enough
    if not suffices(high):
        return None
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if suffices(middle) else (middle, high)
    return high


@functools.cache
def t_quantile(degrees: int, level: float = LEVEL) -> float:
    """1 - level / 2 quantile of Student's t; raises ValueError for degrees < 1 or a level that is not in (0, 1).

    At the level 0.05 a table of four places up to 10 degrees of freedom, then the series in 1 / degrees; at others the
    tails, inverted.

    Example:
        >>> round(t_quantile(4), 3), round(t_quantile(30), 3), round(t_quantile(4, 0.01), 3)
        (2.776, 2.042, 4.604)
    """
    if degrees < 1:
        raise ValueError(f"Student's t needs at least one degree of freedom, not {degrees}.")
    if not 0 < level < 1:
        raise ValueError(f"A level is a probability in (0, 1), not {level}.")
    if level != LEVEL:
        return _invert_tails(degrees, level)
    if degrees <= len(_T):
        return _T[degrees - 1]
    z, n = _Z, degrees
    return (
        z
        + (z**3 + z) / (4 * n)
        + (5 * z**5 + 16 * z**3 + 3 * z) / (96 * n**2)
        + (3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z) / (384 * n**3)
    )


def _invert_tails(degrees: int, level: float) -> float:
    high = 1.0
    while _two_tails(high, degrees) > level:
        high *= 2
    low = 0.0
    while low < (middle := (low + high) / 2) < high:
        low, high = (middle, high) if _two_tails(middle, degrees) > level else (low, middle)
    return high


def _two_tails(t: float, degrees: int) -> float:
    """P(|T| > t), to about 1e-15."""
    angle = math.atan(t / math.sqrt(degrees))
    sine, cosine = math.sin(angle), math.cos(angle)
    is_odd = degrees % 2
    term = cosine if is_odd else 1.0
    total = 0.0
    for k in range(1 + is_odd, degrees, 2):
        total += term
        term *= cosine * cosine * k / (k + 1)
    inside = (angle + sine * total) * 2 / math.pi if is_odd else sine * total
    return max(0.0, 1 - inside)
