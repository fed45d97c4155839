"""Small multiples of the loss trajectories that S2L clustered: how each group of examples was learned.

Legend: N examples, T checkpoints, K clusters.
"""

import os
from collections import Counter
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.patches import Rectangle

from hf_datasel.report.figure import DROPPED, KEPT, LARGE, NORMAL, SMALL, new_figure, short_name, tidy
from hf_datasel.report.picture import Picture, save_picture
from hf_datasel.selection import Selection
from hf_datasel.selectors import Strata
from hf_datasel.trace import Trace

MOST_PANELS = 12
_COLUMNS = 4
_LINE = "#333333"
_LONGEST = 12  # characters of a label in a panel's title
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
    content: tuple[tuple[str, float], ...]  # its most frequent labels with their shares, where labels are known


def plot_trajectory_clusters(
    trace: Trace, selection: Selection, path: str | os.PathLike[str], *, strata: Strata | None = None
) -> Picture:
    """Draw up to 12 clusters of a Selection, a panel each, and write the numbers as CSV beside the picture.

    Shown are the six largest clusters and, of the others, those whose mean trajectory lies farthest from all shown so
    far; panels are ordered by the loss at the end. A panel has the cluster's medoid (the example nearest to all of its
    cluster), the band from the 10th to the 90th percentile, how many examples the cluster has and how many were kept,
    also as a bar.

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
    shown, num_clusters = _measure(trace, selection, _labels(selection, strata))
    num_rows = -(-len(shown) // _COLUMNS)
    figure = new_figure(8.8, 1.1 + 1.9 * num_rows)
    grid = figure.subplots(num_rows, _COLUMNS, sharex=True, sharey=True, squeeze=False)
    for axes, cluster in zip(grid.flat, shown, strict=False):
        _draw(axes, trace.steps, cluster)
    for number, axes in enumerate(grid.flat):
        axes.set_visible(number < len(shown))
        if len(shown) - _COLUMNS <= number < len(shown):  # the lowest of its column
            axes.set_xlabel("optimiser step", fontsize=SMALL)
            axes.tick_params(labelbottom=True)
    grid[0, 0].set_ylim(0, 1.05 * max(float(max(one.high.max(), one.medoid.max())) for one in shown))
    legend = grid[0, 0].get_legend_handles_labels()
    figure.legend(*legend, fontsize=NORMAL, frameon=False, ncols=4, loc="outside lower center")
    title = f"How the proxy model learned the examples: {len(shown)} of {num_clusters} clusters of loss trajectories"
    figure.suptitle(title, fontsize=LARGE)
    figure.supylabel("loss of an example", fontsize=NORMAL)
    header = ("cluster", "num_examples", "num_kept", "medoid_id", "step", "medoid", "p10", "p90", "mean", "content")
    rows = [row for cluster in shown for row in _numbers(cluster, trace.steps)]
    shares = [cluster.kept / cluster.size for cluster in shown]
    alt = (
        f"Panels of {len(shown)} clusters with their medoid loss over training and the band of 80% of their examples; "
        f"from {min(shares):.0%} to {max(shares):.0%} of a cluster is kept."
    )
    return save_picture(figure, path, header, rows, title=title, alt=alt)


def _measure(trace: Trace, selection: Selection, names: np.ndarray | None) -> tuple[list[_Cluster], int]:
    """The clusters that are shown, and how many there are; what is dear to find is found of these only."""
    values = trace.take(np.searchsorted(trace.ids, selection.candidate_ids))
    labels = np.asarray(selection.clusters)
    order = np.argsort(labels, kind="stable")
    order = order[labels[order] >= 0]
    numbers, starts = np.unique(labels[order], return_index=True)
    members = np.split(order, starts[1:])
    means = [values[rows].mean(axis=0) for rows in members]
    shown = _most_telling([len(rows) for rows in members], means)
    return [_cluster(int(numbers[k]), members[k], values[members[k]], means[k], selection, names) for k in shown], len(
        numbers
    )


def _cluster(
    number: int, rows: np.ndarray, values: np.ndarray, mean: np.ndarray, selection: Selection, names: np.ndarray | None
) -> _Cluster:
    nearest = _medoid(values)
    low, high = np.percentile(values, (10, 90), axis=0)
    return _Cluster(
        number=number,
        size=len(rows),
        kept=int(selection.kept[rows].sum()),
        medoid_id=int(selection.candidate_ids[rows[nearest]]),
        medoid=values[nearest],
        low=low,
        high=high,
        middle=mean,
        content=() if names is None else _content(names[rows]),
    )


def _labels(selection: Selection, strata: Strata | None) -> np.ndarray | None:
    """The label of each candidate, where there are any."""
    if strata is None:
        return None
    label_of = dict(zip(np.asarray(strata.ids).tolist(), strata.labels, strict=True))
    missing = [example for example in selection.candidate_ids.tolist() if example not in label_of]
    if missing:
        raise ValueError(f"Example {missing[0]} of the Selection has no label in `strata`.")
    return np.array([label_of[example] for example in selection.candidate_ids.tolist()], object)


def _content(names: np.ndarray) -> tuple[tuple[str, float], ...]:
    """The most frequent label of a cluster and the next, if it is no rarity."""
    first, *others = [(name, count / len(names)) for name, count in Counter(names.tolist()).most_common(2)]
    return (first, *(other for other in others if other[1] >= _WORTH_TELLING))


def _told(content: tuple[tuple[str, float], ...]) -> str:
    """As in `sort 61%, add 22%`."""
    return ", ".join(f"{name} {share:.0%}" for name, share in content)


def _medoid(members: np.ndarray) -> int:
    """Row of [n, T] nearest to an evenly spaced sample of all rows."""
    sample = members[np.linspace(0, len(members) - 1, min(len(members), _MEDOID_SAMPLE)).astype(int)]
    distances = np.zeros(len(members))
    for row in sample:
        distances += np.linalg.norm(members - row, axis=1)
    return int(distances.argmin())


def _most_telling(sizes: list[int], means: list[np.ndarray]) -> list[int]:
    """The largest half, then by greedy farthest-point choice; ordered by the final mean loss."""
    by_size = sorted(range(len(sizes)), key=lambda k: (-sizes[k], k))
    shown, rest = by_size[: MOST_PANELS // 2], by_size[MOST_PANELS // 2 :]
    while rest and len(shown) < MOST_PANELS:
        farthest = max(rest, key=lambda k: min(float(np.linalg.norm(means[k] - means[s])) for s in shown))
        shown.append(farthest)
        rest.remove(farthest)
    return sorted(shown, key=lambda k: float(means[k][-1]))


def _draw(axes: Axes, steps: np.ndarray, cluster: _Cluster) -> None:
    axes.fill_between(
        steps, cluster.low, cluster.high, color=_LINE, alpha=0.2, linewidth=0, label="80% of its examples"
    )
    axes.plot(steps, cluster.medoid, color=_LINE, linewidth=1.6, marker="o", markersize=2.5, label="medoid")
    share = cluster.kept / cluster.size
    for left, width, colour, name in ((0, share, KEPT, "kept"), (share, 1 - share, DROPPED, "dropped")):
        bar = Rectangle((left, 1.0), width, 0.04, transform=axes.transAxes, color=colour, clip_on=False, label=name)
        axes.add_patch(bar)
    lines = [f"cluster {cluster.number}: {cluster.kept:,} of {cluster.size:,} kept"]
    if cluster.content:
        lines.append(_told(tuple((short_name(name, _LONGEST), share) for name, share in cluster.content)))
    axes.set_title("\n".join(lines), fontsize=SMALL, pad=9, parse_math=False)
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
            _told(cluster.content),
        )
        for t in range(len(steps))
    ]
