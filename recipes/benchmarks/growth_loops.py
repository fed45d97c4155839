"""How published codes compute what the library computes, written anew as loops: peers in time, oracles in answers.

- S2L (BigML-CS-UCLA/S2L): faiss k-means with its defaults over all trajectories; then the clusters in ascending size,
  those of at most two rows set aside, each looked up among all rows and drawn from.
- SHED (`calculate_s.py`): every coalition of a permutation's walk asked for by itself, each member of a group credited
  with the whole difference, credits summed player by player; v(empty) is held to be 0.
- SHED (`sample_QWCS.py`): B times a cluster by its weight, again where it is exhausted, and a row of it.
- Facility location, greedy: the gain of every row computed anew in every step.

CLUES' loop of a forward and backward an example is `one_by_one` in `gradients.py`.

Legend: N rows, T checkpoints, K or C clusters, n players, B budget.
"""

from __future__ import annotations

from collections.abc import Callable

import faiss
import numpy as np
from numpy.typing import NDArray

FAISS_SEED, TINY = 1234, 2


def s2l(
    trajectories: NDArray[np.float32], budget: int, num_clusters: int, generator: np.random.Generator
) -> NDArray[np.int64]:
    """Rows that the released S2L keeps of trajectories float32 [N, T]; below 39 K rows faiss prints a warning."""
    kmeans = faiss.Kmeans(trajectories.shape[1], num_clusters, niter=20, seed=FAISS_SEED)
    kmeans.train(trajectories)
    labels = kmeans.index.search(trajectories, 1)[1].ravel()
    return allocate(labels, budget, num_clusters, generator)


def allocate(
    labels: NDArray[np.integer], budget: int, num_clusters: int, generator: np.random.Generator
) -> NDArray[np.int64]:
    """The walk over clusters of labels [N], ascending in size."""
    sizes = [int((labels == cluster).sum()) for cluster in range(num_clusters)]
    walk = [cluster for cluster in sorted(range(num_clusters), key=sizes.__getitem__) if sizes[cluster] > TINY]
    kept: list[int] = []
    for place, cluster in enumerate(walk):
        members = np.flatnonzero(labels == cluster)
        quota = (budget - len(kept)) // (len(walk) - place)
        if len(members) > quota:
            members = generator.choice(members, quota, replace=False, shuffle=False) if quota else members[:0]
        kept += members.tolist()
    aside = np.flatnonzero(np.isin(labels, [cluster for cluster, size in enumerate(sizes) if size <= TINY]))
    missing = min(budget - len(kept), len(aside))
    if missing > 0:
        drawn = aside if missing == len(aside) else generator.choice(aside, missing, replace=False, shuffle=False)
        kept += drawn.tolist()
    return np.sort(np.array(kept, np.int64))


def shed_values(
    game: Callable[[NDArray[np.bool_]], NDArray[np.float64]],
    num_players: int,
    group_size: int,
    num_permutations: int,
    generator: np.random.Generator,
) -> NDArray[np.float64]:
    """The released code's values of n players, float64 [n]."""
    sums: dict[int, float] = {}
    for _ in range(num_permutations):
        order = generator.permutation(num_players).tolist()
        left = np.ones((1, num_players), bool)
        before = float(game(left)[0])
        for start in range(0, num_players, group_size):
            group = order[start : start + group_size]
            for player in group:
                left[0, player] = False
            after = float(game(left)[0]) if start + group_size < num_players else 0.0
            for player in group:
                sums[player] = sums.get(player, 0.0) + before - after
            before = after
    return np.array([sums[player] for player in range(num_players)])


def shed_draw(
    labels: NDArray[np.integer], logits: NDArray[np.float64], budget: int, generator: np.random.Generator
) -> NDArray[np.int64]:
    """QWCS one row after another; labels [N], logits float64 [C]."""
    members = [np.flatnonzero(labels == cluster).tolist() for cluster in range(len(logits))]
    ends = np.cumsum(np.exp(logits - logits.max()))
    kept: list[int] = []
    while len(kept) < budget:
        rows = members[int(np.searchsorted(ends, ends[-1] * generator.random(), side="right"))]
        if rows:
            kept.append(rows.pop(int(generator.integers(len(rows)))))
    return np.sort(np.array(kept, np.int64))


def facility_location(
    similarities: NDArray[np.float32], budget: int, generator: np.random.Generator
) -> tuple[NDArray[np.int64], float]:
    """Greedy rows in the order in which they are taken, and F of them; similarities float32 [N, N], in memory.

    Gains are compared in float32, and ties are broken by an order that the generator draws.
    """
    num_rows = len(similarities)
    ties = generator.permutation(num_rows).tolist()
    covered = np.zeros(num_rows, np.float32)
    left = set(range(num_rows))
    taken: list[int] = []
    for _ in range(budget):
        best, best_key = -1, (-np.inf, 0)
        for row in left:
            gain = np.float32(np.maximum(similarities[row] - covered, 0).sum(dtype=np.float64))
            key = (float(gain), -ties[row])
            if key > best_key:
                best, best_key = row, key
        left.remove(best)
        taken.append(best)
        np.maximum(covered, similarities[best], out=covered)
    return np.array(taken, np.int64), float(covered.sum(dtype=np.float64))
