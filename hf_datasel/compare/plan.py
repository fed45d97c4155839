"""What is compared: methods, budgets, repetitions, and how the models that were trained are measured."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np

Equal = Literal["steps", "epochs"]
ALWAYS = ("random", "full")
CURRICULUM = "confidence_curriculum"
ALL = "all"  # the key under which a metric of all test rows stands


@dataclass(frozen=True)
class Method:
    """A way to select.

    Args:
        label: what tables call it.
        chain: a method, or several one after another, as in "clues:0.5,s2l"; the label itself where it is empty. Or
            "confidence_curriculum", which orders all rows in place of choosing some (`compare/curriculum.py`).
        options: the selector's hyperparameters by name, such as ``{"score": "dot"}``; of a chain by method, such as
            ``{"clues": {"score": "dot"}}``. Of "oracle", a yardstick that draws rows known to be good, the column of
            the training rows that says which are: ``{"column": "is_clean"}``, of booleans; with
            ``{"column": "corrupted", "good": False}`` or ``{"column": "kind", "good": "clean"}`` the value of good
            ones. A budget or a threshold only of links before the last, which has the comparison's budgets: the best
            of a fixed ratio is what every method of scores keeps, those beyond a fixed score are chosen among by
            "perplexity,random" with ``{"perplexity": {"threshold": 3.0}}``.

    Example:
        >>> Method("s2l").chain, Method.of("published=clues").chain
        ('s2l', 'clues')
    """

    label: str
    chain: str = ""
    options: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not self.chain:
            object.__setattr__(self, "chain", self.label)
        object.__setattr__(self, "options", dict(self.options))

    @classmethod
    def of(cls, given: str | Method) -> Method:
        """A method as such, by its chain, or as "label=chain"."""
        if isinstance(given, Method):
            return given
        label, _, chain = given.partition("=")
        return cls(label, chain)

    @property
    def is_on_all(self) -> bool:
        """Whether it trains on all rows, which is one budget."""
        return self.chain in (ALWAYS[1], CURRICULUM)

    @property
    def slug(self) -> str:
        """The label, fit for a file's name."""
        return re.sub(r"[^\w.+]+", "_", self.label)

    def describe(self) -> dict[str, Any]:
        """As JSON values."""
        return {"chain": self.chain, "options": dict(self.options)}


@dataclass(frozen=True)
class Cell:
    """One training: a method, a budget as it was given, and the seed of the training."""

    method: Method
    budget: int | float
    seed: int

    @property
    def name(self) -> str:
        """Of its files."""
        return f"{self.method.slug}-{self.budget!r}-{self.seed}"

    def __str__(self) -> str:
        return f"{self.method.label} at {self.budget!r}, seed {self.seed}"


@dataclass(frozen=True)
class Plan:
    """A comparison.

    Args:
        methods: each by its name, its chain, "label=chain" or as a `Method`; "random" and "full" are added.
        budgets: shares of the rows in (0, 1], or numbers of rows.
        num_seeds: repetitions of every cell.
        seed: of the first one's training; the others count up.
        equal: "steps", as many optimiser steps on every subset as on everything, or "epochs".
        metrics: of test rows: "loss", "exact_match", and what else `FineTuneUtility` takes as a metric, a metric of
            ``evaluate`` among them, by name, by the path of its script, or as an `EvaluateMetric`.
        group_column: of the test rows, to measure in its groups as well.

    Raises:
        ValueError: an option out of range, or two methods of one label; named.

    Example:
        >>> plan = Plan(["s2l"], [0.1, 0.2], num_seeds=2)
        >>> [method.label for method in plan.methods], len(plan.cells())
        (['random', 's2l', 'full'], 10)
    """

    methods: Sequence[Any]
    budgets: Sequence[int | float]
    num_seeds: int = 3
    seed: int = 42
    equal: Equal = "steps"
    metrics: Sequence[Any] = ("loss", "exact_match")
    group_column: str | None = None

    def __post_init__(self) -> None:
        for option in ("methods", "budgets", "metrics"):
            if isinstance(getattr(self, option), str) or not len(getattr(self, option)):
                raise ValueError(f"{option}={getattr(self, option)!r} must be a list of one or more.")
        object.__setattr__(self, "methods", tuple(_with_always(map(Method.of, self.methods))))
        object.__setattr__(self, "budgets", tuple(map(_budget, self.budgets)))
        object.__setattr__(self, "metrics", tuple(self.metrics))
        if isinstance(self.num_seeds, bool) or not isinstance(self.num_seeds, int) or self.num_seeds < 1:
            raise ValueError(f"num_seeds={self.num_seeds!r}: at least one repetition is needed; 3 give an interval.")
        if self.equal not in get_args(Equal):
            raise ValueError(f"equal={self.equal!r} must be one of {get_args(Equal)}.")
        _require_distinct("budgets", [repr(budget) for budget in self.budgets])
        _require_distinct("metrics", self.metric_names)
        _require_distinct("methods", [method.slug for method in self.methods])

    @property
    def metric_names(self) -> list[str]:
        """Under which metrics are reported: their own names, a function's, or of one of ``evaluate`` the last part of
        its path, with the entry that is taken of it, as in "rouge.rougeL".
        """
        return [_name_of(one) for one in self.metrics]

    def cells(self) -> list[Cell]:
        """Everything that is to be trained: one repetition after another, so that a part of it says something, too."""
        return [
            Cell(method, budget, self.seed + number)
            for number in range(self.num_seeds)
            for method in self.methods
            for budget in self.budgets_of(method)
        ]

    def budgets_of(self, method: Method) -> tuple[int | float, ...]:
        """The budgets that a method is trained at: everything is one."""
        return (1.0,) if method.is_on_all else tuple(self.budgets)

    def describe(self) -> dict[str, Any]:
        """As JSON values."""
        return {
            "methods": {method.label: method.describe() for method in self.methods},
            "budgets": list(self.budgets),
            "num_seeds": self.num_seeds,
            "seed": self.seed,
        }


def _name_of(metric: Any) -> str:
    name = metric if isinstance(metric, str) else getattr(metric, "name", getattr(metric, "__name__", ""))
    if Path(name).name != name:
        name = Path(name).stem
    entry = getattr(metric, "entry", None)
    return name if entry is None else f"{name}.{entry}"


def _with_always(methods: Iterator[Method]) -> Iterator[Method]:
    """Random rows first and everything last, where they are not named already."""
    given = list(methods)
    for method in given:
        for name in ALWAYS:
            if (method.label == name) != (method.chain == name) or (method.label == name and method.options):
                raise ValueError(
                    f"methods: the label {method.label!r} with the chain {method.chain!r}: {name!r} is always there, "
                    "under this label and without options, as the others are held against it."
                )
    labels = {method.label for method in given}
    yield from (Method(name) for name in ALWAYS[:1] if name not in labels)
    yield from given
    yield from (Method(name) for name in ALWAYS[1:] if name not in labels)


def _budget(value: Any) -> int | float:
    whole = isinstance(value, (int, np.integer)) and not isinstance(value, bool)
    if whole and value >= 1:
        return int(value)
    if isinstance(value, (float, np.floating)) and 0 < value <= 1:
        return float(value)
    raise ValueError(f"budgets: {value!r} is neither a share in (0, 1] nor a number of rows, a whole one from 1 on.")


def _require_distinct(option: str, names: Sequence[str]) -> None:
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise ValueError(f"{option}: {twice[0]} is there twice; leave one out, or give it a label of its own.")
