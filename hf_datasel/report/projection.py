"""A map of kept and dropped: rows in the plane of their two first principal components."""

import os
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from hf_datasel.functional.principal_components import principal_components
from hf_datasel.report.figure import DROPPED, KEPT, LARGE, NORMAL, new_figure, tidy
from hf_datasel.report.picture import Picture, save_picture

MOST_KEPT, MOST_DROPPED = 2000, 4000  # points that are drawn
_FIT_NUMBERS = 4_000_000  # rows x dimensions that the components are found from, at most
_FIT_ROWS = 8000
_HEADER = ("example_id", "kept", "x", "y")

Read = Callable[[NDArray[np.int64]], NDArray[np.float32]]


def plot_map(
    ids: NDArray[np.int64],
    kept: NDArray[np.bool_],
    read: Read,
    path: str | os.PathLike[str],
    *,
    what: str,
    dimension: int,
    seed: int = 0,
) -> Picture:
    """Draw kept rows over dropped ones; of large sets a sample, drawn by the seed, that the title tells of.

    The components are those of a sample of all rows; their shares of its variance stand on the axes.

    Args:
        ids: int64 [N], ascending.
        kept: bool [N].
        read: the rows at ascending positions, float32 [m, dimension]; rows with NaN are left out.
        path: a name that ends in `.png`; the points go beside it as CSV.
        what: the rows are, as in "embeddings".
        dimension: d.
        seed: of the samples.

    Raises:
        ValueError: no row without NaN; `path` does not end in `.png`.
    """
    generator = np.random.default_rng(seed)
    all_rows = np.arange(len(ids))
    num_fit = min(_FIT_ROWS, max(1000, _FIT_NUMBERS // dimension))
    sample = _whole(read(_some(all_rows, num_fit, generator)))[0]
    if not len(sample):
        raise ValueError(f"There is nothing to map: no row of the {what} is whole.")
    components = principal_components(sample)
    places, told, drawn = {}, {}, []
    for name, mask, most in (("dropped", ~kept, MOST_DROPPED), ("kept", kept, MOST_KEPT)):
        positions = _some(all_rows[mask], most, generator)
        rows, whole = _whole(read(positions))
        places[name] = components.project(rows)
        total = int(np.count_nonzero(mask))
        told[name] = f"{name} ({total:,})" if len(rows) == total else f"{name} ({len(rows):,} of {total:,} drawn)"
        drawn += [
            (int(example), int(name == "kept"), f"{x:.6g}", f"{y:.6g}")
            for example, (x, y) in zip(ids[positions[whole]], places[name], strict=True)
        ]
    figure = new_figure(7.0, 5.4)
    axes = figure.subplots()
    for name, colour, alpha in (("dropped", DROPPED, 0.45), ("kept", KEPT, 0.7)):
        x, y = places[name].T
        axes.scatter(x, y, s=9, color=colour, alpha=alpha, linewidths=0, label=told[name])
    title = f"Map of kept and dropped by their {what}"
    axes.set_title(title, fontsize=LARGE, loc="left")
    first, second = (f"{share:.0%}" for share in components.shares)
    axes.set_xlabel(f"first principal component ({first} of the variance)", fontsize=NORMAL)
    axes.set_ylabel(f"second principal component ({second})", fontsize=NORMAL)
    tidy(axes, grid=False)
    legend = figure.legend(fontsize=NORMAL, frameon=False, ncols=2, loc="outside lower center", markerscale=2)
    for handle in legend.legend_handles:
        if handle is not None:
            handle.set_alpha(1)
    alt = (
        f"Map of {told['kept'].replace('kept', 'kept rows')} and {told['dropped'].replace('dropped', 'dropped rows')} "
        f"by the two first principal components of their {what}, with {first} and {second} of the variance."
    )
    return save_picture(figure, path, _HEADER, sorted(drawn), title=title, alt=alt)


def _some(positions: NDArray[np.int64], most: int, generator: np.random.Generator) -> NDArray[np.int64]:
    """Positions drawn without replacement, ascending; all where they are few."""
    if len(positions) <= most:
        return positions
    return np.sort(generator.choice(positions, most, replace=False))


def _whole(rows: NDArray[np.float32]) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """The rows without NaN, and which those are."""
    table = np.asarray(rows, np.float64)
    whole: NDArray[np.bool_] = np.asarray(~np.isnan(table).any(axis=1))
    return table[whole], whole
