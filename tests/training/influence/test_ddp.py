"""Two processes record what the oracle sees, in every format, by both ways at once."""

import os
from pathlib import Path

import numpy as np
import pytest
import torch
from filelock import FileLock

from hf_datasel import Trace
from tests.training.influence import ddp_script, oracle
from tests.training.influence.measuring import TOLERANCE, hold, rows
from tests.training.launching import launch


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What two processes wrote; made once, however many workers share these tests."""
    base = tmp_path_factory.getbasetemp()
    shared = base.parent if "PYTEST_XDIST_WORKER" in os.environ else base
    with FileLock(shared / "influence_ddp.lock"):
        if not (shared / "influence_ddp").exists():
            made = shared / "influence_ddp"
            made.mkdir()
            ended = launch(ddp_script.__file__, made)
            assert ended.returncode == 0, ended.stderr
    return shared / "influence_ddp"


@pytest.mark.parametrize("name", list(ddp_script.FORMATS))
def test_two_processes(folder: Path, name: str) -> None:
    check(folder, name)


@pytest.mark.parametrize("name", ["padded", "padding_free", "plain"])
def test_both_ways_at_once_in_one_process(tmp_path: Path, name: str) -> None:
    torch.set_num_threads(1)
    ddp_script.record(name, tmp_path / name)
    check(tmp_path, name)


def check(folder: Path, name: str) -> None:
    model = ddp_script.model_of(name)
    seen = {seed: oracle.examples(model, rows("prompt_completion", number, seed)[1]) for number, seed in SETS}
    direction = oracle.mean(seen[100])
    for mode in ("probe", "in_run"):
        trace = Trace.load(folder / name / mode)
        assert trace.ids.tolist() == list(range(ddp_script.NUM_ROWS))
        assert trace.num_checkpoints == 2
        for part, examples in ((trace, seen[0]), (trace.companion("anchors"), seen[200])):
            cosines = [oracle.cosine(one.gradient, direction) for one in examples]
            for column in range(2):
                hold(part.column(column), examples, direction)
                np.testing.assert_allclose(part.companion("cosine").column(column), cosines, rtol=0, atol=TOLERANCE)
                losses = [one.loss for one in examples]
                np.testing.assert_allclose(part.companion("loss").column(column), losses, rtol=TOLERANCE)
                labels = [one.num_labels for one in examples]
                assert part.companion("num_labels").column(column).tolist() == labels


SETS = ((ddp_script.NUM_ROWS, 0), (5, 100), (3, 200))
