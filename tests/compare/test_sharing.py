"""Pieces of work between processes: each done once, also when the process that claimed one dies."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from hf_datasel.compare import run, sharing
from hf_datasel.compare.plan import Plan
from hf_datasel.training.progress import OneBar

CLAIM = """
import sys, time
from pathlib import Path
from hf_datasel.compare.sharing import do_all

def hang(path):
    print("claimed", flush=True)
    time.sleep(600)

do_all([Path(sys.argv[1])], lambda path: path, hang, print)
"""


@pytest.fixture
def other_process(tmp_path):
    """A process that has claimed the piece ``first`` and does nothing about it."""
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    line = [sys.executable, "-c", CLAIM, str(tmp_path / "first")]
    with subprocess.Popen(line, env=environment, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout.readline() == "claimed\n"
        yield process
        process.kill()


def test_what_a_process_claimed_is_done_by_another_once_it_is_dead(tmp_path, other_process, monkeypatch):
    done, told, looks = [], [], []

    def do(path):
        done.append(path.name)
        path.write_text("")

    def sleep(seconds):
        looks.append(seconds)
        assert done == ["second"], "the one that is free was done meanwhile, the claimed one left alone"
        if len(looks) == 2:
            os.kill(other_process.pid, signal.SIGKILL)
            other_process.wait()

    monkeypatch.setattr(time, "sleep", sleep)
    pieces = [tmp_path / "first", tmp_path / "second"]
    sharing.do_all(pieces, lambda path: path, do, told.append)
    assert done == ["second", "first"]
    assert told == [1, 2]
    assert len(looks) == 2


def test_what_is_there_is_not_done_again(tmp_path):
    pieces = [tmp_path / name for name in ("a", "b", "c")]
    pieces[1].write_text("there")
    done = []

    def do(path):
        done.append(path.name)
        path.write_text("")
        if path.name == "a":
            pieces[2].write_text("")  # by another process, while this one was at work

    sharing.do_all(pieces, lambda path: path, do, lambda number: None)
    assert done == ["a"]


def test_a_failure_gives_the_claim_back(tmp_path):
    def fail(path):
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        sharing.do_all([tmp_path / "a"], lambda path: path, fail, lambda number: None)
    sharing.do_all([tmp_path / "a"], lambda path: path, lambda path: path.write_text(""), lambda number: None)


class FakeBench:
    """Cells that take no time."""

    def __init__(self, folder):
        self.folder = folder

    def place(self, cell):
        return self.folder / f"{cell.name}.json"

    def do(self, cell):
        self.place(cell).write_text("{}")


@pytest.mark.parametrize("watching", [True, False])
def test_one_bar_counts_cells_on_from_those_that_are_done(tmp_path, monkeypatch, capsys, watching):
    bench, cells = FakeBench(tmp_path), Plan(["s2l"], [0.1, 0.2], num_seeds=2).cells()
    for cell in cells[:4]:
        bench.do(cell)
    monkeypatch.setattr(sys.stderr, "isatty", lambda: watching)
    monkeypatch.setattr("tqdm.std.tqdm.monitor_interval", 0)
    run._do(bench, cells)
    seen = capsys.readouterr().err
    assert ("Comparing: " in seen) == watching
    assert ("4/10" in seen and "Comparing, 10 of 10 done: 100%" in seen) == watching
    assert sum(bench.place(cell).is_file() for cell in cells) == len(cells) == 10


def test_the_bar_begins_where_an_earlier_run_stopped(monkeypatch, capsys):
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    with OneBar(8, "Work", "piece", True, done=6) as bar:
        bar.advance("on", 1)
    assert "6/8" in capsys.readouterr().err
