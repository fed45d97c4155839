"""What a report is made from, found to belong together.

Legend: N rows of the dataset, M candidates, B kept.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hf_datasel.data import add_example_ids, dataset_fingerprint
from hf_datasel.embeddings import Embeddings
from hf_datasel.example_ids import is_streaming, locate, read_example_ids, require_one_table
from hf_datasel.report.groups import Labels, read_labels
from hf_datasel.selection import Selection
from hf_datasel.trace import Trace
from hf_datasel.valuation import Valuation


@dataclass(frozen=True, eq=False)
class Material:
    """A Selection and what is known of its rows.

    Args:
        selection: that keeps at least one row.
        dataset: the source, with example ids; None where it is not at hand.
        ids: int64 [N], the dataset's ids in the order of its rows; empty without a dataset.
        evidence: what the Selection was made from.
        embeddings: of the same rows.
        labels: by group column.
    """

    selection: Selection
    dataset: Any
    ids: NDArray[np.int64]
    evidence: Trace | Valuation | Embeddings | None
    embeddings: Embeddings | None
    labels: dict[str, Labels]

    @property
    def losses(self) -> Trace | None:
        """Loss trajectories, where the evidence has them."""
        if not isinstance(self.evidence, Trace):
            return None
        if self.evidence.metric == "loss":
            return self.evidence
        return self.evidence.companion("loss") if "loss" in self.evidence.companions else None

    def rows_of(self, ids: NDArray[np.int64]) -> NDArray[np.int64]:
        """Row numbers in the dataset, in the order of the ids; all of them are there."""
        order = np.argsort(self.ids, kind="stable")
        return order[np.searchsorted(self.ids[order], ids)]


def gather_material(
    selection: Selection,
    dataset: Any = None,
    evidence: Any = None,
    embeddings: Embeddings | None = None,
    group_columns: Sequence[str] = (),
) -> Material:
    """Check that everything is of the Selection's rows.

    Raises:
        TypeError: a stream, a dictionary of splits, evidence or embeddings of another kind.
        ValueError: a Selection that kept nothing, a dataset without rows, another dataset's dataset, evidence or
            embeddings (a candidate that is missing is named), or no such group column.
    """
    if not len(selection):
        raise ValueError(
            f"This Selection kept none of its {len(selection.candidate_ids):,} candidates: there is nothing to show. "
            "Select again with a larger budget or another threshold."
        )
    if group_columns and dataset is None:
        raise ValueError(f"Rows cannot be grouped by {group_columns[0]!r} without the dataset: pass it, too.")
    numbered, ids = (None, np.empty(0, np.int64)) if dataset is None else _numbered(selection, dataset)
    if evidence is not None:
        _require_of_selection(selection, evidence, "evidence", (Trace, Valuation, Embeddings))
    if embeddings is not None:
        _require_of_selection(selection, embeddings, "embeddings", (Embeddings,))
    if embeddings is None and isinstance(evidence, Embeddings):
        embeddings = evidence
    labels = {column: read_labels(numbered, column) for column in dict.fromkeys(group_columns)}
    return Material(selection, numbered, ids, evidence, embeddings, labels)


def _numbered(selection: Selection, dataset: Any) -> tuple[Any, NDArray[np.int64]]:
    require_one_table(dataset, "A report")
    if is_streaming(dataset):
        raise TypeError("A report needs a datasets.Dataset; the rows of a stream cannot be looked up by their ids.")
    numbered = add_example_ids(dataset)
    if selection.fingerprint is not None:
        dataset_fingerprint(numbered).require_same(selection.fingerprint, "This Selection")
    ids = read_example_ids(numbered)
    locate(
        np.sort(ids),
        selection.candidate_ids,
        "The Selection was made among rows with example {id}, which this dataset does not have: pass the dataset that "
        "it was made from, not what was kept of it.",
    )
    return numbered, ids


def _require_of_selection(selection: Selection, thing: Any, what: str, kinds: tuple[Any, ...]) -> None:
    if not isinstance(thing, kinds):
        names = ", ".join(kind.__name__ for kind in kinds)
        raise TypeError(f"{what} of a report must be of {names}, not {type(thing).__name__}.")
    kind = type(thing).__name__
    if thing.fingerprint is not None and selection.fingerprint is not None:
        selection.fingerprint.require_same(thing.fingerprint, f"The {kind} passed as {what}")
    locate(
        thing.ids,
        selection.candidate_ids,
        f"The {kind} passed as {what} does not have example {{id}} of the Selection: they are of different data. Pass "
        "what was recorded for the dataset that was selected from.",
    )
