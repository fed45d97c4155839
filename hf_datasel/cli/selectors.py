"""What the options of `hf-datasel select` stand for: a selector or a chain of them, and what each reads."""

from __future__ import annotations

from dataclasses import MISSING
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hf_datasel.cli import UsageError
from hf_datasel.cli.recorded import load_recorded
from hf_datasel.cli.values import parse_budget, parse_object, parse_threshold
from hf_datasel.selectors import ScoreSelector, SHEDSelector
from hf_datasel.selectors.chain import Link, options_of_links, parse_chain, require_measure, with_companion
from hf_datasel.selectors.registry import option_names, require_hyperparameters

if TYPE_CHECKING:
    from datasets import Dataset

    from hf_datasel.cli.select import SelectArguments
    from hf_datasel.selectors import Selector


def make_selector(options: SelectArguments) -> Selector:
    """The selector that the options name, of a chain the last."""
    return make_selectors(options)[-1]


def make_selectors(options: SelectArguments) -> tuple[Selector, ...]:
    """The selectors that the options name, in the order in which they choose.

    Raises:
        UsageError: no such method or hyperparameter, or no word, or two, on how much a link keeps.
        ImportError, TypeError: a method of another package that cannot be used.
    """
    more = parse_object(options.selector_options, "--selector_options")
    try:
        links = parse_chain(options.method, "--method")
        given = options_of_links(links, more, "--selector_options")
        for link, own in zip(links, given, strict=True):
            require_hyperparameters(link.selector, own, "--selector_options")
        early = [_early(options, link, own) for link, own in zip(links[:-1], given, strict=False)]
    except ValueError as error:
        raise UsageError(str(error)) from error
    return (*early, _last(options, links[-1], given[-1], is_alone=len(links) == 1))


def load_evidences(options: SelectArguments, selectors: tuple[Selector, ...], dataset: Dataset | None) -> list[Any]:
    """What each selector reads, of the kind that it does.

    Raises:
        UsageError: another number of places than links, or `--in_run_score` where no values are made by it.
        FileNotFoundError, ValueError: nothing is there, it is damaged, of another dataset, or of another metric.
    """
    from hf_datasel.data import dataset_fingerprint, rows

    if options.trace_dir is None:
        return [rows(dataset)] * len(selectors)
    places = [Path(place) for place in options.trace_dir]
    is_for_all = len(places) == 1 and len(selectors) > 1
    if is_for_all:
        places *= len(selectors)
    if len(places) != len(selectors):
        raise UsageError(
            f"--method {options.method} has {len(selectors)} links, but --trace_dir names {len(places)} places: name "
            "one a link, or one for all"
        )
    of_gradients = [_is_of_gradients(*one) for one in zip(selectors, places, strict=True)]
    if options.in_run_score != "dot" and not any(of_gradients):
        raise UsageError(f"--in_run_score is for a trace of in_run_shapley, which {places[-1]} is not")
    fingerprint = None if dataset is None else dataset_fingerprint(dataset)
    evidences = []
    for selector, place, in_run in zip(selectors, places, of_gradients, strict=True):
        evidence = _load(selector, place, options.in_run_score if in_run else None)
        if fingerprint is not None and evidence.fingerprint is not None:
            evidence.fingerprint.require_same(fingerprint, f"What was recorded in {place}")
        evidences.append(with_companion(selector, evidence) if is_for_all else evidence)
    return evidences


def _early(options: SelectArguments, link: Link, more: dict[str, Any]) -> Selector:
    """A link before the last: how much it keeps stands in the chain or in `--selector_options`."""
    own = {name: value for name, value in _flags(options, link).items() if name not in ("budget", "threshold")}
    if link.budget is not None and more.get("budget") is not None:
        raise UsageError(f"--method {options.method} and --selector_options both give a budget of {link.method}")
    if link.budget is not None or link.selector.__dataclass_fields__["budget"].default is MISSING:
        own["budget"] = link.budget
    selector = link.selector(**{**own, **more})
    require_measure(selector, link, f"--method {options.method}")
    return selector


def _last(options: SelectArguments, link: Link, more: dict[str, Any], *, is_alone: bool) -> Selector:
    """The link that --budget or --threshold is of."""
    method, selector, budget = link.method, link.selector, link.budget
    own = _flags(options, link)
    for name in more:
        if name in own and (is_alone or name in ("budget", "threshold")):
            raise UsageError(f"--selector_options: {name} of --method {method} has an option of its own")
    own |= more
    if budget is not None and not (options.budget is None and options.threshold is None):
        raise UsageError(f"--method {options.method} says how much {method} keeps: leave --budget and --threshold out")
    if budget is None and options.budget is not None:
        budget = parse_budget(options.budget)
    if not issubclass(selector, ScoreSelector):
        if options.threshold is not None:
            raise UsageError(f"--method {method} gives no scores, so it has no --threshold: pass --budget")
        if budget is None and selector.__dataclass_fields__["budget"].default is not MISSING:
            return selector(**{name: value for name, value in own.items() if name != "budget"})
        return selector(**{**own, "budget": parse_budget(None) if budget is None else budget})
    if options.budget is not None and options.threshold is not None:
        raise UsageError("--budget and --threshold are both given: pass the one or the other")
    if budget is None and options.threshold is None and selector.default_threshold is None:
        raise UsageError(f"--method {method} needs --budget or --threshold")
    return selector(**{**own, "budget": budget, "threshold": parse_threshold(options.threshold)})


def _flags(options: SelectArguments, link: Link) -> dict[str, Any]:
    """What the options of the same names say of a method's hyperparameters."""
    own = {name: getattr(options, name) for name in option_names(link.selector) if hasattr(options, name)}
    if link.selector is SHEDSelector:
        own["weighting"] = options.cluster_weighting
    return own


def _is_of_gradients(selector: Selector, place: Path) -> bool:
    """Whether the method reads values of rows, and a trace of gradients lies there, of which they are made."""
    from hf_datasel import Valuation, trace_manifest
    from hf_datasel.storage import read_json

    manifest = place / trace_manifest.NAME
    if selector.reads is not Valuation or not manifest.is_file():
        return False
    return bool(read_json(manifest, "Trace").get("format") == trace_manifest.FORMAT)


def _load(selector: Selector, place: Path, in_run_score: Any) -> Any:
    from hf_datasel import Trace, Valuation

    if in_run_score is not None:
        return Valuation.from_trace(Trace.load(place), score=in_run_score)
    return selector.reads.load(place) if selector.reads_values else load_recorded(str(place))
