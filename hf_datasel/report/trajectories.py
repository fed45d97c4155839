"""Small multiples of the loss trajectories that S2L clustered: how each group of examples was learned.

Legend: N examples, T checkpoints, K clusters.
"""

import os
from collections import Counter
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes

from hf_datasel.report.figure import BLUE, LARGE, NORMAL, SMALL, new_figure, save_figure, tidy
from hf_datasel.selection import Selection
from hf_datasel.selectors import Strata
from hf_datasel.trace import Trace

MOST_PANELS = 12
_COLUMNS = 4
_WORTH_TELLING = 0.05
_MEDOID_SAMPLE = 512  # rows compared pairwise to find a cluster's medoid


@dataclass(frozen=True, eq=False)
class _Cluster:
    number: int
    size: int
    kept: int
    medoid_id: int
    medoid: np.ndarray  # float32 [T], the trajectory with the least distance to the others
    low: np.ndarray  # float32 [T], 10th percentile
    high: np.ndarray  # float32 [T], 90th percentile
    middle: np.ndarray  # float32 [T], mean
    content: str  # its most frequent labels with their shares, where labels are known


def plot_trajectory_clusters(
    trace: Trace, selection: Selection, path: str | os.PathLike[str], *, strata: Strata | None = None
) -> None:
    """Draw up to 12 clusters of a Selection, a panel each, and write the numbers as CSV beside the picture.

    Shown are the six largest clusters and, of the others, those whose mean trajectory lies farthest from all shown so
    far; panels are ordered by the loss at the end. A panel has the cluster's medoid (the example nearest to all of its
    cluster), the band from the 10th to the 90th percentile, how many examples the cluster has and how many were kept.

    Args:
        trace: what the Selection was made from.
        selection: of a selector that clusters, as `S2LSelector`.
        path: a name that ends in `.png`.
        strata: labels of the examples (`hf_datasel.strata`), to say in each panel which are in it.

    Raises:
        ValueError: the Selection has no clusters, or a candidate is not in the Trace or has no label.
    """
    if selection.clusters is None or not (selection.clusters >= 0).any():
        raise ValueError("This Selection has no clusters to draw; plot_trajectory_clusters needs one of S2LSelector.")
    unknown = np.setdiff1d(selection.candidate_ids, trace.ids)
    if unknown.size:
        raise ValueError(f"Example {unknown[0]} of the Selection is not in the Trace: they belong to different data.")
    shown = _most_telling(_measure(trace, selection, _labels(selection, strata)))
    num_clusters = len(np.unique(selection.clusters[selection.clusters >= 0]))
    num_rows = -(-len(shown) // _COLUMNS)
    figure = new_figure(10, 1.0 + 2.1 * num_rows)
    grid = figure.subplots(num_rows, _COLUMNS, sharex=True, sharey=True, squeeze=False)
    for axes, cluster in zip(grid.flat, shown, strict=False):
        _draw(axes, trace.steps, cluster)
    for axes in grid.flat[len(shown) :]:
        axes.set_visible(False)
    grid[0, 0].set_ylim(0, 1.05 * max(float(max(one.high.max(), one.medoid.max())) for one in shown))
    grid[0, 0].legend(loc="upper right", fontsize=SMALL, frameon=False)
    figure.suptitle(
        f"How the proxy model learned the examples: {len(shown)} of {num_clusters} clusters of loss trajectories, "
        "by their loss at the end",
        fontsize=LARGE,
    )
    figure.supxlabel("optimiser step of the proxy model", fontsize=NORMAL)
    figure.supylabel("loss of an example", fontsize=NORMAL)
    header = ("cluster", "num_examples", "num_kept", "medoid_id", "step", "medoid", "p10", "p90", "mean", "content")
    save_figure(figure, path, header, [row for cluster in shown for row in _numbers(cluster, trace.steps)])


def _measure(trace: Trace, selection: Selection, names: np.ndarray | None) -> list[_Cluster]:
    positions = np.searchsorted(trace.ids, selection.candidate_ids)
    values = trace.values[positions]
    labels = np.asarray(selection.clusters)
    clusters = []
    for number in np.unique(labels[labels >= 0]):
        rows = np.flatnonzero(labels == number)
        members = values[rows]
        nearest = _medoid(members)
        low, high = np.percentile(members, (10, 90), axis=0)
        clusters.append(
            _Cluster(
                number=int(number),
                size=len(rows),
                kept=int(selection.kept[rows].sum()),
                medoid_id=int(selection.candidate_ids[rows[nearest]]),
                medoid=members[nearest],
                low=low,
                high=high,
                middle=members.mean(axis=0),
                content="" if names is None else _content(names[rows]),
            )
        )
    return clusters


def _labels(selection: Selection, strata: Strata | None) -> np.ndarray | None:
    """The label of each candidate, where there are any."""
    if strata is None:
        return None
    label_of = dict(zip(np.asarray(strata.ids).tolist(), strata.labels, strict=True))
    missing = [example for example in selection.candidate_ids.tolist() if example not in label_of]
    if missing:
        raise ValueError(f"Example {missing[0]} of the Selection has no label in `strata`.")
    return np.array([label_of[example] for example in selection.candidate_ids.tolist()])


def _content(names: np.ndarray) -> str:
    """The most frequent label of a cluster and the next, if it is no rarity, as in `sort 61%, add 22%`."""
    first, *others = [(name, count / len(names)) for name, count in Counter(names.tolist()).most_common(2)]
    told = [first, *(other for other in others if other[1] >= _WORTH_TELLING)]
    return ", ".join(f"{name} {share:.0%}" for name, share in told)


def _medoid(members: np.ndarray) -> int:
    """Row of [n, T] nearest to an evenly spaced sample of all rows."""
    sample = members[np.linspace(0, len(members) - 1, min(len(members), _MEDOID_SAMPLE)).astype(int)]
    distances = np.zeros(len(members))
    for row in sample:
        distances += np.linalg.norm(members - row, axis=1)
    return int(distances.argmin())


def _most_telling(clusters: list[_Cluster]) -> list[_Cluster]:
    """The largest half, then by greedy farthest-point choice; ordered by the final mean loss."""
    by_size = sorted(clusters, key=lambda cluster: (-cluster.size, cluster.number))
    shown, rest = by_size[: MOST_PANELS // 2], by_size[MOST_PANELS // 2 :]
    while rest and len(shown) < MOST_PANELS:
        farthest = max(rest, key=lambda one: min(float(np.linalg.norm(one.middle - s.middle)) for s in shown))
        shown.append(farthest)
        rest.remove(farthest)
    return sorted(shown, key=lambda cluster: float(cluster.middle[-1]))


def _draw(axes: Axes, steps: np.ndarray, cluster: _Cluster) -> None:
    axes.fill_between(steps, cluster.low, cluster.high, color=BLUE, alpha=0.2, linewidth=0, label="10-90% of examples")
    axes.plot(steps, cluster.medoid, color=BLUE, linewidth=1.6, marker="o", markersize=2.5, label="medoid")
    title = f"{cluster.kept} of {cluster.size} kept ({cluster.kept / cluster.size:.0%})"
    axes.set_title("\n".join(line for line in (title, cluster.content) if line), fontsize=NORMAL)
    tidy(axes)


def _numbers(cluster: _Cluster, steps: np.ndarray) -> list[tuple[object, ...]]:
    return [
        (
            cluster.number,
            cluster.size,
            cluster.kept,
            cluster.medoid_id,
            int(steps[t]),
            *(f"{series[t]:.6g}" for series in (cluster.medoid, cluster.low, cluster.high, cluster.middle)),
            cluster.content,
        )
        for t in range(len(steps))
    ]
