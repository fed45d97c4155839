"""`selection/...` metrics reach what `report_to` names: TensorBoard and Weights & Biases themselves, offline.

Trackio brings a web server and an older Pillow, so it is not installed for the tests: Transformers' own callback talks
to a module that writes down what it is told.
"""

import importlib.machinery
import math
import struct
import sys
import types
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import wandb
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from wandb.proto.wandb_internal_pb2 import Record

from tests.training.selecting import selecting

Points = dict[str, list[tuple[int, float]]]  # of each metric, step and value


def trackio_that_remembers(told: list[dict[str, Any]]) -> types.ModuleType:
    """What `TrackioCallback` uses of trackio."""
    module = types.ModuleType("trackio")
    nothing = types.SimpleNamespace(get=lambda: None)
    parts: dict[str, Any] = {
        "__spec__": importlib.machinery.ModuleSpec("trackio", None),
        "init": lambda **options: None,
        "config": type("Config", (dict,), {"update": lambda self, values, allow_val_change: None})(),
        "context_vars": types.SimpleNamespace(current_space_id=nothing, current_project=nothing),
        "log": told.append,
        "finish": lambda: None,
    }
    vars(module).update(parts)
    return module


def of_tensorboard(folder: Path) -> Points:
    (events,) = folder.rglob("events.out.tfevents.*")
    scalars = EventAccumulator(str(events)).Reload()
    return {name: [(e.step, e.value) for e in scalars.Scalars(name)] for name in scalars.Tags()["scalars"]}


def of_wandb(folder: Path) -> Points:
    (file,) = (folder / "wandb").glob("offline-run-*/run-*.wandb")
    points: Points = defaultdict(list)
    for data in leveldb_records(file.read_bytes(), start=7):
        record = Record.FromString(data)
        if record.WhichOneof("record_type") == "history":
            row = {item.key or "/".join(item.nested_key): float(item.value_json) for item in record.history.item}
            for name, value in row.items():
                points[name].append((int(row["train/global_step"]), value))
    return points


def leveldb_records(log: bytes, start: int) -> Iterator[bytes]:
    """The records of a log in LevelDB's format: pieces of checksum, length, kind and content in blocks of 32 KiB."""
    position, record = start, b""
    while position + 7 <= len(log):
        left = 2**15 - position % 2**15
        if left < 7:
            position += left
            continue
        _, length, kind = struct.unpack_from("<IHB", log, position)
        piece = log[position + 7 : position + 7 + length]
        position += 7 + length
        record = piece if kind in (1, 2) else record + piece  # whole, first, middle, last
        if kind in (1, 4):
            yield record


def of_trackio(told: list[dict[str, Any]]) -> Points:
    points: Points = defaultdict(list)
    for row in told:
        for name, value in row.items():
            points[name].append((row["train/global_step"], value))
    return points


@pytest.fixture(scope="module")
def tracked(tmp_path_factory: pytest.TempPathFactory) -> tuple[list[dict[str, Any]], dict[str, Points]]:
    """What the Trainer logged, and what each tracker got of it; rows are selected twice."""
    folder, told = tmp_path_factory.mktemp("tracked"), []
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(sys.modules, "trackio", trackio_that_remembers(told))
        for name, value in {
            "WANDB_MODE": "offline", "WANDB_SILENT": "true", "WANDB_CONSOLE": "off", "WANDB_ERROR_REPORTING": "false",
            "WANDB_DIR": str(folder), "TENSORBOARD_LOGGING_DIR": str(folder / "tensorboard"),
        }.items():  # fmt: skip
            patch.setenv(name, value)
        trainer = selecting(
            folder / "out", report_to=["tensorboard", "wandb", "trackio"], selection_every=1, num_train_epochs=2
        )
        trainer.train()
        trainer.end()
        wandb.finish()
        wandb.teardown()  # waits until the process that writes the file has ended
    logged = [row for row in trainer.state.log_history if any(name.startswith("selection/") for name in row)]
    got = {
        "tensorboard": of_tensorboard(folder / "tensorboard"),
        "wandb": of_wandb(folder),
        "trackio": of_trackio(told),
    }
    return logged, got


@pytest.mark.parametrize("tracker", ["tensorboard", "wandb", "trackio"])
def test_a_tracker_gets_the_selections_metrics(
    tracked: tuple[list[dict[str, Any]], dict[str, Points]], tracker: str
) -> None:
    logged, got = tracked
    wanted = defaultdict(list)
    for row in logged:
        for name, value in row.items():
            if name.startswith("selection/"):
                wanted[f"train/{name}"].append((row["step"], value))
    assert len(wanted["train/selection/share"]) == 2
    assert {name.rsplit("/", 1)[1] for name in wanted} == {
        "num_candidates", "num_selected", "share", "num_clusters", "overlap",
    }  # fmt: skip
    for name, points in wanted.items():
        assert [step for step, _ in got[tracker][name]] == [step for step, _ in points]
        for (_, mine), (_, theirs) in zip(got[tracker][name], points, strict=True):
            assert math.isclose(mine, theirs, rel_tol=2**-23)  # TensorBoard keeps float32
