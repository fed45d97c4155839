"""Chains: every selector chooses among the rows that the one before it kept, as "clues:0.5,s2l" cleans, then spreads.

A share is of all rows of the source, in whichever link it stands: "clues:0.5,s2l" with a budget of 0.1 keeps the best
half of the rows, and of these as many as a tenth of all rows are.

Legend: N rows of the source, L links.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from hf_datasel.selection import Selection
from hf_datasel.selectors import FullSelector, Selector, Strata
from hf_datasel.selectors.pool import ids_of
from hf_datasel.selectors.registry import get_selector
from hf_datasel.trace import Trace


@dataclass(frozen=True)
class Link:
    """A method in a chain, and how much it keeps: a number of rows, a share of all rows, or None where not said."""

    method: str
    budget: int | float | None = None

    @property
    def selector(self) -> type[Selector]:
        """The class of that name."""
        return get_selector(self.method)


def parse_chain(text: str, option: str = "method") -> tuple[Link, ...]:
    """The links of a chain as text; a single method is a chain of one.

    Args:
        text: names of selectors, separated by commas, each with a budget after a colon or without.
        option: how messages call it.

    Raises:
        ValueError: no selector of a name (lists those there are), one that stands twice, or a budget that is none.
        ImportError, TypeError: as `get_selector`.

    Example:
        >>> parse_chain("perplexity:0.5,s2l")
        (Link(method='perplexity', budget=0.5), Link(method='s2l', budget=None))
    """
    links = tuple(_parse_link(part.strip(), text, option) for part in str(text).split(","))
    methods = [link.method for link in links]
    for method in methods:
        get_selector(method, option)
        if methods.count(method) > 1:
            raise ValueError(
                f"{option}={text!r} names {method!r} twice, whose options could not be told apart: in Python, "
                "Chain((A(...), A(...))) takes a method twice."
            )
    return links


def options_of_links(links: Sequence[Link], given: Mapping[str, Any] | None, option: str) -> list[dict[str, Any]]:
    """The hyperparameters of each link: all of them for a chain of one, else those under its method's name.

    Raises:
        ValueError: a name that is no link's, or hyperparameters that do not stand under a method's name.

    Example:
        >>> options_of_links(parse_chain("clues,s2l"), {"s2l": {"num_iterations": 5}}, "selection_options")
        [{}, {'num_iterations': 5}]
    """
    if len(links) == 1:
        return [dict(given or {})]
    methods = [link.method for link in links]
    for name, options in (given or {}).items():
        if name not in methods or not isinstance(options, Mapping):
            raise ValueError(
                f"{option}: {name!r} with {options!r} is for no link of the chain {','.join(methods)}: write "
                f'{{"{methods[0]}": {{...}}, ...}}, hyperparameters under the name of their method.'
            )
    return [dict((given or {}).get(method, {})) for method in methods]


def require_measure(selector: Selector, link: Link, option: str) -> None:
    """Refuse a link that does not say how much it keeps, and whose method has no threshold of its own.

    Raises:
        ValueError: with the way out.
    """
    if selector.budget is not None:
        return
    try:
        selector.check(1)
    except ValueError as error:
        raise ValueError(
            f"{option}: {link.method!r} goes before another method, so it must say how much it keeps: write "
            f"{link.method}:0.5, a share of all rows, or {link.method}:3000. ({error})"
        ) from error


@dataclass(frozen=True)
class Chain:
    """Selectors that choose one after another, each among the rows that the one before kept.

    Args:
        selectors: L of them. A budget that is a share is one of all N rows of the evidence, in every link; one with
            neither budget nor threshold cuts at its method's own. The same method may stand twice.

    Example:
        >>> import numpy as np
        >>> from hf_datasel import PerplexitySelector, S2LSelector
        >>> losses = Trace.from_arrays(ids=range(100), values=np.linspace(0, 1, 300).reshape(100, 3))
        >>> chain = Chain((PerplexitySelector(budget=0.5), S2LSelector(budget=0.1, num_clusters=5)))
        >>> selection = chain.select(losses)
        >>> len(selection), [step["num_kept"] for step in selection.provenance]
        (10, [50, 10])
    """

    selectors: Sequence[Selector]

    def select(self, evidences: Any, *, strata: Strata | None = None, within: Selection | None = None) -> Selection:
        """Choose examples.

        Args:
            evidences: a list or tuple of what each link reads; or a single one for all, of which a link that reads
                a Trace of another metric takes the companion of that name.
            strata: a label for every candidate of the last link, which shares out its budget.
            within: choose among the rows that this Selection kept.

        Returns:
            The Selection of the last link; its provenance holds a step a link, after those of `within`.

        Raises:
            TypeError: evidence of the wrong kind; or a link that is no selector.
            ValueError: as `check` and `Selector.select`, another number of evidences than links, or a link that asks
                for more rows than the one before it kept.
        """
        self._require_selectors()
        sources = self._sources(evidences)
        num_rows = len(ids_of(sources[0], "Chain")[0])
        selection, keeper = within, "the Selection passed as within="
        for number, (selector, source) in enumerate(zip(self._counted(num_rows), sources, strict=True)):
            if selection is not None:
                self._require_enough(number, _number_of(selector), num_rows, len(selection), keeper)
            is_last = number == len(self.selectors) - 1
            selection = selector.select(source, strata=strata if is_last else None, within=selection)
            keeper = self._name(number)
        assert selection is not None
        return selection

    def check(self, num_rows: int) -> None:
        """Raise now what `select` would raise for these selectors and so many rows, as far as that can be known.

        Raises:
            TypeError: a link is no selector.
            ValueError: no link, hyperparameters that are out of range, or a link that asks for more rows than one
                before it keeps; names the links.
        """
        self._require_selectors()
        least, keeper = num_rows, "the source"
        for number, selector in enumerate(self._counted(num_rows)):
            wanted = _number_of(selector)
            self._require_enough(number, wanted, num_rows, least, keeper)
            if wanted is not None:
                least, keeper = wanted, self._name(number)

    def _require_selectors(self) -> None:
        if not self.selectors:
            raise ValueError("Chain(()) has no link: pass selectors, as Chain((CLUESSelector(), S2LSelector(...))).")
        for number, selector in enumerate(self.selectors, start=1):
            if not isinstance(selector, Selector):
                raise TypeError(f"Link {number} of the Chain must be a selector, not {selector!r}.")

    def _counted(self, num_rows: int) -> list[Selector]:
        """The selectors, with numbers of rows in place of shares."""
        counted = []
        for number, selector in enumerate(self.selectors):
            try:
                selector.check(num_rows)
            except ValueError as error:
                raise ValueError(f"Chain: {self._name(number)}: {error}") from error
            if not _keeps_what_passes(selector):
                selector = replace(selector, budget=selector.resolve_budget(num_rows))
            counted.append(selector)
        return counted

    def _require_enough(self, number: int, wanted: int | None, num_rows: int, num_kept: int, keeper: str) -> None:
        if wanted is not None and wanted > num_kept:
            raise ValueError(
                f"Chain: {self._name(number)} asks for {wanted} of {num_rows} rows, but {keeper} keeps {num_kept}: a "
                "share is of all rows, in a later link too. Ask for less, or let more pass before."
            )

    def _sources(self, evidences: Any) -> list[Any]:
        """What each link reads."""
        if not isinstance(evidences, (list, tuple)):
            return [with_companion(selector, evidences) for selector in self.selectors]
        if len(evidences) != len(self.selectors):
            names = ", ".join(selector.name for selector in self.selectors)
            raise ValueError(
                f"A chain of {len(self.selectors)} links ({names}) came with {len(evidences)} evidences: pass one a "
                "link, or a single one for all of them."
            )
        return list(evidences)

    def _name(self, number: int) -> str:
        return f"link {number + 1} of {len(self.selectors)} ({self.selectors[number].name!r})"


def with_companion(selector: Selector, evidence: Any) -> Any:
    """What a selector reads of evidence that is for several: a Trace of its metric, or the companion of that name.

    Raises:
        ValueError: a Trace of another metric, without such a companion.
    """
    reads_trace = selector.reads_values and selector.reads is Trace and isinstance(evidence, Trace)
    if not reads_trace or evidence.metric in selector.metrics:
        return evidence
    for metric in selector.metrics:
        if metric in evidence.companions:
            return evidence.companion(metric)
    raise ValueError(
        f"Chain: {selector.name!r} reads a Trace of {' or '.join(map(repr, selector.metrics))}, but the one for all "
        f"links holds {evidence.metric!r} with the companions {list(evidence.companions)}: give one to each link."
    )


def _keeps_what_passes(selector: Selector) -> bool:
    """Whether a selector keeps everything, or what passes a threshold, rather than a number of rows."""
    return selector.budget is None or isinstance(selector, FullSelector)


def _number_of(selector: Selector) -> int | None:
    """How many rows a selector keeps whose share has been counted; None where that is to be seen."""
    return None if selector.budget is None or _keeps_what_passes(selector) else int(selector.budget)


def _parse_link(part: str, text: str, option: str) -> Link:
    method, colon, amount = part.partition(":")
    if not method:
        raise ValueError(f'{option}={text!r} has a link without a name: write method names as in "clues:0.5,s2l".')
    if not colon:
        return Link(method)
    for kind in (int, float):
        try:
            budget = kind(amount)
        except ValueError:
            continue
        if budget > 0 and (kind is int or budget <= 1):
            return Link(method, budget)
        break
    raise ValueError(
        f"{option}={text!r}: {amount!r} is no budget of {method!r}: write a share of all rows in (0, 1], as in "
        f"{method}:0.5, or a number of rows, as in {method}:3000."
    )
