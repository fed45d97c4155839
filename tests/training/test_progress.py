"""Bars: in a terminal, on one process of a machine, with the time left; nowhere else."""

import io
import sys
from collections.abc import Iterable

import pytest

from hf_datasel.training import progress
from hf_datasel.training.progress import watched


class Terminal(io.StringIO):
    """What somebody looks at."""

    def isatty(self) -> bool:
        return True


def shown(monkeypatch: pytest.MonkeyPatch, screen: io.StringIO, silent_seconds: float, pieces: Iterable[int]) -> str:
    """What a pass over the pieces writes."""
    monkeypatch.setattr(sys, "stderr", screen)
    monkeypatch.setattr(progress, "SILENT_SECONDS", silent_seconds)
    assert list(watched(pieces, "Comparing")) == [1, 2, 3]
    return screen.getvalue()


def test_a_pass_shows_how_far_it_is_and_what_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    written = shown(monkeypatch, Terminal(), 0.0, [1, 2, 3])
    assert "Comparing" in written
    assert "0/3 [00:00<?" in written  # elapsed < left


def test_passes_that_are_soon_over_say_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    assert "Comparing" not in shown(monkeypatch, Terminal(), 3600.0, iter([1, 2, 3]))


def test_nothing_is_shown_where_nobody_watches(monkeypatch: pytest.MonkeyPatch) -> None:
    assert shown(monkeypatch, io.StringIO(), 0.0, [1, 2, 3]) == ""
    monkeypatch.setattr(progress.PartialState, "is_local_main_process", False)
    assert shown(monkeypatch, Terminal(), 0.0, [1, 2, 3]) == ""
