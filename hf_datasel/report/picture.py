"""A drawn picture: where it and its numbers lie, and what it shows in words."""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

from hf_datasel.report.figure import save_figure


@dataclass(frozen=True)
class Picture:
    """A picture of a report or a card.

    Args:
        path: the PNG.
        data: the CSV of its numbers.
        title: a few words.
        alt: one sentence that says what is to be seen.
    """

    path: Path
    data: Path
    title: str
    alt: str


def save_picture(
    figure: Figure,
    path: str | os.PathLike[str],
    header: Sequence[str],
    rows: Sequence[Sequence[Any]],
    *,
    title: str,
    alt: str,
) -> Picture:
    """Write a picture and its numbers, as `save_figure` does, and say what it is."""
    save_figure(figure, path, header, rows)
    return Picture(Path(path), Path(path).with_suffix(".csv"), title, alt)
