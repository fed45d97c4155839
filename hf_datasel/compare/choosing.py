"""From a method of a comparison, a budget and a seed to selectors, as a run of its own would have them."""

from __future__ import annotations

import copy
import re
from collections.abc import Sequence

from datasets import Dataset

from hf_datasel.compare.curriculum import ConfidenceCurriculum
from hf_datasel.compare.plan import CURRICULUM, Method
from hf_datasel.selectors import Selector
from hf_datasel.selectors.chain import Chain
from hf_datasel.selectors.registry import require_hyperparameters
from hf_datasel.training.config import SelectingSFTConfig
from hf_datasel.training.evidence import metric_of, truth_of
from hf_datasel.training.links import make_selectors
from hf_datasel.training.selectable import READS_VALIDATION, require_selectable
from hf_datasel.truth import record_truth

# What is of one selection, or of one training on it; methods, budgets and equal= say it of many.
NOT_OF_A_COMPARISON = (
    "budget",
    "threshold",
    "options",
    "path",
    "every",
    "online_every",
    "curriculum",
    "continue",
    "same_steps",
)


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
                f"and methods with options of their own, {CURRICULUM!r} among them."
            )


def args_of(method: Method, args: SelectingSFTConfig, budget: int | float, seed: int) -> SelectingSFTConfig:
    """The arguments of a run that selects by a method, at a budget and with a seed."""
    one = copy.copy(args)
    one.selection_method, one.selection_options = method.chain, dict(method.options) or None
    one.selection_budget, one.selection_seed = budget, seed
    if method.is_on_all:
        one.selection_budget = one.selection_strata_column = None
    return one


def selectors_of(method: Method, args: SelectingSFTConfig, budget: int | float, seed: int) -> tuple[Selector, ...]:
    """The selectors of a method, at a budget and with a seed.

    Raises:
        ValueError: as `make_selectors`.
    """
    if method.chain == CURRICULUM:
        require_hyperparameters(ConfidenceCurriculum, method.options, "options")
        return (ConfidenceCurriculum(**method.options),)
    if CURRICULUM in re.split("[,:]", method.chain):
        raise ValueError(
            f"{CURRICULUM!r} orders all rows and chooses none: it is no link of a chain and has no budget. Name it "
            "alone."
        )
    return make_selectors(args_of(method, args, budget, seed))


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
        selectors = selectors_of(method, args, budget, args.selection_seed)
        _require_no_budget_of_its_own(method, selectors)
        Chain(selectors).check(len(dataset))
        if method.chain == CURRICULUM:
            return selectors  # reads what every training can record
        _require_truth(selectors, dataset)
        metrics = {metric_of(selector) for selector in selectors}
        trusted = validation if metrics & READS_VALIDATION.keys() else None
        require_selectable(one, dataset, trusted, anchors if "influence" in metrics else None, has_selection=False)
    except ValueError as error:
        raise ValueError(f"{method.label} at {budget!r}: {error}") from error
    return selectors


def is_yardstick(selectors: Sequence[Selector]) -> bool:
    """Whether they know of the rows what is to be found out."""
    return any(metric_of(selector) == "clean" for selector in selectors)


def _require_no_budget_of_its_own(method: Method, selectors: Sequence[Selector]) -> None:
    """Budgets are those of the comparison: methods are held against as many random rows."""
    last = selectors[-1].name
    options = method.options if len(selectors) == 1 else method.options.get(last, {})
    way_out = {
        "budget": "",
        "threshold": " To choose among what passes a threshold, let another method follow, as in "
        f'"{method.chain},random" with the options {{"{last}": {{"threshold": {options.get("threshold")!r}}}}}.',
    }
    for name, more in way_out.items():
        if options.get(name) is not None:
            raise ValueError(
                f"the option {name}={options[name]!r} says how much {last!r} keeps, which the budgets of the "
                f"comparison say: leave it out.{more}"
            )


def _require_truth(selectors: Sequence[Selector], dataset: Dataset) -> None:
    """Refuse a yardstick whose truth the rows do not tell, or that is asked for more good rows than there are."""
    for number, selector in enumerate(selectors):
        if metric_of(selector) != "clean":
            continue
        column, good = truth_of(selector)
        if column is None:
            raise ValueError(
                f"{selector.name!r} is told which rows are good: name the column of train_dataset that says so, as in "
                f'Method("{selector.name}", options={{"column": "is_clean"}}), or on the command line '
                f'--method_options \'{{"{selector.name}": {{"column": "is_clean"}}}}\'.'
            )
        num_good = int(record_truth(dataset, column, good=good).column(0).sum())
        for later in selectors[number:]:
            wanted = 0 if later.budget is None else later.resolve_budget(len(dataset))
            if wanted > num_good:
                raise ValueError(
                    f"{later.name!r} is to keep {wanted} rows, but only {num_good} of {len(dataset)} are good "
                    f"(column {column!r}, good={good!r}): ask for less."
                )
