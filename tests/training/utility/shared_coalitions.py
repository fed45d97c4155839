"""A utility that the processes of a launch share: a scenario of the two-process tests."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
from accelerate import PartialState
from trl import SFTTrainer

from tests.training.utility.coalitions import make_utility

PLAYERS = np.array([24, 3, 9, 0, 12])
# Seven coalitions, one of them twice: three rounds of two processes and a half.
COALITIONS = np.array(
    [
        [1, 1, 1, 0, 1],
        [0, 0, 0, 0, 0],
        [1, 0, 0, 0, 0],
        [0, 1, 1, 1, 1],
        [0, 0, 1, 1, 0],
        [1, 0, 0, 0, 0],
        [1, 1, 1, 1, 1],
        [0, 0, 0, 1, 1],
    ],
    dtype=bool,
)
ARGS: dict[str, Any] = {"adam_epsilon": 1e-3, "learning_rate": 3e-2, "per_device_train_batch_size": 2}


def measure(folder: Path, **options: Any) -> dict[str, Any]:
    """Values, the ids of each coalition that was trained for them here, and whether accelerate is as it was."""
    before, trained, train = repr(PartialState()), [], SFTTrainer.train

    def counted(trainer: SFTTrainer, *args: Any, **kwargs: Any) -> Any:
        trained.append(list(trainer.train_dataset["example_id"]))
        return train(trainer, *args, **kwargs)

    with mock.patch.object(SFTTrainer, "train", counted):
        values = make_utility(folder, args=ARGS, **options).game(PLAYERS)(COALITIONS)
    return {"values": values.tolist(), "trained": trained, "same_state": repr(PartialState()) == before}


def fail_on_the_second(folder: Path) -> dict[str, Any]:
    """The second process's metric fails on the second coalition it is given."""
    processes, fails = [], PartialState().process_index == 1

    def metric(model: Any, rows: Any) -> float:
        processes.append(PartialState().num_processes)
        if fails and len(processes) == 2:
            raise ZeroDivisionError("nothing to divide by")
        return 1.0

    message = ""
    try:
        make_utility(folder, args=ARGS, metric=metric).game(PLAYERS)(COALITIONS)
    except RuntimeError as error:
        message = str(error)
    return {"message": message, "processes": processes}


def share_coalitions(folder: Path, world_size: int) -> None:
    """Measure, look up what was measured, measure several at once, and fail."""
    told = {
        "first": measure(folder / "one_by_one"),
        "again": measure(folder / "one_by_one"),
        "together": measure(folder / "together", coalitions_at_once=2),
        "failed": fail_on_the_second(folder / "failed"),
    }
    (folder / f"rank{PartialState().process_index}.json").write_text(json.dumps(told))
