"""Clusters of embedded examples, and the proxy of each: the players of SHED's game.

Legend: N examples, d dimensions, C clusters.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from hf_datasel.embeddings import Embeddings
from hf_datasel.fingerprint import DatasetFingerprint
from hf_datasel.functional.agglomerative import ward
from hf_datasel.functional.kmeans import UnusableValueError, cluster_rows
from hf_datasel.functional.proxies import find_proxies

METHODS = ("kmeans", "agglomerative")


@dataclass(frozen=True, eq=False)
class Clusters:
    """Which cluster every example is in, and which example stands for each cluster; made by `cluster_examples`.

    Args:
        ids: int64 [N], strictly ascending.
        labels: int32 [N], each of 0 .. C - 1, none of them empty.
        proxies: int64 [C], an example id for each cluster: its member nearest to the centroid.
        centroids: float32 [C, d], means of the members.
        info: how they came about, as JSON can hold it: embedder, method, seed.
        fingerprint: the dataset whose rows the ids number, where known.
    """

    ids: NDArray[np.int64]
    labels: NDArray[np.int32]
    proxies: NDArray[np.int64]
    centroids: NDArray[np.float32]
    info: Mapping[str, Any] = field(default_factory=dict)
    fingerprint: DatasetFingerprint | None = None

    def __repr__(self) -> str:
        return f"Clusters({len(self.ids):,} examples in {self.num_clusters:,}, by {self.info.get('method')!r})"

    @property
    def num_clusters(self) -> int:
        """C."""
        return len(self.proxies)

    def describe(self) -> dict[str, Any]:
        """What a Valuation's info says of them: the embedder, and how they were clustered."""
        clustering = {name: value for name, value in self.info.items() if name != "embedder"}
        return {"embedder": self.info.get("embedder"), "clustering": clustering}

    @classmethod
    def from_labels(cls, embeddings: Embeddings, labels: ArrayLike, info: Mapping[str, Any] | None = None) -> Clusters:
        """Clusters that are known already, such as sources or topics.

        Args:
            embeddings: of N examples.
            labels: integers [N] in the order of `embeddings.ids`, not negative; numbers without a member are dropped
                and the others counted anew, in their order.
            info: where the labels are from.

        Raises:
            ValueError: there is not one such label for each example.

        Example:
            >>> embeddings = Embeddings.from_arrays([3, 5, 8], [[0.0], [1.0], [9.0]], embedder={"name": "mine"})
            >>> Clusters.from_labels(embeddings, [7, 7, 2]).proxies.tolist()
            [8, 3]
        """
        given = np.asarray(labels)
        if given.shape != (len(embeddings),) or given.dtype.kind not in "iu" or given.min() < 0:
            raise ValueError(
                f"Clusters.from_labels needs {len(embeddings)} integers of at least 0, one for each example, not "
                f"{given.dtype}{list(given.shape)}" + (f" from {given.min()}." if given.dtype.kind in "iu" else ".")
            )
        present, counted = np.unique(given, return_inverse=True)
        compact = counted.astype(np.int32)
        centroids, positions = find_proxies(_reader(embeddings), compact, len(present))
        about = {"embedder": dict(embeddings.embedder), **(info or {"method": "labels"})}
        return cls(embeddings.ids, compact, embeddings.ids[positions], centroids, about, embeddings.fingerprint)


def cluster_examples(
    embeddings: Embeddings,
    *,
    num_clusters: int,
    method: Literal["kmeans", "agglomerative"] = "kmeans",
    seed: int = 42,
    num_iterations: int = 20,
) -> Clusters:
    """Cluster examples by their embeddings and find the proxies.

    Args:
        embeddings: of N examples; they are read in blocks.
        num_clusters: C, 1 .. N; the paper uses 3000. k-means leaves clusters empty where fewer than C vectors are
            distinct: those are dropped.
        method: "kmeans" (faiss, trained on at most 256 examples a cluster) or "agglomerative" (Ward's linkage, for at
            most 15,000 examples).
        seed: of k-means; nothing in agglomerative clustering is random.
        num_iterations: of k-means.

    Raises:
        ValueError: a bad option, more clusters than examples, too many examples for the method, or a vector too large
            for float32's squares (its example is named).

    Example:
        >>> embeddings = Embeddings.from_arrays(range(4), [[0.0], [5.0], [0.1], [5.1]], embedder={"name": "mine"})
        >>> cluster_examples(embeddings, num_clusters=2, method="agglomerative").labels.tolist()
        [0, 1, 0, 1]
    """
    if method not in METHODS:
        raise ValueError(f"method={method!r} of cluster_examples must be one of {METHODS}.")
    if isinstance(num_clusters, bool) or not isinstance(num_clusters, (int, np.integer)) or num_clusters < 1:
        raise ValueError(f"num_clusters={num_clusters!r} of cluster_examples must be an int of at least 1.")
    if num_clusters > len(embeddings):
        raise ValueError(
            f"num_clusters={num_clusters} exceeds the {len(embeddings)} examples: ask for fewer clusters."
        )
    info = {"method": method, "num_clusters": int(num_clusters)}
    if method == "agglomerative":
        return Clusters.from_labels(embeddings, ward(embeddings.vectors, int(num_clusters)), info)
    try:
        labels = cluster_rows(
            _reader(embeddings),
            len(embeddings),
            num_clusters=int(num_clusters),
            seed=int(seed),
            num_iterations=num_iterations,
        ).labels
    except UnusableValueError as error:
        raise ValueError(
            f"The vector of example {embeddings.ids[error.row]} holds {embeddings.vectors[error.row, error.column]} "
            f"(dimension {error.column}), too large for squared distances in float32: normalise the vectors."
        ) from error
    return Clusters.from_labels(embeddings, labels, {**info, "seed": int(seed), "num_iterations": num_iterations})


def _reader(embeddings: Embeddings) -> Any:
    return lambda index: np.ascontiguousarray(embeddings.vectors[index])
