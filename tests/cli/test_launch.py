"""`accelerate launch -m hf_datasel`: several processes do one job, and one of them talks."""

import os
import socket
import subprocess
import sys
from pathlib import Path

import numpy as np

from hf_datasel import Trace
from hf_datasel.cli import main
from tests.cli.lines import record_line
from tests.conftest import TinyFiles

CONFIG = Path(__file__).parents[2] / "recipes" / "accelerate_configs" / "cpu_x2.yaml"


def launch(*args: str) -> subprocess.CompletedProcess[str]:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = str(probe.getsockname()[1])
    line = [
        sys.executable,
        "-m",
        "accelerate.commands.launch",
        "--config_file",
        str(CONFIG),
        "--main_process_port",
        port,
    ]
    env = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(CONFIG.parents[2])}
    return subprocess.run([*line, "-m", "hf_datasel", *args], env=env, capture_output=True, text=True, check=False)


def test_two_processes_record_what_one_records(tiny_files: TinyFiles, tmp_path: Path) -> None:
    assert main(record_line(tiny_files, tmp_path / "one")) == 0
    done = launch(*record_line(tiny_files, tmp_path / "two"), "--per_device_train_batch_size", "4")
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("recorded 40 examples x 2 checkpoints") == 1
    one, two = (Trace.load(tmp_path / run / "trace") for run in ("one", "two"))
    np.testing.assert_array_equal(one.ids, two.ids)
    np.testing.assert_allclose(one.values, two.values, atol=2e-5)


def test_a_wrong_command_line_is_told_once() -> None:
    done = launch("record", "--trce_dir", "trace")
    assert done.returncode != 0
    assert done.stderr.count("did you mean --trace_dir") == 1
