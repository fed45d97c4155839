"""A run that was killed anywhere, called again, ends as if nothing had happened, and does nothing twice."""

import os
import subprocess
import sys
from pathlib import Path
from unittest.mock import Mock

import pytest

from hf_datasel.collaborative import FedAvg, InProcess, local_training, party
from tests.collaborative.parties import make_parties, run
from tests.training.tiny import tiny_model

SIZES = {"north": 9, "south": 8}
ROOT = Path(__file__).parents[2]


class Killed(BaseException):
    """Not caught by anything."""


def dying_after(num_messages):
    """A transport on which the given number of messages pass."""

    class Dying(InProcess):
        def _carry(self, party, message):
            if len(self.traffic) == num_messages:
                raise Killed
            return super()._carry(party, message)

    return Dying


@pytest.fixture
def trainings(monkeypatch):
    """Where every training that began had its files."""
    begun, inner = [], local_training.RoundTrainer.train

    def train(self, *args, **kwargs):
        begun.append(self.args.output_dir)
        return inner(self, *args, **kwargs)

    monkeypatch.setattr(local_training.RoundTrainer, "train", train)
    return begun


def files(directory):
    """The adapter and the report, byte for byte."""
    return {
        path.relative_to(directory).as_posix(): path.read_bytes()
        for path in [*sorted((directory / "adapter").iterdir()), directory / "report.json"]
    }


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    directory = tmp_path_factory.mktemp("whole")
    run(directory, make_parties(SIZES))
    return files(directory)


@pytest.mark.parametrize("num_messages", [0, 1, 5, 9, 11])
def test_killed_between_messages(tmp_path, trainings, whole, num_messages):
    with pytest.raises(Killed):
        run(tmp_path, make_parties(SIZES), connect=dying_after(num_messages))
    run(tmp_path, make_parties(SIZES))
    assert files(tmp_path) == whole
    assert len(trainings) == 4


def test_a_finished_run_is_read_back_without_any_work(tmp_path, trainings, whole):
    first = run(tmp_path, make_parties(SIZES))
    trainings.clear()
    again = run(tmp_path, make_parties(SIZES))
    assert trainings == []
    assert again.report == first.report
    assert files(tmp_path) == whole


def test_killed_between_rounds(tmp_path, trainings):
    merge = FedAvg(num_rounds=2, num_steps=2, average="product")
    run(tmp_path / "whole", make_parties(SIZES), merge=merge)
    trainings.clear()
    with pytest.raises(Killed):
        run(tmp_path / "killed", make_parties(SIZES), merge=merge, connect=dying_after(14))
    run(tmp_path / "killed", make_parties(SIZES), merge=merge)
    assert files(tmp_path / "killed") == files(tmp_path / "whole")
    assert len(trainings) == 6


@pytest.mark.parametrize("which", ["scoring", "training"])
def test_a_process_killed_in_the_middle_of_a_training(tmp_path, which):
    """The process is gone without a word at step 3 of 4; what stood at step 2 is gone on from."""
    args = {"save_strategy": "steps", "save_steps": 2}
    script = f"""
import os, torch
from tests.collaborative.parties import make_parties, run
from tests.training.tiny import tiny_model
from hf_datasel.collaborative import local_training
torch.set_num_threads(1)
trainings, inner = [], local_training.RoundTrainer.training_step
def training_step(self, *args, **kwargs):
    trainings.append(self)
    if len(trainings) == {3 if which == "scoring" else 11}:
        os._exit(9)
    return inner(self, *args, **kwargs)
local_training.RoundTrainer.training_step = training_step
run({str(tmp_path / "a")!r}, make_parties({SIZES!r}), args={args!r})
"""
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    child = subprocess.run(
        [sys.executable, "-c", script], env=environment, capture_output=True, cwd=tmp_path, text=True
    )
    assert child.returncode == 9, child.stderr
    left = list((tmp_path / "a" / "parties" / "north").glob("training/checkpoint-*"))
    assert [path.name for path in left] == ["checkpoint-2"]
    run(tmp_path / "a", make_parties(SIZES), args=args)
    run(tmp_path / "b", make_parties(SIZES), args=args)
    assert files(tmp_path / "a") == files(tmp_path / "b")


def test_killed_after_the_last_step_of_a_training(tmp_path, monkeypatch, whole):
    args = {"save_strategy": "steps", "save_steps": 2}
    with monkeypatch.context() as patch:
        patch.setattr(party, "read_adapter", Mock(side_effect=Killed))
        with pytest.raises(Killed):
            run(tmp_path, make_parties(SIZES), args=args)
    assert (tmp_path / "parties" / "north" / "training" / "checkpoint-4").is_dir()
    run(tmp_path, make_parties(SIZES), args=args)
    name = "adapter/adapter_model.safetensors"
    assert files(tmp_path)[name] == whole[name]


def test_a_half_written_answer_is_not_taken(tmp_path, whole):
    run(tmp_path, make_parties(SIZES))
    for path in tmp_path.glob("parties/*/replies/TrainRequest.message"):
        path.write_bytes(path.read_bytes()[:20])
    run(tmp_path, make_parties(SIZES))
    assert files(tmp_path) == whole


@pytest.mark.parametrize(
    ("options", "what"),
    [
        ({"parties": make_parties({"north": 9, "south": 9})}, "parties"),
        ({"merge": "cat"}, "merge"),
        ({"model": tiny_model(seed=1)}, "model"),
        ({"args": {"learning_rate": 1e-2}}, "args"),
        ({"recording": {"num_checkpoints": 1}}, "recording"),
        ({"threshold_scope": "global", "merge": "linear"}, "merge, threshold_scope"),
    ],
)
def test_a_directory_of_other_settings_is_refused_by_name(tmp_path, options, what):
    with pytest.raises(Killed):
        run(tmp_path, make_parties(SIZES), connect=dying_after(0))
    options = {"parties": make_parties(SIZES), **options}
    with pytest.raises(ValueError, match=rf"holds another run of clues \(other {what}\): choose another output_dir"):
        run(tmp_path, **options)
    with pytest.raises(Killed):
        run(tmp_path, **options, overwrite=True, connect=dying_after(0))


def test_files_of_unknown_settings_are_left_alone(tmp_path):
    (tmp_path / "adapter").mkdir()
    with pytest.raises(ValueError, match=r"adapter of unknown settings"):
        run(tmp_path, make_parties(SIZES))
    assert (tmp_path / "adapter").is_dir()
