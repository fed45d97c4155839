"""Bars with the time left: over work that holds many small pieces, and over passes that may take long."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from types import TracebackType
from typing import TypeVar

import datasets
from accelerate import PartialState
from tqdm.auto import tqdm

SILENT_SECONDS = 1.0  # a pass that is over by then shows nothing
T = TypeVar("T")


def watched(pieces: Iterable[T], name: str, unit: str = "row") -> Iterator[T]:
    """The pieces one after another, with a bar in a terminal, on one process of a machine, once it takes a while.

    Args:
        pieces: of known number or not.
        name: of the work.
        unit: of a piece.
    """
    hidden = not (sys.stderr.isatty() and PartialState().is_local_main_process)
    yield from tqdm(pieces, desc=name, unit=unit, leave=False, delay=SILENT_SECONDS, disable=hidden)


class OneBar:
    """Counts towards ``total``; shows itself in a terminal only, and is the only bar while it is open.

    Args:
        total: pieces there will be.
        name: of the work.
        unit: of a piece.
        shown: False for none.
        done: of the total, by an earlier run.
    """

    def __init__(self, total: int, name: str, unit: str, shown: bool, done: int = 0) -> None:
        self._name = name
        self._datasets_had_bars = not datasets.are_progress_bars_disabled()
        hidden = not (shown and sys.stderr.isatty())
        self._bar = tqdm(total=total, desc=name, unit=unit, leave=None, initial=done, disable=hidden)

    def advance(self, what: str, number: int) -> None:
        """Count pieces, and say what is going on."""
        self._bar.set_description_str(f"{self._name}, {what}")
        self._bar.update(number)

    def __enter__(self) -> OneBar:
        datasets.disable_progress_bars()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bar.close()
        if self._datasets_had_bars:
            datasets.enable_progress_bars()
