"""Run by tests/test_crash.py in a process of its own: dies by SIGKILL, or runs out of disk, in the middle of writing.

crash_child.py kill <job> <directory>    does the job once for each of its events, and is killed at that event
crash_child.py full <job> <directory>    does the job under ever larger limits on the size of a file
"""

import json
import os
import resource
import shutil
import signal
import sys
from pathlib import Path

import numpy as np

from hf_datasel import storage
from hf_datasel.selection import Selection
from hf_datasel.trace import Trace

NUM_EXAMPLES = 3000


def column(step):
    return np.random.default_rng(step).random(NUM_EXAMPLES, dtype=np.float32)


def selection(seed):
    kept = np.random.default_rng(seed).random(NUM_EXAMPLES) < 0.5
    return Selection(candidate_ids=np.arange(NUM_EXAMPLES), kept=kept, provenance=({"seed": seed},))


def prepare(job, path):
    """What stands on the disk before the job."""
    if job == "replace":
        selection(0).save(path)
    elif job != "create":
        trace = Trace.create(path, np.arange(NUM_EXAMPLES))
        for step in (1, 2):
            trace.write_column(column(step), step=step)


def run(job, path):
    if job == "create":
        Trace.create(path, np.arange(NUM_EXAMPLES))
    elif job == "column":
        Trace.open(path).write_column(column(3), step=3)
    elif job == "drop":
        Trace.open(path).drop_after(0)
    elif job == "finish":
        Trace.open(path).finish()
    elif job == "companion":
        Trace.open(path).create_companion("loss", metric="loss")
    elif job == "replace":
        selection(1).save(path, overwrite=True)


class Events:
    """Counts what happens to the disk and kills this process at event number `last`."""

    def __init__(self, last):
        self.count, self.last = 0, last

    def happened(self):
        self.count += 1
        if self.count == self.last:
            os.kill(os.getpid(), signal.SIGKILL)

    def around(self, call):
        def wrapped(*args, **kwargs):
            self.happened()
            result = call(*args, **kwargs)
            self.happened()
            return result

        return wrapped

    def install(self):
        for name in ("replace", "fsync", "unlink", "mkdir"):
            setattr(os, name, self.around(getattr(os, name)))
        storage.open = lambda *args: HalfWriter(open(*args), self)  # noqa: SIM115 - HalfWriter closes it


class HalfWriter:
    """A file whose every write is an event when half of it has reached the disk."""

    def __init__(self, file, events):
        self.file, self.events = file, events

    def __enter__(self):
        return self

    def __exit__(self, *error):
        self.file.close()

    def __getattr__(self, name):
        return getattr(self.file, name)

    def write(self, content):
        content = bytes(content)
        self.file.write(content[: len(content) // 2])
        self.file.flush()
        self.events.happened()
        return self.file.write(content[len(content) // 2 :])


def kill_everywhere(job, directory):
    point = 0
    while True:
        point += 1
        path = directory / f"{point:03d}" / "target"
        prepare(job, path)
        child = os.fork()
        if child == 0:
            events = Events(point)
            events.install()
            run(job, path)
            os._exit(0)
        status = os.waitpid(child, 0)[1]
        if not os.WIFSIGNALED(status):
            assert os.waitstatus_to_exitcode(status) == 0
            print(json.dumps({"num_points": point - 1}))
            return


def fill_disk(job, directory):
    reports = []
    for limit in (100, 1000, 5000, 20_000, 100_000):
        path = directory / str(limit) / "target"
        prepare(job, path)
        before = sorted(str(file) for file in path.parent.rglob("*"))
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, resource.RLIM_INFINITY))
        message = None
        try:
            run(job, path)
        except OSError as error:
            message = str(error)
        resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
        after = sorted(str(file) for file in path.parent.rglob("*"))
        reports.append({"limit": limit, "message": message, "unchanged": before == after})
    print(json.dumps(reports))


if __name__ == "__main__":
    shutil.rmtree(sys.argv[3], ignore_errors=True)
    Path(sys.argv[3]).mkdir(parents=True)
    {"kill": kill_everywhere, "full": fill_disk}[sys.argv[1]](sys.argv[2], Path(sys.argv[3]))
