"""A difference in words, with no claim inside the noise."""

import math

from hf_datasel.functional.statistics import PairedDifference


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
