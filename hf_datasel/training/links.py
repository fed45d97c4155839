"""The selectors that the ``selection_*`` fields describe: one, or the links of a chain."""

from __future__ import annotations

from dataclasses import MISSING
from typing import Any

from hf_datasel.selectors import ScoreSelector, Selector
from hf_datasel.selectors.chain import Link, options_of_links, parse_chain, require_measure
from hf_datasel.selectors.registry import option_names, require_hyperparameters
from hf_datasel.training.config import SelectingSFTConfig

DEFAULT_BUDGET = 0.11  # of S2L's main result


def make_selector(args: SelectingSFTConfig, budget: int | float | None = None, **changes: Any) -> Selector:
    """The selector of a run, of a chain the last, with a budget or hyperparameters in place of its own.

    Raises:
        ValueError: as `make_selectors`.
    """
    *_, (link, more) = _links(args)
    return _last(args, link, more, budget, **changes)


def make_selectors(args: SelectingSFTConfig) -> tuple[Selector, ...]:
    """The selectors of a run, in the order in which they choose.

    Fields reach every link whose method has a hyperparameter of that name, but for the run's budget and threshold,
    which are the last link's.

    Raises:
        ValueError: no selector of a name (lists those there are), a link that does not say how much it keeps, or one
            of which that is said twice.
    """
    *before, (link, more) = _links(args)
    return (*(_early(args, *one) for one in before), _last(args, link, more, None))


def _links(args: SelectingSFTConfig) -> list[tuple[Link, dict[str, Any]]]:
    links = parse_chain(args.selection_method, "selection_method")
    given: Any = args.selection_options or {}
    if not isinstance(given, dict):
        given = {repr(given): None}  # refused below by what it is
    options = options_of_links(links, given, "selection_options")
    for link, more in zip(links, options, strict=True):
        require_hyperparameters(link.selector, more, "selection_options")
    return list(zip(links, options, strict=True))


def _early(args: SelectingSFTConfig, link: Link, more: dict[str, Any]) -> Selector:
    """A link before the last."""
    selector = link.selector
    if link.budget is not None and more.get("budget") is not None:
        raise ValueError(
            f"selection_method='{args.selection_method}' and selection_options both give a budget of "
            f"'{link.method}': leave one of them out."
        )
    own = _fields(args, selector)
    if link.budget is not None:
        own["budget"] = link.budget
    elif selector.__dataclass_fields__["budget"].default is MISSING:
        own["budget"] = None
    made = selector(**{**own, **more})
    require_measure(made, link, f"selection_method='{args.selection_method}'")
    return made


def _last(
    args: SelectingSFTConfig, link: Link, more: dict[str, Any], budget: int | float | None, **changes: Any
) -> Selector:
    """The link that the run's budget or threshold is of."""
    selector = link.selector
    scores = issubclass(selector, ScoreSelector)
    if args.threshold is not None and not scores:
        raise ValueError(
            f"selection_threshold={args.selection_threshold!r} cuts scores, which selection_method="
            f"'{link.method}' does not give: set selection_budget."
        )
    if link.budget is not None and (args.budget is not None or args.threshold is not None):
        named = "selection_threshold" if args.budget is None else "selection_budget"
        raise ValueError(
            f"selection_method='{args.selection_method}' and {named} both say how much '{link.method}' keeps: leave "
            "one of them out."
        )
    own = _fields(args, selector)
    if budget is None:
        needs_one = selector.__dataclass_fields__["budget"].default is MISSING
        said = args.budget if link.budget is None else link.budget
        budget = DEFAULT_BUDGET if said is None and needs_one else said
    if budget is not None:
        own["budget"] = budget
    if scores:
        own["threshold"] = args.threshold
    return selector(**{**own, **more, **changes})


def _fields(args: SelectingSFTConfig, selector: type[Selector]) -> dict[str, Any]:
    """What the fields of the configuration say of a selector, but for how much it keeps."""
    names = (name for name in option_names(selector) if name not in ("budget", "threshold"))
    options = {name: getattr(args, f"selection_{name}", None) for name in names}
    return {name: value for name, value in options.items() if value is not None}
