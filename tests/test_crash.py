"""A process killed at any point of writing, or a full disk, leaves what was there before or what was meant to be."""

import errno
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from hf_datasel.selection import Selection
from hf_datasel.storage import write_array, write_json
from hf_datasel.trace import Trace
from tests.crash_child import NUM_EXAMPLES, column, prepare, run, selection


def in_child(*arguments):
    root = Path(__file__).parent.parent
    done = subprocess.run(
        [sys.executable, str(root / "tests" / "crash_child.py"), *map(str, arguments)],
        check=True,
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": str(root)},
    )
    return json.loads(done.stdout)


def killed(job, directory):
    """What stands at the target after a kill at each point, and whether the target survived it."""
    num_points = in_child("kill", job, directory)["num_points"]
    assert num_points >= 4
    return [directory / f"{point:03d}" / "target" for point in range(1, num_points + 1)]


def files_of(path):
    return {str(file.relative_to(path)): file.read_bytes() for file in sorted(path.rglob("*")) if file.is_file()}


def test_a_column_killed_anywhere_is_there_or_is_not(tmp_path):
    reference = tmp_path / "reference"
    prepare("column", reference)
    run("column", reference)
    outcomes = set()
    for path in killed("column", tmp_path / "killed"):
        seen = Trace.load(path, partial=True)
        assert seen.steps.tolist() in ([1, 2], [1, 2, 3])
        for t, step in enumerate(seen.steps):
            assert np.array_equal(seen.column(t), column(step))
        outcomes.add(seen.num_checkpoints)
        trace = Trace.open(path)
        if trace.num_checkpoints == 2:
            trace.write_column(column(3), step=3)
        assert files_of(path) == files_of(reference)
    assert outcomes == {2, 3}


def test_a_trace_killed_while_it_is_made_is_whole_or_absent(tmp_path):
    outcomes = set()
    for path in killed("create", tmp_path / "killed"):
        outcomes.add(path.exists())
        if path.exists():
            assert Trace.open(path).num_examples == NUM_EXAMPLES
        else:
            Trace.create(path, np.arange(NUM_EXAMPLES))
    assert outcomes == {True, False}


def test_dropping_columns_killed_anywhere_leaves_the_first_of_them(tmp_path):
    outcomes = set()
    for path in killed("drop", tmp_path / "killed"):
        trace = Trace.open(path)
        assert trace.steps.tolist() in ([1, 2], [1], [])
        assert len(list((path / "columns").iterdir())) == 2 * trace.num_checkpoints
        outcomes.add(trace.num_checkpoints)
    assert outcomes == {0, 1, 2}


def test_finishing_killed_anywhere_is_done_or_is_not(tmp_path):
    states = [Trace.open(path) for path in killed("finish", tmp_path / "killed")]
    assert {trace.finished for trace in states} == {True, False}
    assert all(trace.steps.tolist() == [1, 2] for trace in states)


def test_a_companion_killed_while_it_is_made_is_whole_or_absent_and_its_trace_untouched(tmp_path):
    reference = tmp_path / "reference"
    prepare("companion", reference)
    run("companion", reference)
    outcomes = set()
    for path in killed("companion", tmp_path / "killed"):
        assert Trace.load(path, partial=True).steps.tolist() == [1, 2]
        trace = Trace.open(path)
        outcomes.add(trace.companions)
        if trace.companions:
            assert trace.open_companion("loss").num_examples == NUM_EXAMPLES
        else:
            trace.create_companion("loss", metric="loss")
        assert files_of(path) == files_of(reference)
    assert outcomes == {(), ("loss",)}


def test_a_selection_killed_while_it_is_replaced_is_never_mixed(tmp_path):
    outcomes = set()
    for path in killed("replace", tmp_path / "killed"):
        whole = [candidate for candidate in path.parent.iterdir() if (candidate / "manifest.json").exists()]
        for candidate in [path] if path.exists() else whole:
            seen = Selection.load(candidate)
            seed = seen.provenance[0]["seed"]
            assert np.array_equal(seen.kept, selection(seed).kept)
            outcomes.add(seed)
    assert outcomes == {0, 1}


@pytest.mark.parametrize("job", ["column", "create", "companion", "replace"])
def test_a_full_disk_says_where_and_how_much_and_leaves_nothing_behind(tmp_path, job):
    reports = in_child("full", job, tmp_path / "full")
    assert reports[-1]["message"] is None
    failed = [report for report in reports if report["message"] is not None]
    assert len(failed) >= 2
    for report in failed:
        assert report["unchanged"]
        assert "could not write" in report["message"]
        assert str(tmp_path / "full" / str(report["limit"])) in report["message"]
        assert "bytes were needed). Nothing was left half-written" in report["message"]


@pytest.mark.parametrize("failing", ["fsync", "replace"])
@pytest.mark.parametrize(
    "write", [lambda path: write_array(path, np.ones(9)), lambda path: write_json(path, {"a": 1})]
)
def test_the_error_keeps_its_kind_and_the_old_file_stays(tmp_path, monkeypatch, failing, write):
    path = tmp_path / "file"
    path.write_bytes(b"old")

    def no_space(*args):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, failing, no_space)
    with pytest.raises(OSError, match="No space left on device: could not write") as caught:
        write(path)
    assert (caught.value.errno, caught.value.filename) == (errno.ENOSPC, str(path))
    assert [file.name for file in tmp_path.iterdir()] == ["file"]
    assert path.read_bytes() == b"old"


def test_an_interrupt_leaves_no_temporary_file(tmp_path, monkeypatch):
    def interrupted(*args):
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "fsync", interrupted)
    with pytest.raises(KeyboardInterrupt):
        write_array(tmp_path / "file.npy", np.ones(9))
    assert list(tmp_path.iterdir()) == []
