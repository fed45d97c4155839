"""What every picture shares: look, and being written whole or not at all, as PNG with its data as CSV."""

import csv
import functools
import io
import os
import unicodedata
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from matplotlib import font_manager
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from hf_datasel.storage import write_atomic

# Okabe and Ito's colours, told apart by colour-blind readers too.
BLUE, ORANGE, GREY, GREEN = "#0072B2", "#E69F00", "#8A8A8A", "#009E73"
SERIES = (BLUE, ORANGE, GREY, GREEN)
KEPT, DROPPED, EVERYTHING = BLUE, ORANGE, GREY  # what these three mean wherever rows are shown
SOME_KEPT = "#86BCDD"
SMALL, NORMAL, LARGE = 8, 9, 11
_DOTS_PER_INCH = 150


def new_figure(width: float, height: float) -> Figure:
    """An empty figure, in inches; pyplot's global state is not touched."""
    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def tidy(axes: Axes, *, grid: bool = True) -> None:
    """No box, light horizontal lines, small ticks."""
    axes.spines[["top", "right"]].set_visible(False)
    axes.tick_params(labelsize=SMALL)
    if grid:
        axes.grid(axis="y", color="#DDDDDD", linewidth=0.6)
        axes.set_axisbelow(True)


def short_name(text: str, longest: int = 30) -> str:
    """A name from the data as a picture can show it: one line, not too long, a box for what the font lacks.

    Example:
        >>> short_name("a  name\\nof\\u202etwo lines"), short_name("abcdef", longest=4), short_name("\\u6570")
        ('a name of two lines', 'abc…', '□')
    """
    shown = " ".join("".join(" " if unicodedata.category(one)[0] == "C" else one for one in text).split())
    shown = shown if len(shown) <= longest else shown[: longest - 1].rstrip() + "…"
    return "".join(one if ord(one) in _drawable() else "□" for one in shown) or "(empty)"


@functools.cache
def _drawable() -> frozenset[int]:
    font = font_manager.get_font(font_manager.findfont("DejaVu Sans"))
    return frozenset(font.get_charmap())


def save_figure(
    figure: Figure, path: str | os.PathLike[str], header: Sequence[str], rows: Sequence[Sequence[Any]]
) -> None:
    """Write `path` (PNG) and, with the ending `.csv`, the numbers it shows.

    Raises:
        ValueError: `path` does not end in `.png`.
        OSError: it cannot be written; no half file is left.
    """
    path = Path(path)
    if path.suffix != ".png":
        raise ValueError(f"{path}: pictures are written as PNG; give a name that ends in .png.")
    path.parent.mkdir(parents=True, exist_ok=True)
    picture = io.BytesIO()
    figure.savefig(picture, format="png", dpi=_DOTS_PER_INCH, metadata={"Software": None})
    table = io.StringIO(newline="")
    writer = csv.writer(table, lineterminator="\n")
    writer.writerow(header)
    writer.writerows(rows)
    for target, content in ((path, picture.getvalue()), (path.with_suffix(".csv"), table.getvalue().encode())):
        _write(target, content)


def _write(path: Path, content: bytes) -> None:
    write_atomic(path, lambda file: file.write(content), len(content))
