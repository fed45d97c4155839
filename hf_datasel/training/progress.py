"""One bar over work that holds many small pieces, with the time left."""

from __future__ import annotations

import sys
from types import TracebackType

import datasets
from tqdm.auto import tqdm


class OneBar:
    """Counts towards ``total``; shows itself in a terminal only, and is the only bar while it is open.

    Args:
        total: pieces there will be.
        name: of the work.
        unit: of a piece.
        shown: False for none.
    """

    def __init__(self, total: int, name: str, unit: str, shown: bool) -> None:
        self._name = name
        self._datasets_had_bars = not datasets.are_progress_bars_disabled()
        self._bar = tqdm(total=total, desc=name, unit=unit, leave=None, disable=not (shown and sys.stderr.isatty()))

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
