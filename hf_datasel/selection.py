"""Selection: which examples were kept, and how that came about.

On disk a Selection is a directory, written whole or not at all:

    manifest.json        format, fingerprint, provenance
    candidate_ids.npy    int64 [M], strictly ascending
    kept.npy             bool [M]
    scores.npy           float32 [M], where the selector scores
    clusters.npy         int32 [M], where the selector clusters
    strata.npy           int32 [M], where it chose by strata

Legend: M candidates, B kept.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hf_datasel.example_ids import (
    is_ascending,
    is_streaming,
    locate,
    member_mask,
    read_example_ids,
    require_one_table,
    stamped_fingerprint,
)
from hf_datasel.fingerprint import EXAMPLE_ID, DatasetFingerprint
from hf_datasel.storage import atomic_directory, read_array, read_format, write_array, write_json

FORMAT, VERSION = "hf_datasel.selection", 1
ARRAYS = {
    "candidate_ids": np.int64,
    "kept": np.bool_,
    "scores": np.float32,
    "clusters": np.int32,
    "strata": np.int32,
}
_REQUIRED = ("candidate_ids", "kept")


@dataclass(frozen=True, eq=False, kw_only=True)
class Selection:
    """The rows that a selector kept out of its candidates. Immutable.

    Args:
        candidate_ids: int64 [M], strictly ascending: the rows the selector could choose from.
        kept: bool [M].
        scores: float32 [M], or None where the selector gives no score.
        clusters: int32 [M], -1 where a row was taken without clustering; None where the selector does not cluster.
        fingerprint: the dataset whose rows the ids number, where known.
        provenance: one dictionary a step, in order: selector, configuration, counts, evidence, versions.
        strata: int32 [M], the stratum of each candidate, as a position in the last step's "stratum_names"; None where
            the selector was given no strata.

    Raises:
        ValueError: an array has the wrong shape or dtype, the ids do not ascend, or a stratum has no name.

    Example:
        >>> selection = Selection(candidate_ids=np.array([0, 3, 7]), kept=np.array([True, False, True]))
        >>> selection.ids.tolist(), len(selection)
        ([0, 7], 2)
    """

    candidate_ids: NDArray[np.int64]
    kept: NDArray[np.bool_]
    scores: NDArray[np.float32] | None = None
    clusters: NDArray[np.int32] | None = None
    fingerprint: DatasetFingerprint | None = None
    provenance: tuple[dict[str, Any], ...] = ()
    strata: NDArray[np.int32] | None = None

    def __post_init__(self) -> None:
        for name, dtype in ARRAYS.items():
            array = getattr(self, name)
            if array is None and name not in _REQUIRED:
                continue
            view = np.asarray(array).view()
            if view.dtype != dtype or view.shape != (len(self.candidate_ids),):
                raise ValueError(
                    f"Selection.{name} must be {np.dtype(dtype)}[{len(self.candidate_ids)}], "
                    f"not {view.dtype}{list(view.shape)}."
                )
            view.flags.writeable = False
            object.__setattr__(self, name, view)
        if not is_ascending(self.candidate_ids):
            raise ValueError("Selection.candidate_ids must be unique and ascend.")
        object.__setattr__(self, "provenance", tuple(self.provenance))
        if self.strata is not None and self.strata.size:
            num_strata = len(self.stratum_names)
            if not 0 <= self.strata.min() <= self.strata.max() < num_strata:
                raise ValueError(
                    f"Selection.strata must be positions in the last step's 'stratum_names', of which there are "
                    f"{num_strata}, but they go from {self.strata.min()} to {self.strata.max()}."
                )

    @property
    def stratum_names(self) -> tuple[str, ...]:
        """What the strata stand for; empty where there are none."""
        return tuple(self.provenance[-1].get("stratum_names", ())) if self.provenance else ()

    @property
    def ids(self) -> NDArray[np.int64]:
        """The kept ids, int64 [B], ascending."""
        return self.candidate_ids[self.kept]

    def __len__(self) -> int:
        """B, the number of rows kept."""
        return int(np.count_nonzero(self.kept))

    def save(self, path: str | Path, *, overwrite: bool = False) -> None:
        """Write the directory `path`, whole or not at all.

        Raises:
            FileExistsError: something is at `path`; `overwrite` replaces a Selection, never anything else.
            OSError: it cannot be written (a full disk); nothing is left behind.
        """
        present = [name for name in ARRAYS if getattr(self, name) is not None]
        manifest = {
            "format": FORMAT,
            "version": VERSION,
            "num_candidates": len(self.candidate_ids),
            "num_kept": len(self),
            "arrays": present,
            "fingerprint": None if self.fingerprint is None else self.fingerprint.to_dict(),
            "provenance": list(self.provenance),
        }
        with atomic_directory(Path(path), what="Selection", marker="manifest.json", overwrite=overwrite) as building:
            for name in present:
                write_array(building / f"{name}.npy", getattr(self, name))
            write_json(building / "manifest.json", manifest)

    @classmethod
    def load(cls, path: str | Path) -> Selection:
        """Read a saved Selection.

        Raises:
            FileNotFoundError: no Selection at `path`.
            ValueError: a file is missing, cut off or damaged (named), or the format version differs.
        """
        path = Path(path)
        manifest = read_format(path / "manifest.json", "Selection", FORMAT, VERSION)
        try:
            shape = (manifest["num_candidates"],)
            arrays = {
                name: np.array(read_array(path / f"{name}.npy", "Selection", np.dtype(ARRAYS[name]).name, shape))
                for name in manifest["arrays"]
            }
            source = manifest["fingerprint"]
            selection = cls(
                **arrays,
                fingerprint=None if source is None else DatasetFingerprint.from_dict(source),
                provenance=tuple(manifest["provenance"]),
            )
            num_kept = manifest["num_kept"]
        except (KeyError, TypeError) as error:
            raise ValueError(f"{path / 'manifest.json'} is damaged ({error!r}). Select again.") from error
        if len(selection) != num_kept:
            raise ValueError(f"Selection: {path / 'kept.npy'} keeps {len(selection)} rows, but {num_kept} were kept.")
        return selection

    def apply(self, dataset: Any) -> Any:
        """The kept rows of a dataset, in the dataset's own order.

        Args:
            dataset: a `datasets.Dataset`, or an `IterableDataset`, with the ids the Selection was made for. A stream
                is filtered as it flows by: ids that never come, or come twice, cannot be noticed.

        Raises:
            TypeError: a dictionary of splits, or no dataset at all.
            ValueError: no example ids, an id twice, a kept id that is not there (named), or another dataset's stamp.
        """
        require_one_table(dataset, "Selection.apply")
        stamped = stamped_fingerprint(dataset)
        if stamped is not None and self.fingerprint is not None:
            stamped.require_same(self.fingerprint, "This Selection")
        kept = self.ids
        if is_streaming(dataset):
            names = dataset.column_names
            if names is not None and EXAMPLE_ID not in names:
                raise ValueError(
                    f"The dataset has no column {EXAMPLE_ID!r}, only {list(names)}. Give every row one with "
                    "hf_datasel.add_example_ids(dataset)."
                )
            return dataset.filter(_IsKept(kept), input_columns=[EXAMPLE_ID], batched=True)
        ids = read_example_ids(dataset)
        order = np.argsort(ids, kind="stable")
        locate(ids[order], kept, "The Selection keeps example {id}, which this dataset does not have. Apply it to the "
               "dataset it was made from, before rows are dropped.")  # fmt: skip
        return dataset.select(np.flatnonzero(member_mask(kept, ids)))


@dataclass(frozen=True, eq=False)
class _IsKept:
    """A filter that can be pickled, for the workers of a stream."""

    kept: NDArray[np.int64]

    def __call__(self, ids: list[int]) -> list[bool]:
        return [bool(member) for member in member_mask(self.kept, np.asarray(ids, np.int64))]
