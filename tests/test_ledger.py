"""The ledger: every record is durable, none is torn, and no value of another experiment is ever read."""

import errno
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hf_datasel.ledger import Ledger

ROOT = Path(__file__).parent.parent
KEY = {"model": {"digest": "0f3a"}, "recipe": {"learning_rate": 0.01, "seed": 42}, "metric": "log_likelihood"}
WRITER = """
import sys
from hf_datasel.ledger import Ledger
ledger = Ledger.open(sys.argv[1], {"seed": 0})
for number in range(int(sys.argv[2]), 10**6, 2):
    ledger.put(ledger.coalition_key([number]), {"value": number / 7, "padding": "x" * 3000})
    print(number, flush=True)
"""


def segments(folder):
    return sorted(folder.glob("*.jsonl"))


def record(ledger, *ids, value=0.5, **more):
    ledger.put(ledger.coalition_key(ids), {"value": value, **more})


def test_what_was_put_is_there_in_every_process_that_opens_it(tmp_path):
    first, second = Ledger.open(tmp_path / "ledger", KEY), Ledger.open(tmp_path / "ledger", KEY)
    assert not (tmp_path / "ledger").exists(), "nothing is written before there is a record"
    record(first, 3, 1, value=0.1 + 0.2, num_examples=2)
    record(second, 4, value=-7)
    assert len(first) == len(second) == 1
    for ledger in (first, second, Ledger.open(tmp_path / "ledger", KEY)):
        ledger.refresh()
        assert len(ledger) == 2
        assert ledger.get(ledger.coalition_key([1, 3]))["value"] == 0.1 + 0.2
        assert ledger.get(ledger.coalition_key(np.array([3, 1])))["num_examples"] == 2
        assert ledger.get(ledger.coalition_key([4]))["value"] == -7
        assert ledger.get(ledger.coalition_key([])) is None
    assert len(segments(tmp_path / "ledger")) == 2


def test_a_coalition_is_named_by_its_members_and_the_experiment(tmp_path):
    here, there = Ledger(tmp_path, KEY), Ledger(tmp_path, {**KEY, "metric": "loss"})
    assert here.coalition_key([5, 2**40, 7]) == here.coalition_key(np.array([7, 5, 2**40], dtype=np.uint64))
    names = {ledger.coalition_key(ids) for ledger in (here, there) for ids in ([], [5], [7], [5, 7])}
    assert len(names) == 8
    assert Ledger(tmp_path, {"b": [1, 2], "a": 1}).digest == Ledger(tmp_path, {"a": 1, "b": (1, 2)}).digest


def test_the_first_record_of_a_coalition_stays(tmp_path):
    first, second = Ledger.open(tmp_path, KEY), Ledger.open(tmp_path, KEY)
    record(first, 1, value=1.0)
    record(first, 1, value=2.0)
    record(second, 1, value=3.0)
    assert [ledger.get(ledger.coalition_key([1]))["value"] for ledger in (first, second)] == [1.0, 3.0]
    reopened = Ledger.open(tmp_path, KEY)
    assert (len(reopened), reopened.get(reopened.coalition_key([1]))["value"]) == (1, 1.0)


@given(
    lines=st.lists(st.tuples(st.integers(0, 2), st.integers(0, 9), st.floats(-9, 9)), max_size=12),
    cut=st.integers(0, 400),
)
def test_the_ledger_is_the_union_of_whole_lines(tmp_path_factory, lines, cut):
    """Three writers take turns; the last segment is then cut off anywhere behind its header."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "fsync", lambda descriptor: None)  # the slow part, and of no use without a kill
        check_union(tmp_path_factory.mktemp("ledger"), lines, cut)


def check_union(folder, lines, cut):
    writers = [Ledger.open(folder, KEY) for _ in range(3)]
    expected = [{}, {}, {}]
    for writer, number, value in lines:
        record(writers[writer], number, value=value)
        expected[writer].setdefault(writers[writer].coalition_key([number]), value)
    *whole, torn = segments(folder) or [None]
    union = {}
    for segment in whole:
        for line in segment.read_text().splitlines()[1:]:
            content = json.loads(line)
            union.setdefault(content["coalition"], content["value"])
    if torn is not None:
        header, *rest = torn.read_bytes().splitlines(keepends=True)
        body = b"".join(rest)
        kept = body[: max(0, len(body) - cut)]
        torn.write_bytes(header + kept)
        for line in kept.split(b"\n")[:-1]:
            content = json.loads(line)
            union.setdefault(content["coalition"], content["value"])
    read = Ledger.open(folder, KEY)
    assert {name: read.get(name)["value"] for values in expected for name in values if name in read} == union
    record(read, 11, value=0.0)
    assert len(Ledger.open(folder, KEY)) == len(union) + 1, "a torn line must not swallow what is put later"


def test_kill_9_loses_at_most_the_line_in_flight(tmp_path):
    """Two processes share the ledger and are killed in the middle of their writing."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    children = [
        subprocess.Popen(
            [sys.executable, "-c", WRITER, str(tmp_path), str(start)],
            stdout=subprocess.PIPE,
            text=True,
            env=environment,
        )
        for start in (0, 1)
    ]
    said = [[child.stdout.readline() for _ in range(20)] for child in children]
    for child, lines in zip(children, said, strict=True):
        child.send_signal(signal.SIGKILL)
        rest = child.communicate()[0]
        assert child.returncode == -signal.SIGKILL
        lines += rest.splitlines(keepends=True)
    ledger = Ledger.open(tmp_path, {"seed": 0})
    promised = {int(line) for lines in said for line in lines if line.endswith("\n")}
    assert len(promised) >= 40
    for number in promised:
        assert ledger.get(ledger.coalition_key([number]))["value"] == number / 7
    assert len(ledger) <= len(promised) + 2
    before = len(ledger)
    record(ledger, 10**7)
    assert len(Ledger.open(tmp_path, {"seed": 0})) == before + 1


def test_a_line_that_is_being_written_is_read_when_it_is_whole(tmp_path):
    writer, reader = Ledger.open(tmp_path, KEY), Ledger.open(tmp_path, KEY)
    record(writer, 1)
    record(writer, 2)
    (segment,) = segments(tmp_path)
    whole = segment.read_bytes()
    segment.write_bytes(whole[:-5])
    reader.refresh()
    assert len(reader) == 1
    segment.write_bytes(whole)
    reader.refresh()
    assert len(reader) == 2


def test_a_fork_writes_a_segment_of_its_own(tmp_path, monkeypatch):
    ledger = Ledger.open(tmp_path, KEY)
    record(ledger, 1)
    number = os.getpid()
    monkeypatch.setattr(os, "getpid", lambda: number + 1)
    record(ledger, 2)
    assert [len(segment.read_text().splitlines()) for segment in segments(tmp_path)] == [2, 2]
    assert len(Ledger.open(tmp_path, KEY)) == 2


@pytest.mark.parametrize(
    ("other", "words"),
    [
        ({**KEY, "metric": "loss"}, r'metric \("log_likelihood" there, "loss" here\)\. Choose another folder'),
        ({**KEY, "recipe": {"learning_rate": 0.02, "seed": 42}}, r"recipe.learning_rate \(0.01 there, 0.02"),
        ({**KEY, "groups": "topic"}, r'groups \(null there, "topic" here\)'),
        ({name: number for number, name in enumerate("abcdefg")}, r"a \(null there, 0 here\).* and 5 more\. Choose"),
    ],
)
def test_another_experiment_is_refused_by_what_differs(tmp_path, other, words):
    record(Ledger.open(tmp_path, KEY), 1)
    with pytest.raises(ValueError, match=words):
        Ledger.open(tmp_path, other)
    late = Ledger(tmp_path, other)
    with pytest.raises(ValueError, match=words):
        late.refresh()


def test_a_file_that_is_no_segment_is_refused(tmp_path):
    (tmp_path / "rows.jsonl").write_text('{"prompt": "a"}\n')
    with pytest.raises(ValueError, match=r"rows.jsonl is no segment of a ledger .*\(format None, version None\)"):
        Ledger.open(tmp_path, KEY)


@pytest.mark.parametrize("damaged", [b"\0\0\0\n", b'{"value": 1}\n', b"[]\n"])
def test_a_damaged_line_is_named(tmp_path, damaged):
    record(Ledger.open(tmp_path, KEY), 1)
    (segment,) = segments(tmp_path)
    segment.write_bytes(segment.read_bytes() + damaged)
    with pytest.raises(ValueError, match=rf"{segment.name}, line 3: damaged. Remove the file"):
        Ledger.open(tmp_path, KEY)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), None, True, "0.5"])
def test_a_value_that_was_not_measured_is_refused(tmp_path, value):
    ledger = Ledger.open(tmp_path, KEY)
    with pytest.raises(ValueError, match=r"The value of coalition \w+ is .*, not a finite number: it is not recorded"):
        record(ledger, 1, value=value)
    assert not segments(tmp_path)
    assert not len(ledger)


def test_a_full_disk_is_named_and_the_torn_line_stays_the_last_of_its_segment(tmp_path, monkeypatch):
    ledger, fsync = Ledger.open(tmp_path, KEY), os.fsync
    record(ledger, 1)
    (segment,) = segments(tmp_path)

    def torn(descriptor):
        segment.write_bytes(segment.read_bytes()[:-9])
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", torn)
    with pytest.raises(OSError, match=rf"No space left on device: could not append to .*{segment.name}. What was"):
        record(ledger, 2)
    assert ledger.coalition_key([2]) not in ledger
    monkeypatch.setattr(os, "fsync", fsync)
    record(ledger, 3)
    read = Ledger.open(tmp_path, KEY)
    assert [read.coalition_key([number]) in read for number in (1, 2, 3)] == [True, False, True]
