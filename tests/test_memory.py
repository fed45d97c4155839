"""Resident memory stays flat: each measurement in a process that imports no more than it needs."""

import json
import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent
MIB = 1 << 20

PRELUDE = """
import json, sys
import numpy as np
from hf_datasel import CLUESSelector, S2LSelector, Trace

def resident(which):
    return next(int(line.split()[1]) * 1024 for line in open("/proc/self/status") if line.startswith(which))

def forget_peak():
    open("/proc/self/clear_refs", "w").write("5")

path, num_examples, num_checkpoints = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
"""
RECORD = """
trace = Trace.create(path, np.arange(num_examples))
forget_peak(); before = resident("VmRSS")
for step in range(num_checkpoints):
    trace.write_column(np.random.default_rng(step).random(num_examples, np.float32), step=step)
trace.finish()
print(json.dumps(resident("VmHWM") - before))
"""
SELECT = """
import faiss
S2LSelector(budget=1, num_clusters=1).select(Trace.from_arrays([1, 2], [[1.0], [2.0]]))
forget_peak(); before = resident("VmRSS")
selection = S2LSelector(budget=0.1, num_clusters=10).select(Trace.load(path))
assert len(selection) == num_examples // 10
print(json.dumps(resident("VmHWM") - before))
"""
RECORD_INFLUENCE = """
def write(trace):
    for step in range(num_checkpoints):
        values = np.random.default_rng(step).normal(size=trace.num_examples)
        trace.write_column(values, step=step, learning_rate=1.0)
    trace.finish()
trace = Trace.create(path, np.arange(num_examples), metric="influence")
anchors = trace.create_companion("anchors", ids=range(100), metric="influence")
for one in (trace, anchors):
    write(one)
    write(one.create_companion("loss", metric="loss"))
    write(one.create_companion("cosine", metric="cosine"))
print(json.dumps(0))
"""
SELECT_BY_SCORE = """
forget_peak(); before = resident("VmRSS")
selector = CLUESSelector(detectors=("cosine", "loss"), normalise_checkpoints=True, threshold="f1")
assert len(selector.select(Trace.load(path)))
print(json.dumps(resident("VmHWM") - before))
"""


def growth(code, path, num_examples, num_checkpoints):
    arguments = [str(path), str(num_examples), str(num_checkpoints)]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-c", PRELUDE + code, *arguments]
    return json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE, env=environment).stdout)


def test_recording_holds_one_column_and_selecting_holds_no_table(tmp_path):
    num_examples, num_checkpoints = 400_000, 60
    column = 4 * num_examples
    assert growth(RECORD, tmp_path / "trace", num_examples, num_checkpoints) < 6 * column  # the table is 60 of them
    # ids, labels, their order and what is kept are some 40 bytes a row, beside one block of rows
    assert growth(SELECT, tmp_path / "trace", num_examples, num_checkpoints) < 60 * num_examples + 24 * MIB


def test_scoring_holds_no_table(tmp_path):
    num_examples, num_checkpoints = 400_000, 40
    growth(RECORD_INFLUENCE, tmp_path / "trace", num_examples, num_checkpoints)
    table = 4 * num_examples * num_checkpoints
    # ids, two components and their sum in float64, scores: some 60 bytes a row, beside some blocks of rows
    assert growth(SELECT_BY_SCORE, tmp_path / "trace", num_examples, num_checkpoints) < 60 * num_examples + 32 * MIB
    assert 60 * num_examples + 32 * MIB < table  # three tables are read
