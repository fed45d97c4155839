"""Two processes record what the oracle sees, in every format, by both ways at once."""

import os
import socket
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from filelock import FileLock

from hf_datasel import Trace
from tests.training.influence import ddp_script, oracle
from tests.training.influence.measuring import TOLERANCE, hold, rows
from tests.training.test_two_processes import LAUNCH_CONFIG

ROOT = Path(__file__).parents[3]


def launch(folder: Path) -> None:
    """Run the script in two processes, as a user starts them."""
    folder.mkdir(parents=True)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    config = folder / "launch.yaml"
    config.write_text(LAUNCH_CONFIG.format(port=port))
    command = [sys.executable, "-m", "accelerate.commands.launch", "--config_file", str(config)]
    ended = subprocess.run(
        [*command, ddp_script.__file__, str(folder)],
        env={**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)},
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    assert ended.returncode == 0, ended.stderr[-3000:]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What two processes wrote; made once, however many workers share these tests."""
    base = tmp_path_factory.getbasetemp()
    shared = base.parent if "PYTEST_XDIST_WORKER" in os.environ else base
    with FileLock(shared / "influence_ddp.lock"):
        if not (shared / "influence_ddp").exists():
            launch(shared / "influence_ddp")
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
