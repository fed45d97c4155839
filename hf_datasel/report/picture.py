"""A drawn picture: where it and its numbers lie, and what it shows in words."""

from dataclasses import dataclass
from pathlib import Path


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
