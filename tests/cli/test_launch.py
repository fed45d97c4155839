"""`accelerate launch -m hf_datasel`: several processes do one job, and one of them talks."""

import os
import socket
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from torch import distributed

from hf_datasel import Selection, Trace, cli
from hf_datasel.cli import main
from tests.cli.lines import TRAINING, record_line
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


def test_two_processes_train_on_what_one_selects(tiny_files: TinyFiles, tmp_path: Path) -> None:
    named = ["--dataset", str(tiny_files.data), "--model_name_or_path", str(tiny_files.model), *TRAINING]
    chosen = "--selection_budget 10 --selection_num_clusters 4 --selection_num_checkpoints 2".split()
    assert main(["train", *named, *chosen, "--output_dir", str(tmp_path / "one")]) == 0
    line = ["train", *named, *chosen, "--output_dir", str(tmp_path / "two"), "--per_device_train_batch_size", "4"]
    done = launch(*line)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("trained on 10 of 40 examples for 4 steps") == 1
    one, two = (Selection.load(tmp_path / run / "selection") for run in ("one", "two"))
    assert one.ids.tolist() == two.ids.tolist()
    assert "FutureWarning" not in done.stderr
    assert "%|" not in done.stderr
    assert (tmp_path / "two" / "model.safetensors").is_file()


def test_one_of_several_processes_selects(
    tiny_files: TinyFiles, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """`select` needs no other process, so it does not meet them; `accelerate launch` numbers them by RANK."""
    line = ["select", "--method", "random", "--budget", "7", "--dataset", str(tiny_files.data), "--output_dir"]
    for rank, made in (("1", False), ("0", True)):
        monkeypatch.setenv("RANK", rank)
        assert main([*line, str(tmp_path / "selection")]) == 0
        assert capsys.readouterr().out.count("kept 7 of 40 examples") == made
        assert (tmp_path / "selection").exists() == made


def test_a_program_takes_leave_of_the_others_and_a_call_does_not(
    tiny_files: TinyFiles, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cli, "_be_a_program", lambda name, debug: None)
    line = ["select", "--method", "random", "--budget", "7", "--dataset", str(tiny_files.data), "--output_dir"]
    distributed.init_process_group("gloo", rank=0, world_size=1, store=distributed.HashStore())
    try:
        assert main([*line, str(tmp_path / "called")]) == 0
        assert distributed.is_initialized()
        monkeypatch.setattr(sys, "argv", ["hf-datasel", *line, str(tmp_path / "run")])
        assert main() == 0
        assert not distributed.is_initialized()
    finally:
        if distributed.is_initialized():
            distributed.destroy_process_group()


def test_a_wrong_command_line_is_told_once() -> None:
    done = launch("record", "--trce_dir", "trace")
    assert done.returncode != 0
    assert done.stderr.count("did you mean --trace_dir") == 1
