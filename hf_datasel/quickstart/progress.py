"""One bar over the whole quickstart, with the time left; plain lines where no terminal is watching."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from types import TracebackType

import datasets
from tqdm.auto import tqdm
from transformers.utils import logging as transformers_logging

_FORMAT = "{desc} {percentage:3.0f}%|{bar}| {elapsed} elapsed, {remaining} left"


class Progress:
    """Counts work done towards `total`, and prints a line for each finished stage.

    Args:
        total: work there is, in any unit.
        done: of it, by an earlier run that this one continues.
    """

    def __init__(self, total: float, done: float = 0.0) -> None:
        self._bar = tqdm(
            total=max(total, done),
            initial=done,
            desc="quickstart",
            bar_format=_FORMAT,
            disable=not sys.stderr.isatty(),
            mininterval=0.2,
        )

    def __enter__(self) -> "Progress":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bar.close()

    def stage(self, what: str) -> None:
        """Say what is going on."""
        self._bar.set_description_str(what)

    def advance(self, amount: float) -> None:
        """Count work as done; the last bit of an estimate that was too low is left out."""
        self._bar.update(min(amount, self._bar.total - self._bar.n))

    def report(self, line: str) -> None:
        """Print a line that stays."""
        if self._bar.disable:
            print(line, flush=True)
        else:
            self._bar.write(line)


@contextmanager
def quiet_libraries() -> Iterator[None]:
    """Turn off the progress bars of datasets and transformers for a while: there is one bar, ours."""
    had_datasets = datasets.are_progress_bars_disabled()
    had_transformers = transformers_logging.is_progress_bar_enabled()
    datasets.disable_progress_bars()
    transformers_logging.disable_progress_bar()
    try:
        yield
    finally:
        if not had_datasets:
            datasets.enable_progress_bars()
        if had_transformers:
            transformers_logging.enable_progress_bar()
