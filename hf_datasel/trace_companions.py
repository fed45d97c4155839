"""Companions of a Trace: more of what was recorded in the same run, each an ordinary Trace of its own.

An influence Trace has its losses, its cosines and its anchors beside it. On disk a companion is the sub-directory
`companion-<name>` of the Trace's directory, made whole or not at all, and may have companions itself. It need not be
of the same examples (`anchors` are others), nor of the same checkpoints, and is finished by itself.
"""

from __future__ import annotations

import re
import shutil
from abc import ABC, abstractmethod
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self

from numpy.typing import ArrayLike

from hf_datasel import trace_manifest
from hf_datasel.example_ids import check_ids, is_ascending
from hf_datasel.fingerprint import DatasetFingerprint
from hf_datasel.storage import TEMPORARY_PREFIX
from hf_datasel.trace_view import TraceView

PREFIX = "companion-"
_NAME = re.compile(r"[a-z0-9]+(_[a-z0-9]+)*")


class TraceWithCompanions(TraceView, ABC):
    """A TraceView that others of its kind belong to; what Trace adds is how one of them is made and opened."""

    _reads_partial = True  # only Trace.load(partial=False) demands complete companions
    _in_memory: dict[str, Self]

    @classmethod
    @abstractmethod
    def open(cls, path: str | Path) -> Self:
        """As Trace.open."""

    @classmethod
    @abstractmethod
    def load(cls, path: str | Path, *, partial: bool = False) -> Self:
        """As Trace.load."""

    @property
    def companions(self) -> tuple[str, ...]:
        """Names of the companions that are there, sorted."""
        if self.path is None:
            return tuple(sorted(vars(self).get("_in_memory", {})))
        manifests = self.path.glob(f"{PREFIX}*/{trace_manifest.NAME}")
        return tuple(sorted(file.parent.name.removeprefix(PREFIX) for file in manifests))

    def companion(self, name: str) -> Self:
        """A companion to read, under the rules its Trace was loaded by: incomplete only if that was `partial=True`.

        Raises:
            ValueError: there is none of that name (those there are, are listed), or it is damaged or incomplete.
        """
        self._require_companion(name)
        if self.path is None:
            return self._in_memory[name]
        return self.load(self.path / f"{PREFIX}{name}", partial=self._reads_partial)

    def open_companion(self, name: str) -> Self:
        """A companion to write or resume, as `Trace.open` gives it.

        Raises:
            ValueError: there is none of that name (those there are, are listed), or it is damaged.
        """
        self._require_companion(name)
        return self._in_memory[name] if self.path is None else self.open(self.path / f"{PREFIX}{name}")

    def create_companion(
        self,
        name: str,
        *,
        ids: ArrayLike | None = None,
        metric: str,
        num_checkpoints: int | None = None,
        info: dict[str, Any] | None = None,
        fingerprint: DatasetFingerprint | None = None,
    ) -> Self:
        """Make an empty companion; it is recorded in the mode of its Trace.

        Args:
            name: lower-case words joined by underscores, as in "num_labels".
            ids: integers [n], strictly ascending; without them the companion is of the Trace's own examples.
            metric, num_checkpoints, info: as for `Trace.create`.
            fingerprint: the dataset whose rows the ids number; the Trace's own where the ids are.

        Raises:
            ValueError: a bad name or bad ids. FileExistsError: there is one of that name. OSError: it cannot be
                written.

        Example:
            >>> from hf_datasel import Trace
            >>> trace = Trace.from_arrays(ids=[4, 9], values=[[0.5], [-0.25]], metric="influence")
            >>> trace.create_companion("loss", metric="loss").write_column([2.0, 3.0], step=1)
            >>> trace.companions, trace.companion("loss").values.tolist()
            (('loss',), [[2.0], [3.0]])
        """
        if not _NAME.fullmatch(name):
            raise ValueError(f"{name!r} cannot name a companion: use lower-case words joined by underscores.")
        if name in self.companions:
            raise FileExistsError(f"{self!r} already has a companion {name!r}: go on with open_companion({name!r}).")
        checked = check_ids(self.ids if ids is None else ids, f"Companion {name!r}")
        if not is_ascending(checked):
            raise ValueError(f"Companion {name!r}: ids must ascend; pass np.sort(ids).")
        source = self.fingerprint if ids is None and fingerprint is None else fingerprint
        manifest = trace_manifest.new_manifest(checked, metric, self.mode, source, num_checkpoints, info)
        if self.path is not None:
            path = self.path / f"{PREFIX}{name}"
            trace_manifest.create(path, checked, manifest, overwrite=False)
            return self.open(path)
        made = type(self)(None, manifest, checked.copy(), {}, [])
        self.adopt({name: made})
        return made

    def adopt(self, companions: Mapping[str, Self]) -> None:
        """In memory: take Traces as companions; raises ValueError for a bad name, TypeError for what is no Trace."""
        for name, trace in companions.items():
            if not _NAME.fullmatch(name):
                raise ValueError(f"{name!r} cannot name a companion: use lower-case words joined by underscores.")
            if not isinstance(trace, TraceWithCompanions):
                raise TypeError(f"Companion {name!r} must be a Trace, not {type(trace).__name__}.")
        self._in_memory = {**vars(self).get("_in_memory", {}), **companions}

    def _require_companion(self, name: str) -> None:
        if name not in self.companions:
            there = f"only {', '.join(map(repr, self.companions))}" if self.companions else "none at all"
            raise ValueError(f"{self!r} has no companion {name!r}, {there}. Record the run with it.")


def sweep_uncommitted(path: Path) -> None:
    """Delete companions of a Trace's directory that a killed run was still making."""
    for building in path.glob(f"{TEMPORARY_PREFIX}{PREFIX}*"):
        shutil.rmtree(building)
