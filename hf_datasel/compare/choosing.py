"""From a method of a comparison, a budget and a seed to selectors, as a run of its own would have them."""

from __future__ import annotations

import copy

from datasets import Dataset

from hf_datasel.compare.plan import ALWAYS, Method
from hf_datasel.selectors import Selector
from hf_datasel.selectors.chain import Chain
from hf_datasel.training.config import SelectingSFTConfig
from hf_datasel.training.evidence import metric_of
from hf_datasel.training.links import make_selectors
from hf_datasel.training.selectable import READS_VALIDATION, require_selectable

# What is of one selection, or of one training on it; methods, budgets and equal= say it of many.
NOT_OF_A_COMPARISON = ("budget", "threshold", "options", "path", "every", "online_every", "continue", "same_steps")


def require_comparable(args: SelectingSFTConfig) -> None:
    """Refuse options that say of one selection what a comparison says of many.

    Raises:
        TypeError: no SelectingSFTConfig. ValueError: such an option is set; named.
    """
    if not isinstance(args, SelectingSFTConfig):
        raise TypeError(f"args must be a SelectingSFTConfig, not {type(args).__name__}: it says how evidence is made.")
    for name in NOT_OF_A_COMPARISON:
        value = getattr(args, f"selection_{name}")
        if value != SelectingSFTConfig.__dataclass_fields__[f"selection_{name}"].default:
            raise ValueError(
                f"selection_{name}={value!r} is of a single selection: leave it out; a comparison has budgets, equal, "
                "and methods with options of their own."
            )


def args_of(method: Method, args: SelectingSFTConfig, budget: int | float, seed: int) -> SelectingSFTConfig:
    """The arguments of a run that selects by a method, at a budget and with a seed."""
    one = copy.copy(args)
    one.selection_method, one.selection_options = method.chain, dict(method.options) or None
    one.selection_budget, one.selection_seed = budget, seed
    if method.label == ALWAYS[1]:
        one.selection_budget = one.selection_strata_column = None
    return one


def require_method(
    method: Method,
    args: SelectingSFTConfig,
    budget: int | float,
    dataset: Dataset,
    validation: Dataset | None,
    anchors: Dataset | None,
) -> tuple[Selector, ...]:
    """Refuse a method that cannot be had with these options and rows, before any work; returns its selectors.

    Raises:
        ValueError: names the method, with the way out.
    """
    one = args_of(method, args, budget, args.selection_seed)
    try:
        selectors = make_selectors(one)
        Chain(selectors).check(len(dataset))
        metrics = {metric_of(selector) for selector in selectors}
        trusted = validation if metrics & READS_VALIDATION.keys() else None
        require_selectable(one, dataset, trusted, anchors if "influence" in metrics else None, has_selection=False)
    except ValueError as error:
        raise ValueError(f"{method.label} at {budget!r}: {error}") from error
    return selectors
