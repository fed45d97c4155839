"""Valuing clusters by a game among their proxies: step 2 of SHED.

Legend: N examples, C clusters, which are the players.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable
from dataclasses import asdict
from typing import Any, Literal, cast

import numpy as np
from tqdm.auto import tqdm

from hf_datasel.clusters import Clusters, cluster_examples
from hf_datasel.embeddings import Embeddings
from hf_datasel.functional.valuation.estimate import Estimator
from hf_datasel.valuation import Utility, Valuation
from hf_datasel.version import __version__


def value_clusters(
    embeddings: Embeddings | Clusters,
    utility: Utility,
    *,
    estimator: Estimator,
    num_clusters: int | None = None,
    method: Literal["kmeans", "agglomerative"] = "kmeans",
    seed: int = 42,
) -> Valuation:
    """Cluster examples, let each cluster's proxy play, and estimate what it is worth.

    A run that was killed is started again by the same call: it asks for the same coalitions, and a utility with a
    ledger answers those that it has seen. In a terminal a bar shows the evaluations and the time left.

    Args:
        embeddings: of N examples; or Clusters of them, which then come with no `num_clusters`.
        utility: v of a set of examples.
        estimator: of the players' values, one of `functional.valuation`; their features are the centroids.
        num_clusters: C, 1 .. N; the paper uses 3000.
        method: see `cluster_examples`.
        seed: of the clustering and of the coalitions.

    Raises:
        TypeError: neither Embeddings nor Clusters, or an option that JSON cannot hold.
        ValueError: no number of clusters, or one that is out of range; what the estimator or the utility refuses.

    Example:
        >>> from hf_datasel.functional.valuation.exact import ExactEstimator
        >>> class CountEven:
        ...     key = "even"
        ...     def game(self, ids):
        ...         return lambda coalitions: coalitions @ (ids % 2 == 0).astype(float)
        >>> embeddings = Embeddings.from_arrays([4, 5, 6], [[0.0], [1.0], [0.1]], embedder={"name": "mine"})
        >>> valuation = value_clusters(embeddings, CountEven(), num_clusters=2, estimator=ExactEstimator(), seed=0)
        >>> valuation.values[valuation.clusters].round(6).tolist()
        [1.0, 0.0, 1.0]
    """
    clusters = _clusters(embeddings, num_clusters, method, seed)
    info = {
        "estimator": estimator.name,
        "estimator_config": asdict(cast(Any, estimator)),
        "seed": int(seed),
        "utility": utility.key,
        **clusters.describe(),
        "versions": {"hf_datasel": __version__, "numpy": np.__version__},
    }
    json.dumps(info)  # what cannot be kept is refused before anything is evaluated
    shown = sys.stderr.isatty() and os.environ.get("LOCAL_RANK", "0") == "0"
    with tqdm(desc=f"Valuing {clusters.num_clusters:,} clusters", unit="evaluation", disable=not shown) as bar:
        estimate = estimator.estimate(
            utility.game(clusters.proxies),
            clusters.num_clusters,
            features=clusters.centroids,
            seed=seed,
            progress=_shown_on(bar),
        )
    return Valuation(
        ids=clusters.ids,
        clusters=clusters.labels,
        values=estimate.values,
        standard_errors=estimate.standard_errors,
        num_evaluations=estimate.num_evaluations,
        proxies=clusters.proxies,
        info={**info, "num_evaluations": int(estimate.total_evaluations), "details": estimate.details},
        fingerprint=clusters.fingerprint,
    )


def _clusters(
    embeddings: Embeddings | Clusters, num_clusters: int | None, method: Literal["kmeans", "agglomerative"], seed: int
) -> Clusters:
    if isinstance(embeddings, Clusters):
        if num_clusters not in (None, embeddings.num_clusters):
            raise ValueError(
                f"num_clusters={num_clusters} was asked of {embeddings.num_clusters} Clusters: leave it out, or pass "
                "the Embeddings."
            )
        return embeddings
    if not isinstance(embeddings, Embeddings):
        raise TypeError(f"value_clusters needs Embeddings or Clusters, not {type(embeddings).__name__}.")
    if num_clusters is None:
        raise ValueError("value_clusters needs num_clusters=, how many clusters to value.")
    return cluster_examples(embeddings, num_clusters=num_clusters, method=method, seed=seed)


def _shown_on(bar: tqdm) -> Callable[[int, int], None]:
    def progress(done: int, total: int) -> None:
        bar.total = total
        bar.update(done - bar.n)

    return progress
