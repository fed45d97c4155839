"""The candidates a selector chooses among, gathered from evidence, strata and an earlier Selection.

Legend: N rows of the evidence, M candidates, T checkpoints.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import ArrayLike, NDArray

from hf_datasel.example_ids import (
    check_ids,
    is_ascending,
    is_streaming,
    locate,
    read_example_ids,
    require_one_table,
    stamped_fingerprint,
)
from hf_datasel.fingerprint import DatasetFingerprint
from hf_datasel.selection import Selection
from hf_datasel.trace import Trace


class Evidence(Protocol):
    """What is known of N examples and a selector chooses by: a Trace, Embeddings, a Valuation."""

    @property
    def ids(self) -> NDArray[np.int64]:
        """int64 [N], strictly ascending."""

    @property
    def fingerprint(self) -> DatasetFingerprint | None:
        """The dataset whose rows the ids number, where known."""

    @property
    def selectable(self) -> NDArray[np.int64]:
        """Positions of the rows that can be chosen at all, ascending."""

    def require_measured(self, positions: NDArray[np.int64] | None = None) -> None:
        """Raise ValueError, naming the example, where a value of a row that matters is unknown."""

    def describe(self) -> dict[str, Any]:
        """What the provenance says of it, as JSON can hold it."""

    @classmethod
    def load(cls, path: str | Path) -> Evidence:
        """What was saved at a path."""


@dataclass(frozen=True, eq=False)
class Strata:
    """A label for every example, as the source it came from.

    Args:
        ids: integers [N], unique, in any order.
        labels: N strings.

    Example:
        >>> codes, names = Strata([5, 3], ["math", "code"]).codes(np.array([3, 5]))
        >>> codes.tolist(), names
        ([0, 1], ('code', 'math'))
    """

    ids: ArrayLike
    labels: Sequence[str]

    def codes(self, ids: NDArray[np.int64]) -> tuple[NDArray[np.int32], tuple[str, ...]]:
        """The labels of `ids` as int32 numbers, and the names they stand for, sorted.

        Raises:
            ValueError: ids and labels differ in number, an id is there twice, has no label, or one that is no string.
        """
        known = check_ids(self.ids, "Strata")
        if len(known) != len(self.labels):
            raise ValueError(f"Strata: {len(known)} ids came with {len(self.labels)} labels.")
        order = np.argsort(known, kind="stable")
        positions = order[locate(known[order], ids, "Strata: example {id} has no label; give every candidate one.")]
        labels = [self.labels[position] for position in positions.tolist()]
        for position, label in zip(positions, labels, strict=True):
            if not isinstance(label, str):
                raise ValueError(f"Strata: example {known[position]} has the label {label!r}, which is no string.")
        names = sorted(set(labels))
        number = {name: code for code, name in enumerate(names)}
        return np.array([number[label] for label in labels], np.int32), tuple(names)


@dataclass(frozen=True, eq=False)
class Pool:
    """Candidates in the order of their ids.

    Args:
        ids: int64 [M], strictly ascending.
        fingerprint: the dataset whose rows the ids number, where known.
        evidence: what the provenance says of the evidence.
        source: where values are read from; None where the candidates are all that is known.
        positions: int64 [M], the candidates' rows in the source; None where they are all its rows.
        codes: int32 [M], the stratum of each candidate; None without strata.
        stratum_names: what the codes stand for, sorted.
    """

    ids: NDArray[np.int64]
    fingerprint: DatasetFingerprint | None
    evidence: dict[str, Any] = field(default_factory=dict)
    source: Any = None
    positions: NDArray[np.int64] | None = None
    codes: NDArray[np.int32] | None = None
    stratum_names: tuple[str, ...] = ()

    @property
    def trace(self) -> Trace:
        """The source of a method that reads a Trace."""
        assert isinstance(self.source, Trace)
        return self.source

    def count_by_stratum(self, kept: NDArray[np.bool_]) -> dict[str, int]:
        """How many of each stratum are kept; empty without strata."""
        return {name: int(kept[self.codes == code].sum()) for code, name in enumerate(self.stratum_names)}

    def read(self, index: slice | NDArray[np.int64]) -> NDArray[np.float32]:
        """Values of the candidates of a Trace at a slice or at positions in the pool, float32 [m, T]."""
        return self.trace.take(index if self.positions is None else self.positions[index])


def gather_pool(
    evidence: Any,
    strata: Strata | None,
    within: Selection | None,
    *,
    reads_values: bool,
    asker: str,
    kind: type[Evidence] = Trace,
) -> Pool:
    """The candidates: rows of the evidence that can be measured, kept by `within`, with their strata.

    Raises:
        TypeError: `asker` reads values and the evidence is not of its `kind`, or the evidence has no ids.
        ValueError: no candidate is left, one was not measured, or the datasets differ.
    """
    if reads_values and not isinstance(evidence, kind):
        name = kind.__name__
        raise TypeError(
            f"{asker} chooses by evidence of the kind {name}, as in {asker}(...).select({name}.load(path)), not by "
            f"{type(evidence).__name__}."
        )
    source: Evidence | None = evidence if hasattr(evidence, "require_measured") else None
    ids, fingerprint = (source.ids, source.fingerprint) if source is not None else ids_of(evidence, asker)
    note: dict[str, Any] = {"num_examples": len(ids), "fingerprint": fingerprint and fingerprint.to_dict()}
    positions: NDArray[np.int64] | None = None
    if source is not None:
        note |= source.describe()
        selectable = source.selectable
        positions = selectable if len(selectable) < len(ids) else None
    if within is not None:
        if fingerprint is not None and within.fingerprint is not None:
            fingerprint.require_same(within.fingerprint, "The Selection passed as within=")
        chosen = locate(ids, within.ids, "within= keeps example {id}, which the evidence does not have.")
        positions = chosen if positions is None else np.intersect1d(chosen, positions, assume_unique=True)
        fingerprint = fingerprint or within.fingerprint
    candidates = ids if positions is None else ids[positions]
    if not candidates.size:
        raise ValueError(f"{asker} has nothing to choose from: {_why_empty(len(ids), within)}.")
    if source is not None and reads_values:
        source.require_measured(None if within is None else positions)
    codes, names = (None, ()) if strata is None else strata.codes(candidates)
    return Pool(candidates, fingerprint, note, source, positions, codes, names)


def ids_of(evidence: Any, asker: str) -> tuple[NDArray[np.int64], DatasetFingerprint | None]:
    """The ids of evidence or of a dataset, ascending, and the dataset that they number, where known."""
    if hasattr(evidence, "ids") and hasattr(evidence, "fingerprint"):
        ids, fingerprint = check_ids(evidence.ids, "Evidence"), evidence.fingerprint
    else:
        require_one_table(evidence, f"{asker}.select")
        if is_streaming(evidence):
            raise TypeError(f"{asker}.select cannot number the rows of a stream; pass a Trace recorded on it.")
        ids, fingerprint = read_example_ids(evidence), stamped_fingerprint(evidence)
    return ids if is_ascending(ids) else np.sort(ids), fingerprint


def _why_empty(num_examples: int, within: Selection | None) -> str:
    if not num_examples:
        return "the evidence has no examples"
    return "no example can be measured" if within is None else "within= kept no example that can be measured"
