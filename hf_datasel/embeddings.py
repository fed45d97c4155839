"""Embeddings: one vector an example, and which embedder made them.

On disk Embeddings are a directory, written whole or not at all:

    manifest.json   format, fingerprint, embedder, checksums
    ids.npy         int64 [N], strictly ascending
    vectors.npy     float32 [N, d], mapped into memory when it is loaded

Legend: N examples, d dimensions.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from hf_datasel.artifact import ArtifactFormat
from hf_datasel.example_ids import check_ids, is_ascending
from hf_datasel.fingerprint import DatasetFingerprint

FORMAT = ArtifactFormat("Embeddings", "hf_datasel.embeddings", 1, {"ids": np.int64, "vectors": np.float32})
_BLOCK = 1 << 22  # numbers looked at together


@dataclass(frozen=True, eq=False)
class Embeddings:
    """A vector for every example. Immutable.

    Args:
        ids: int64 [N], strictly ascending.
        vectors: float32 [N, d], finite; may be mapped from a file.
        embedder: what made them, as JSON can hold it: `name`, `hash`, pooling and the like.
        fingerprint: the dataset whose rows the ids number, where known.

    Raises:
        ValueError: a wrong shape or dtype, no examples, ids that do not ascend, or a vector that is not finite (its
            example id is named).

    Example:
        >>> embeddings = Embeddings.from_arrays([7, 2], [[1.0, 0.0], [0.0, 1.0]], embedder={"name": "mine"})
        >>> embeddings.ids.tolist(), embeddings.vectors.tolist()
        ([2, 7], [[0.0, 1.0], [1.0, 0.0]])
    """

    ids: NDArray[np.int64]
    vectors: NDArray[np.float32]
    embedder: Mapping[str, Any] = field(default_factory=dict)
    fingerprint: DatasetFingerprint | None = None

    def __post_init__(self) -> None:
        for name, num_axes in (("ids", 1), ("vectors", 2)):
            view = np.asarray(getattr(self, name)).view()
            dtype = FORMAT.dtypes[name]
            if view.dtype != dtype or view.ndim != num_axes or len(view) != len(self.ids) or not view.size:
                shape = ["N", "d"][:num_axes]
                raise ValueError(
                    f"Embeddings.{name} must be {np.dtype(dtype)}[{', '.join(shape)}] of N >= 1 examples, not "
                    f"{view.dtype}{list(view.shape)}."
                )
            view.flags.writeable = False
            object.__setattr__(self, name, view)
        if not is_ascending(check_ids(self.ids, "Embeddings")):
            raise ValueError("Embeddings.ids must ascend: Embeddings.from_arrays(ids, vectors, ...) sorts them.")
        object.__setattr__(self, "embedder", dict(self.embedder))
        self._require_finite()

    @classmethod
    def from_arrays(
        cls,
        ids: ArrayLike,
        vectors: ArrayLike,
        *,
        embedder: Mapping[str, Any],
        fingerprint: DatasetFingerprint | None = None,
    ) -> Embeddings:
        """Embeddings of rows in any order; nothing is copied where the ids ascend and the vectors are float32.

        Raises:
            ValueError: shapes disagree, ids are bad, or a vector is not finite in float32 (its example id is named).
        """
        checked, table = check_ids(ids, "Embeddings.from_arrays"), np.asarray(vectors)
        if table.ndim != 2 or len(table) != len(checked):
            raise ValueError(f"vectors must be [{len(checked)}, d] to fit the ids, not {list(table.shape)}.")
        with np.errstate(over="ignore"):  # what does not fit into float32 is refused as infinite
            table = table.astype(np.float32, copy=False)
        if not is_ascending(checked):
            order = np.argsort(checked, kind="stable")
            checked, table = checked[order], table[order]
        return cls(checked, table, embedder, fingerprint)

    def __repr__(self) -> str:
        return f"Embeddings({len(self):,} examples x {self.dimension} dimensions, by {self.embedder.get('name')!r})"

    def __len__(self) -> int:
        """N."""
        return len(self.ids)

    @property
    def dimension(self) -> int:
        """d."""
        return int(self.vectors.shape[1])

    @property
    def selectable(self) -> NDArray[np.int64]:
        """Positions of the rows that can be chosen, int64 [N]: all."""
        return np.arange(len(self))

    def require_measured(self, positions: NDArray[np.int64] | None = None) -> None:
        """Nothing to refuse: every vector is finite."""

    def describe(self) -> dict[str, Any]:
        """What a provenance says of them: embedder and dimension."""
        return {"embedder": dict(self.embedder), "dimension": self.dimension}

    def save(self, path: str | Path, *, overwrite: bool = False) -> None:
        """Write the directory `path`, whole or not at all.

        Raises:
            FileExistsError: something is at `path`; `overwrite` replaces Embeddings, never anything else.
            OSError: it cannot be written (a full disk); nothing is left behind.
        """
        arrays: dict[str, NDArray[Any]] = {"ids": self.ids, "vectors": self.vectors}
        FORMAT.save(path, arrays, {"embedder": dict(self.embedder)}, self.fingerprint, overwrite=overwrite)

    @classmethod
    def load(cls, path: str | Path) -> Embeddings:
        """Read saved Embeddings, the vectors as a memory map.

        Raises:
            FileNotFoundError: no Embeddings at `path`.
            ValueError: a file is missing, cut off or damaged (named), or the format version differs.
        """
        arrays, embedder, fingerprint = FORMAT.load(path, "embedder")
        return cls(np.array(arrays["ids"]), arrays["vectors"], embedder, fingerprint)

    def _require_finite(self) -> None:
        rows = max(1, _BLOCK // self.dimension)
        for start in range(0, len(self), rows):
            finite = np.isfinite(self.vectors[start : start + rows]).all(axis=1)
            if not finite.all():
                raise ValueError(
                    f"The vector of example {self.ids[start + int(np.argmin(finite))]} is not finite: embed it again, "
                    "in float32 or bfloat16 if it was float16, or leave the example out."
                )
