"""What is told of a choice: enough to make it again without the evidence.

Where a method has looked at its evidence, every candidate has a score or a cluster, and the rest is counting and
drawing. `Selector._choose` hands just that to `Selector._choose_again`, so whoever has what was published runs the
very code that chose.

Legend: M candidates.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hf_datasel.selection import Selection
from hf_datasel.selectors.pool import Pool


class NotRederivable(ValueError):
    """What was published does not suffice to choose again; the message says why."""


@dataclass(frozen=True, eq=False)
class Published:
    """The candidates of one step, in the order of their ids, and what the step's selector found of them.

    Args:
        ids: int64 [M], strictly ascending.
        scores: float32 [M]; None where the selector gives none.
        clusters: int32 [M], -1 where a row is in none; None where the selector does not cluster.
        codes: int32 [M], the stratum of each candidate; None without strata.
        stratum_names: what the codes stand for, sorted.
        details: of the step, as in its provenance.
    """

    ids: NDArray[np.int64]
    scores: NDArray[np.float32] | None = None
    clusters: NDArray[np.int32] | None = None
    codes: NDArray[np.int32] | None = None
    stratum_names: tuple[str, ...] = ()
    details: dict[str, Any] = field(default_factory=dict)

    @classmethod
    def of(cls, selection: Selection) -> Published:
        """What a Selection tells of its last step."""
        details = selection.provenance[-1]["details"] if selection.provenance else {}
        return cls(
            selection.candidate_ids,
            selection.scores,
            selection.clusters,
            selection.strata,
            selection.stratum_names,
            details,
        )

    @classmethod
    def of_pool(
        cls, pool: Pool, *, scores: NDArray[np.float32] | None = None, clusters: NDArray[np.int32] | None = None
    ) -> Published:
        """What a selector has found of the candidates that it is about to choose from."""
        return cls(pool.ids, scores, clusters, pool.codes, pool.stratum_names)

    def require(self, column: str, asker: str) -> NDArray[Any]:
        """The "scores" or "clusters"; raises ValueError where they are missing."""
        values: NDArray[Any] | None = getattr(self, column)
        if values is None:
            raise ValueError(f"{asker} chooses by {column}, but none were published.")
        return values

    def clusters_from(
        self, members: slice | NDArray[np.int64], first: int, num_clusters: int, asker: str, *, all_in_one: bool = True
    ) -> NDArray[np.int32]:
        """Clusters of the candidates at `members`, int32, numbered from 0 where `first` is the first of theirs.

        Raises:
            ValueError: one is in a cluster of others, or in none (-1) where all must be in one; names the example.
        """
        clusters = self.require("clusters", asker)[members]
        inside = (clusters >= first) & (clusters < first + num_clusters)
        strange = ~inside if all_in_one else ~inside & (clusters != -1)
        if strange.any():
            row = int(np.argmax(strange))
            raise ValueError(
                f"{asker}: example {self.ids[members][row]} is in cluster {clusters[row]}, where those of its stratum "
                f"are {first} to {first + num_clusters - 1}."
            )
        return np.where(inside, clusters - np.int32(first), np.int32(-1))

    def strata(self) -> tuple[NDArray[np.int32], int]:
        """Codes int32 [M] and the number of strata; all rows are of one where there are none."""
        if self.codes is None:
            return np.zeros(len(self.ids), np.int32), 1
        return self.codes, len(self.stratum_names)
