"""The candidates a selector chooses among, gathered from evidence, strata and an earlier Selection.

Legend: N rows of the evidence, M candidates, T checkpoints.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

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
from hf_datasel.trace_companions import TraceWithCompanions


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
        trace: where values are read from; None for a method that reads none.
        positions: int64 [M], the candidates' rows in the trace; None where they are all its rows.
        codes: int32 [M], the stratum of each candidate; None without strata.
        stratum_names: what the codes stand for, sorted.
    """

    ids: NDArray[np.int64]
    fingerprint: DatasetFingerprint | None
    evidence: dict[str, Any] = field(default_factory=dict)
    trace: TraceWithCompanions | None = None
    positions: NDArray[np.int64] | None = None
    codes: NDArray[np.int32] | None = None
    stratum_names: tuple[str, ...] = ()

    def read(self, index: slice | NDArray[np.int64]) -> NDArray[np.float32]:
        """Values of the candidates at a slice or at positions in the pool, float32 [m, T]."""
        assert self.trace is not None
        return self.trace.take(index if self.positions is None else self.positions[index])


def gather_pool(
    evidence: Any, strata: Strata | None, within: Selection | None, *, reads_values: bool, asker: str
) -> Pool:
    """The candidates: rows of the evidence that can be measured, kept by `within`, with their strata.

    Raises:
        TypeError: `asker` reads values and the evidence is no Trace, or the evidence has no ids.
        ValueError: no candidate is left, one was not measured, or the datasets differ.
    """
    trace = evidence if isinstance(evidence, TraceWithCompanions) else None
    if reads_values and trace is None:
        raise TypeError(
            f"{asker} needs a Trace, as in {asker}(...).select(Trace.load(path)), not {type(evidence).__name__}."
        )
    ids, fingerprint = (trace.ids, trace.fingerprint) if trace is not None else _ids_of(evidence, asker)
    note: dict[str, Any] = {"num_examples": len(ids), "fingerprint": fingerprint and fingerprint.to_dict()}
    positions: NDArray[np.int64] | None = None
    if trace is not None:
        note |= {"metric": trace.metric, "mode": trace.mode, "steps": trace.steps.tolist(), "complete": trace.complete}
        note["unmeasurable"] = {reason: len(marked) for reason, marked in sorted(trace.unmeasurable.items())}
        if trace.unmeasurable:
            positions = trace.selectable
    if within is not None:
        if fingerprint is not None and within.fingerprint is not None:
            fingerprint.require_same(within.fingerprint, "The Selection passed as within=")
        chosen = locate(ids, within.ids, "within= keeps example {id}, which the evidence does not have.")
        positions = chosen if positions is None else np.intersect1d(chosen, positions, assume_unique=True)
        fingerprint = fingerprint or within.fingerprint
    candidates = ids if positions is None else ids[positions]
    if not candidates.size:
        raise ValueError(f"{asker} has nothing to choose from: {_why_empty(len(ids), within)}.")
    if trace is not None and reads_values:
        trace.require_measured(None if within is None else positions)
    codes, names = (None, ()) if strata is None else strata.codes(candidates)
    return Pool(candidates, fingerprint, note, trace, positions, codes, names)


def _ids_of(evidence: Any, asker: str) -> tuple[NDArray[np.int64], DatasetFingerprint | None]:
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
