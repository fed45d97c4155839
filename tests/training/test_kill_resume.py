"""A run killed anywhere and taken up again leaves the bytes of a run that was never killed."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from hf_datasel import Trace
from tests.training.scripts import kill_and_resume

ROOT = Path(__file__).parents[2]
# What must come out the same. The weights are those of the whole training, so the two halves trained alike.
COMPARED = {
    "probe": ["trace", "final/model.safetensors"],
    "in_run": ["trace", "final/model.safetensors"],
    "select": [
        "selection",
        "_selection_stage",
        "checkpoint-8/selection",
        "final/model.safetensors",
    ],
    "warm_up": ["selection", "_selection_stage", "final/model.safetensors"],
    "clues": ["selection", "_selection_stage", "final/adapter_model.safetensors"],
    "clues_in_run": ["selection", "_selection_stage", "final/adapter_model.safetensors"],
    "shed": ["selection", "_selection_stage/embeddings", "_selection_stage/valuation", "final/model.safetensors"],
    "online": ["selection", "_selection_stage", "final/model.safetensors"],
}


@pytest.mark.parametrize("group", list(COMPARED))
def test_a_killed_run_that_is_taken_up_leaves_the_same_bytes(tmp_path: Path, group: str) -> None:
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-W", "ignore", kill_and_resume.__file__, str(tmp_path), group]
    ended = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300, check=False)
    assert ended.returncode == 0, ended.stdout + ended.stderr

    whole = contents(tmp_path / "whole", COMPARED[group])
    _, scenarios = kill_and_resume.GROUPS[group]
    for scenario in scenarios:
        found = contents(tmp_path / scenario, COMPARED[group])
        assert sorted(found) == sorted(whole), scenario
        assert [name for name in whole if found[name] != whole[name]] == [], scenario
    require_worth_comparing(tmp_path / "whole", group, whole)


def contents(folder: Path, names: list[str]) -> dict[str, bytes]:
    """The bytes of every file under ``folder`` that is named or inside a directory that is named."""
    files = [file for name in names for file in [folder / name, *(folder / name).rglob("*")] if file.is_file()]
    return {str(file.relative_to(folder)): file.read_bytes() for file in files}


def require_worth_comparing(folder: Path, group: str, whole: dict[str, bytes]) -> None:
    """The run that was never killed holds what the others are to be compared with."""
    if group in ("probe", "in_run"):
        trace = Trace.load(folder / "trace")
        assert trace.steps.tolist() == ([2, 4, 6, 8, 10, 12] if group == "probe" else [6, 12])
        assert sum(len(ids) for ids in trace.unmeasurable.values()) > 0
        trace.require_measured()
        assert not (folder / "trace.records").exists()
    elif group == "clues_in_run":
        assert Trace.load(folder / "_selection_stage" / "trace").steps.tolist() == [6, 12]
    elif group not in ("online", "shed"):
        assert Trace.load(folder / "_selection_stage" / "trace").num_checkpoints == 4
        assert not (folder / "_selection_stage" / "proxy").exists()
    if group == "select":
        again = Trace.load(folder / "_selection_stage" / "target_trace", partial=True)
        assert again.steps.tolist() == [3, 6]
        assert whole["selection/kept.npy"] != whole["checkpoint-8/selection/kept.npy"]
    if group in ("warm_up", "clues_in_run"):
        assert "_selection_stage/warm_up.safetensors" in whole
