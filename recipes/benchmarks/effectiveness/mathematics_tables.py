"""The tables of the real mixture: losses of held-out answers by source, and what can be said of them."""

from __future__ import annotations

import math
from collections.abc import Mapping

from hf_datasel.compare.grid import FULL, RANDOM
from hf_datasel.compare.plan import ALL
from hf_datasel.compare.tables import CLEAR
from hf_datasel.compare.verdict import with_interval
from hf_datasel.functional.statistics import holm_levels, p_value, paired_difference
from hf_datasel.quickstart.summary import as_markdown
from recipes.benchmarks.effectiveness.mathematics import IN_RUN, MIXTURE
from recipes.benchmarks.effectiveness.setting import S2L
from recipes.benchmarks.effectiveness.telling import (
    LOSS,
    PASSES,
    World,
    outcome_of,
    passes_of,
    told_of,
    verdict_of,
    with_spread,
)


def tables(found: Mapping[str, World], *, verdicts: bool = True) -> str:
    """What `run` returned as Markdown.

    Args:
        verdicts: also say in words what the comparison found.
    """
    mixture = found[MIXTURE]
    parts = [_what(mixture), as_markdown(losses_table(mixture))]
    if verdicts:
        parts += [f"{verdict_of(mixture, LOSS)} {told_of(S2L, mixture, LOSS)}"]
    return "\n\n".join([*parts, in_run_told(found)])


def losses_table(found: World) -> list[list[str]]:
    """A line a method: losses of all answers and by source, the share of gsm8k in what was kept, and the cost."""
    groups = found["groups"]
    marks = _marks(found)
    before = ["nothing", *(f"{found['before'][group]:.3f}" for group in groups), "", ""]
    rows = [["trained on", *(f"loss, {group}" for group in groups), "gsm8k kept", PASSES], before]
    for method in _per_seed(found, ALL):
        losses = [outcome_of(found, LOSS, method)]
        losses += [
            with_spread(_per_seed(found, group)[method]) + marks.get((group, method), "") for group in groups[1:]
        ]
        shares = found["flagged_kept"].get(method)
        kept = "" if shares is None else f"{sum(shares) / len(shares):.0%}"
        rows.append([method, *losses, kept, "" if method == FULL else passes_of(found, method)])
    return rows


def in_run_told(found: Mapping[str, World]) -> str:
    """How S2L by the losses of the training itself stands to S2L by sweeps."""
    values = {name: _per_seed(found[name], ALL)[S2L] for name in (IN_RUN, MIXTURE)}
    one = paired_difference(IN_RUN, MIXTURE, values)
    outcome = "no difference can be told" if not one.is_clear else "worse" if one.mean > 0 else "better"
    interval = None if math.isnan(one.low) else [one.low, one.high]
    said = with_interval({"mean": one.mean, "corrected_interval": interval})
    return (
        f"S2L by the losses that the proxy's training computes anyway ({with_spread(values[IN_RUN])}) less S2L by "
        f"sweeps: {said}; {outcome}. {PASSES.capitalize()}: {passes_of(found[IN_RUN], S2L)}, by sweeps "
        f"{passes_of(found[MIXTURE], S2L)}."
    )


def _what(found: World) -> str:
    num_methods = len(found["methods"]) - 1  # without random rows
    steps = {round(arm["steps"]) for arm in found["costs"]["arms"]}
    rows = {part: sum(counts.values()) for part, counts in found["rows"].items()}
    return (
        f"Nats a token of held-out answers, mean ± half of the 95% interval over {len(found['seeds'])} seeds "
        f"(Student's t); less is better. ▲ did better than as many random rows, ▼ worse, corrected for all "
        f"{num_methods} methods, by source for all methods and sources (Holm). {found['shares'][0]:.0%} of "
        f"{found['num_rows']:,} rows kept, {', '.join(map(str, sorted(steps)))} steps each, {rows['test']:,} rows to "
        f"test on, models pre-trained on {rows['pretraining']:,} others."
    )


def _marks(found: World) -> dict[tuple[str, str], str]:
    """By source and method whether it differs clearly from random rows; all of them corrected together."""
    asked = {
        (group, method): {method: values, RANDOM: own[RANDOM]}
        for group in found["groups"][1:]
        for own in [_per_seed(found, group)]
        for method, values in own.items()
        if method not in (RANDOM, FULL, *found["on_all"])
    }
    levels = holm_levels([p_value([x - y for x, y in zip(*one.values(), strict=True)]) for one in asked.values()])
    differences = {
        key: paired_difference(key[1], RANDOM, one, level)
        for (key, one), level in zip(asked.items(), levels, strict=True)
    }
    return {key: CLEAR[one.mean < 0] for key, one in differences.items() if one.is_clear}


def _per_seed(found: World, group: str) -> dict[str, list[float]]:
    return {one["method"]: one["per_seed"] for one in found["metrics"][LOSS]["groups"][group]["means"]}
