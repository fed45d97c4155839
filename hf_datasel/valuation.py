"""Valuation: what clusters of examples are worth, and how well that is known.

On disk a Valuation is a directory, written whole or not at all:

    manifest.json         format, fingerprint, how it came about, checksums
    ids.npy               int64 [N], strictly ascending
    clusters.npy          int32 [N], the cluster of each example, -1 for one that cannot be chosen
    values.npy            float64 [C], NaN where unknown
    standard_errors.npy   float64 [C], NaN where unknown
    num_evaluations.npy   int64 [C], the evaluations that bear on each value
    proxies.npy           int64 [C], the example that stood for each cluster, where one did

Legend: N examples, C clusters.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from hf_datasel.artifact import ArtifactFormat
from hf_datasel.clusters import Clusters
from hf_datasel.example_ids import check_ids, is_ascending
from hf_datasel.fingerprint import DatasetFingerprint
from hf_datasel.functional.valuation.estimate import Game
from hf_datasel.trace import Trace
from hf_datasel.trace_values import values_of_trace

FORMAT = ArtifactFormat(
    "Valuation",
    "hf_datasel.valuation",
    1,
    {
        "ids": np.int64,
        "clusters": np.int32,
        "values": np.float64,
        "standard_errors": np.float64,
        "num_evaluations": np.int64,
        "proxies": np.int64,
    },
)
_OF_EXAMPLES = ("ids", "clusters")


class Utility(Protocol):
    """v: what a set of examples is worth to train on."""

    @property
    def key(self) -> str:
        """Identity of the experiment: where it is equal, equal sets have equal values."""

    def game(self, ids: NDArray[np.int64]) -> Game:
        """The game whose n players are these example ids: from coalitions bool [m, n] to v, float64 [m]."""


@dataclass(frozen=True, eq=False, kw_only=True)
class Valuation:
    """A value for every cluster of examples; high is good. Immutable.

    Args:
        ids: int64 [N], strictly ascending.
        clusters: int32 [N], each of 0 .. C - 1, or -1 for an example that cannot be chosen (as one without a label).
        values: float64 [C], NaN where unknown: a selector refuses to choose from such a cluster.
        standard_errors: float64 [C], NaN where unknown.
        num_evaluations: int64 [C].
        proxies: int64 [C], example ids; None where no example stood for its cluster.
        info: how it came about, as JSON can hold it: estimator, utility, embedder, clustering, `num_evaluations` in
            all, and `details` that a provenance leaves out.
        fingerprint: the dataset whose rows the ids number, where known.

    Raises:
        ValueError: an array of a wrong shape or dtype, ids that do not ascend, a label out of range, a proxy that is
            not in its cluster, or a value that is infinite or too large for float32 (the cluster is named).
        TypeError: `info` holds what JSON cannot.

    Example:
        >>> valuation = Valuation(
        ...     ids=np.array([3, 4, 8]), clusters=np.int32([0, 1, 0]), values=np.array([0.5, -0.25]),
        ...     standard_errors=np.full(2, np.nan), num_evaluations=np.array([10, 10]),
        ... )
        >>> valuation
        Valuation(3 examples in 2 clusters)
    """

    ids: NDArray[np.int64]
    clusters: NDArray[np.int32]
    values: NDArray[np.float64]
    standard_errors: NDArray[np.float64]
    num_evaluations: NDArray[np.int64]
    proxies: NDArray[np.int64] | None = None
    info: Mapping[str, Any] = field(default_factory=dict)
    fingerprint: DatasetFingerprint | None = None

    def __post_init__(self) -> None:
        for name, dtype in FORMAT.dtypes.items():
            array = getattr(self, name)
            if array is None and name == "proxies":
                continue
            view = np.asarray(array).view()
            length = len(self.ids if name in _OF_EXAMPLES else self.values)
            if view.dtype != dtype or view.shape != (length,):
                raise ValueError(
                    f"Valuation.{name} must be {np.dtype(dtype)}[{length}], not {view.dtype}{list(view.shape)}."
                )
            view.flags.writeable = False
            object.__setattr__(self, name, view)
        object.__setattr__(self, "info", json.loads(json.dumps(dict(self.info))))  # now, and not when it is saved
        self._check()

    def _check(self) -> None:
        if not is_ascending(check_ids(self.ids, "Valuation")):
            raise ValueError("Valuation.ids must ascend.")
        if not self.ids.size:
            raise ValueError("A Valuation needs at least one example, but there are no ids.")
        if self.clusters.size and not -1 <= self.clusters.min() <= self.clusters.max() < self.num_clusters:
            raise ValueError(f"Valuation.clusters must be from -1 to {self.num_clusters - 1}, the last cluster.")
        large = np.abs(self.values) > np.finfo(np.float32).max
        if large.any():
            cluster = int(np.argmax(large))
            raise ValueError(f"The value of {self._name(cluster)} is {self.values[cluster]}: no number to compare.")
        if self.proxies is not None:
            positions = np.searchsorted(self.ids, self.proxies).clip(max=len(self.ids) - 1)
            strange = (self.ids[positions] != self.proxies) | (
                self.clusters[positions] != np.arange(self.num_clusters)
            )
            if strange.any():
                cluster = int(np.argmax(strange))
                raise ValueError(f"Example {self.proxies[cluster]} is the proxy of cluster {cluster}, but not in it.")

    def __repr__(self) -> str:
        estimator = f", by {self.info['estimator']}" if "estimator" in self.info else ""
        return f"Valuation({len(self.ids):,} examples in {self.num_clusters:,} clusters{estimator})"

    @property
    def num_clusters(self) -> int:
        """C."""
        return len(self.values)

    @property
    def selectable(self) -> NDArray[np.int64]:
        """Positions of the examples that are in a cluster, ascending."""
        return np.flatnonzero(self.clusters >= 0)

    def require_measured(self, positions: NDArray[np.int64] | None = None) -> None:
        """Refuse to be read where a cluster's value is unknown.

        Args:
            positions: the examples that matter, `selectable` if not given.

        Raises:
            ValueError: the cluster of one of them has no value; names cluster and example.
        """
        where = self.selectable if positions is None else positions
        unknown = np.isnan(self.values[self.clusters[where]])
        if unknown.any():
            position = where[np.argmax(unknown)]
            raise ValueError(
                f"{self._name(int(self.clusters[position]))}, which example {self.ids[position]} is in, has no value "
                f"(one of {int(np.isnan(self.values).sum()):,} such clusters): evaluate more, or leave its examples "
                "out with within=."
            )

    def describe(self) -> dict[str, Any]:
        """What a provenance says of it: how it came about, without the details."""
        told = {key: value for key, value in self.info.items() if key != "details"}
        return {**told, "num_clusters": self.num_clusters}

    def save(self, path: str | Path, *, overwrite: bool = False) -> None:
        """Write the directory `path`, whole or not at all.

        Raises:
            FileExistsError: something is at `path`; `overwrite` replaces a Valuation, never anything else.
            OSError: it cannot be written (a full disk); nothing is left behind.
        """
        arrays = {name: getattr(self, name) for name in FORMAT.dtypes if getattr(self, name) is not None}
        FORMAT.save(path, arrays, {"info": dict(self.info)}, self.fingerprint, overwrite=overwrite)

    @classmethod
    def load(cls, path: str | Path) -> Valuation:
        """Read a saved Valuation.

        Raises:
            FileNotFoundError: no Valuation at `path`.
            ValueError: a file is missing, cut off or damaged (named), or the format version differs.
        """
        arrays, info, fingerprint = FORMAT.load(path, "info")
        in_memory = {name: np.array(array) for name, array in arrays.items()}
        return cls(**in_memory, info=info, fingerprint=fingerprint)

    @classmethod
    def from_trace(
        cls,
        trace: Trace,
        clusters: Clusters | None = None,
        *,
        score: Literal["dot", "cosine"] = "dot",
        weighting: Literal["learning_rate", "uniform"] = "learning_rate",
    ) -> Valuation:
        """First-order In-Run Data Shapley of a recorded run (`functional/in_run_shapley.py` says how it is taken).

        Args:
            trace: of `GradientTraceCallback(..., mode="in_run")`. One of mode "probe" gives TracIn's sum over
                checkpoints instead.
            clusters: of the same examples: a cluster's value is the mean over its rows, its standard error sd /
                sqrt(n). Without, every row is a cluster of its own and its standard error is unknown.
            score: "dot", the inner products (the method), or "cosine", the cosines of the same gradients, by which a
                row with a large gradient counts for no more than another; the Trace has them with ``norms=True``.
            weighting: of the columns: "learning_rate" (the method) or "uniform".

        Returns:
            A Valuation of the Trace's examples; those that are marked as unmeasurable are in no cluster.

        Raises:
            ValueError: the Trace is of another metric, lacks learning rates or cosines, or a row was not measured
                (named); or the clusters are of other examples.

        Example:
            >>> trace = Trace.from_arrays([1, 2], [[1.0, 2.0], [-1.0, 0.5]], metric="influence",
            ...                           learning_rates=[0.5, 0.25])
            >>> Valuation.from_trace(trace).values.tolist()
            [1.0, -0.375]
        """
        return cls(**values_of_trace(trace, clusters, score, weighting))

    def _name(self, cluster: int) -> str:
        return f"Cluster {cluster}" + ("" if self.proxies is None else f" (proxy {self.proxies[cluster]})")
