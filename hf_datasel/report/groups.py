"""How many rows of each group there were and were kept: per value of a column, as a table and as a picture."""

import os
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hf_datasel.example_ids import member_mask, read_example_ids
from hf_datasel.report.figure import EVERYTHING, KEPT, LARGE, NORMAL, SMALL, new_figure, short_name, tidy
from hf_datasel.report.picture import Picture, save_picture
from hf_datasel.selection import Selection

Group = tuple[str, int, int]  # value of the column, rows before, rows after
NO_VALUE = "(none)"
MOST_SHOWN = 14
_HEADER = ("group", "rows_before", "rows_after", "share_before", "share_after")


@dataclass(frozen=True, eq=False)
class Labels:
    """The values of a column, by row.

    Args:
        names: G different values as text, in the order of their first row.
        codes: int64 [N], which of them each row has.
    """

    names: tuple[str, ...]
    codes: NDArray[np.int64]


def read_labels(dataset: Any, column: str) -> Labels:
    """The values of a column; class labels become their names, and what is empty `(none)`.

    Raises:
        ValueError: no such column, or one whose values are no labels (lists, structures, images).
    """
    import pyarrow as pa
    import pyarrow.compute as pc

    if column not in dataset.column_names:
        raise ValueError(f"The dataset has no column {column!r} to group by, only {list(dataset.column_names)}.")
    values = dataset.select_columns([column]).with_format("arrow")[:].column(column)
    try:
        encoded = pc.dictionary_encode(values, null_encoding="encode").combine_chunks()
    except pa.ArrowNotImplementedError:
        raise ValueError(
            f"Column {column!r} cannot group rows: its values are {values.type}. Name a column of labels, such as a "
            "source or a skill."
        ) from None
    name_of = getattr(dataset.features[column], "int2str", str)
    names = [NO_VALUE if value is None else str(name_of(value)) for value in encoded.dictionary.to_pylist()]
    number = {name: code for code, name in enumerate(dict.fromkeys(names))}  # two values can read the same
    codes = np.array([number[name] for name in names], np.int64)
    return Labels(tuple(number), codes[encoded.indices.to_numpy(zero_copy_only=False)])


def count_groups(dataset: Any, selection: Selection, column: str) -> list[Group]:
    """Rows of each value of a column: in the dataset, and of those that the Selection keeps.

    Args:
        dataset: with example ids, the one the Selection was made for.
        selection: whose kept rows are counted.
        column: of labels.

    Returns:
        Value, rows before, rows after; the largest group first, ties by value.

    Raises:
        ValueError: as `read_labels`, or bad or missing example ids.

    Example:
        >>> from datasets import Dataset
        >>> rows = Dataset.from_dict({"example_id": [0, 1, 2], "source": ["web", "book", "web"]})
        >>> kept = Selection(candidate_ids=np.array([0, 1, 2]), kept=np.array([True, False, False]))
        >>> count_groups(rows, kept, "source")
        [('web', 2, 1), ('book', 1, 0)]
    """
    return tally(read_labels(dataset, column), member_mask(selection.ids, read_example_ids(dataset)))


def tally(labels: Labels, kept: NDArray[np.bool_]) -> list[Group]:
    """The groups of rows that `labels` and `kept`, bool [N], speak of; ordered as `count_groups` has them."""
    before = np.bincount(labels.codes, minlength=len(labels.names)).tolist()
    after = np.bincount(labels.codes[kept], minlength=len(labels.names)).tolist()
    return sorted(zip(labels.names, before, after, strict=True), key=lambda group: (-group[1], group[0]))


def fold(groups: list[Group], most: int) -> list[Group]:
    """The largest groups and, where there are more than `most`, the sum of the others as the last."""
    if len(groups) <= most:
        return groups
    shown, rest = groups[: most - 1], groups[most - 1 :]
    others = (f"{len(rest):,} others", sum(group[1] for group in rest), sum(group[2] for group in rest))
    return [*shown, others]


def plot_groups(groups: list[Group], path: str | os.PathLike[str], *, column: str) -> Picture:
    """Share of each group before and after, the largest first; beyond 14 groups the smaller ones are one bar.

    Args:
        groups: of `count_groups`.
        path: a name that ends in `.png`; the numbers go beside it as CSV.
        column: whose values they are.

    Raises:
        ValueError: `path` does not end in `.png`.
    """
    shown = fold(groups, MOST_SHOWN)
    before, after = (np.array([group[k] for group in shown], np.int64) for k in (1, 2))
    shares = [counts / max(1, counts.sum()) for counts in (before, after)]
    figure = new_figure(7.0, 1.3 + 0.42 * len(shown))
    axes = figure.subplots()
    places = np.arange(len(shown))
    for offset, counts, share, colour, name in (
        (-0.2, before, shares[0], EVERYTHING, f"all {before.sum():,} rows"),
        (0.2, after, shares[1], KEPT, f"{after.sum():,} kept"),
    ):
        bars = axes.barh(places + offset, 100 * share, 0.38, color=colour, label=name)
        told = [f"{100 * part:.1f}%  ({count:,})" for part, count in zip(share, counts, strict=True)]
        axes.bar_label(bars, told, padding=3, fontsize=SMALL)
    axes.set_yticks(places, [short_name(group[0]) for group in shown])
    for tick in axes.get_yticklabels():
        tick.set_parse_math(False)
    axes.set_ylim(len(shown) - 0.5, -0.5)
    axes.margins(x=0.2)
    title = f"Rows by {column}, before and after"
    axes.set_title(f"Rows by {short_name(column)}, before and after", fontsize=LARGE, loc="left", parse_math=False)
    axes.set_xlabel("share of the rows, in %", fontsize=NORMAL)
    tidy(axes, grid=False)
    axes.tick_params(axis="y", length=0, labelsize=NORMAL)
    figure.legend(fontsize=NORMAL, frameon=False, ncols=2, loc="outside lower center")
    rows = [(*group, f"{b:.6g}", f"{a:.6g}") for group, b, a in zip(shown, shares[0], shares[1], strict=True)]
    return save_picture(figure, path, _HEADER, rows, title=title, alt=_sentence(shown, shares, column))


def _sentence(groups: list[Group], shares: list[NDArray[np.float64]], column: str) -> str:
    moved = int(np.abs(shares[1] - shares[0]).argmax())
    return (
        f"Bars of the share of each of {len(groups)} groups by {column}, before and after the selection; "
        f"{groups[moved][0]} moves most, from {shares[0][moved]:.1%} to {shares[1][moved]:.1%} of the rows."
    )
