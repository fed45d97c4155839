"""Directions of a run that reads its own backward, kept so that a killed run goes on with the one it had."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import safetensors.torch
from torch import Tensor
from transformers import Trainer

from hf_datasel.storage import read_json, write_array, write_atomic, write_json
from hf_datasel.training.influence.engine import Directions
from hf_datasel.training.influence.frame import ALL
from hf_datasel.training.influence.probe import Scored

SEPARATOR = "/"  # no parameter's name holds it


class SavedDirections:
    """Files ``direction-<step>.safetensors`` and ``renewal-<step>.json`` beside the records.

    Only directions that a resume may still need are kept: the newest at or before the last weight checkpoint, and
    those after it.

    Args:
        folder: shared by all processes.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._checkpoint = self._announced = 0

    def save(self, trainer: Trainer, step: int, epoch: int, directions: Directions, anchors: Scored | None) -> None:
        """Keep directions made after ``step`` optimizer steps, and the anchors' values under it."""
        if trainer.is_world_process_zero():
            self._folder.mkdir(parents=True, exist_ok=True)
            values: dict[str, Any] = {}
            if anchors is not None:
                values = {name: column.tolist() for name, column in anchors.columns.items()}
                values |= {"loss": anchors.losses.tolist(), "num_labels": anchors.num_labels.tolist()}
            main = directions[ALL]
            record = {"step": step, "epoch": epoch, "norm": main.norm, "energy": main.energy_used, "anchors": values}
            write_json(self._folder / f"renewal-{step:08d}.json", record)
            raw = safetensors.torch.save(
                {
                    f"{key}{SEPARATOR}{name}": part.cpu().contiguous()
                    for key, direction in directions.items()
                    for name, part in direction.gradients.items()
                }
            )
            write_atomic(self._path(step), lambda file: file.write(raw), len(raw))
            steps = self._steps()
            before = [known for known in steps if known <= self._checkpoint]
            for known in before[:-1]:
                self._path(known).unlink()
        trainer.accelerator.wait_for_everyone()

    def checkpoint(self, step: int) -> None:
        """A weight checkpoint is about to be saved after ``step`` optimizer steps; the one before it is whole."""
        self._checkpoint, self._announced = self._announced, step

    def begin(self, trainer: Trainer, global_step: int) -> None:
        """Forget what was made after ``global_step``, and everything if training starts anew."""
        self._checkpoint = self._announced = global_step
        if trainer.is_world_process_zero():
            for path in [*self._folder.glob("direction-*.safetensors"), *self._folder.glob("renewal-*.json")]:
                if global_step == 0 or _step(path) > global_step:
                    path.unlink()
        trainer.accelerator.wait_for_everyone()

    def load(self, trainer: Trainer, global_step: int) -> dict[str, dict[str, Tensor]]:
        """The mean gradients, by key and parameter name, that stood after ``global_step`` optimizer steps.

        Raises:
            ValueError: there are none.
        """
        steps = [step for step in self._steps() if step <= global_step]
        if not steps:
            raise ValueError(
                f"The run resumes at step {global_step}, but {self._folder} holds no direction of the steps before: "
                "start training again, or give the output_dir of the run that was killed."
            )
        raw = self._path(steps[-1]).read_bytes()
        means: dict[str, dict[str, Tensor]] = {}
        for label, part in safetensors.torch.load(raw).items():
            key, name = label.split(SEPARATOR)
            means.setdefault(key, {})[name] = part.to(trainer.accelerator.device)
        return means

    def save_fit(self, trainer: Trainer, columns: Sequence[dict[str, np.ndarray]]) -> None:
        """Keep what was measured once of the examples and of the anchors."""
        if trainer.is_world_process_zero():
            self._folder.mkdir(parents=True, exist_ok=True)
            for number, named in enumerate(columns):
                for name, values in named.items():
                    write_array(self._folder / f"fit-{number}-{name}.npy", values)
        trainer.accelerator.wait_for_everyone()

    def load_fit(self) -> list[dict[str, np.ndarray]]:
        """What :meth:`save_fit` kept."""
        found: list[dict[str, np.ndarray]] = [{}, {}]
        for path in sorted(self._folder.glob("fit-*.npy")):
            _, number, name = path.stem.split("-")
            found[int(number)][name] = np.load(path, allow_pickle=False)
        return found

    def renewals(self) -> list[dict[str, Any]]:
        """Every direction's step, epoch, norm and share of energy used, and the anchors' values, by step."""
        return [read_json(path, "record of a direction") for path in sorted(self._folder.glob("renewal-*.json"))]

    def _path(self, step: int) -> Path:
        return self._folder / f"direction-{step:08d}.safetensors"

    def _steps(self) -> list[int]:
        return sorted(_step(path) for path in self._folder.glob("direction-*.safetensors"))


def anchors_of_epoch(records: list[dict[str, Any]], epoch: int) -> Scored:
    """The anchors' values for one epoch: the mean over its directions, or those of the last direction before it.

    Args:
        records: of :meth:`SavedDirections.renewals`.
        epoch: from 0.
    """
    within = [record for record in records if record["epoch"] == epoch]
    chosen = within or [[record for record in records if record["epoch"] <= epoch][-1]]
    means: dict[str, np.ndarray] = {
        name: np.array([record["anchors"][name] for record in chosen], dtype=np.float64).mean(0).astype(np.float32)
        for name in chosen[0]["anchors"]
    }
    losses, num_labels = means.pop("loss"), means.pop("num_labels")
    return Scored(means, losses, num_labels.astype(np.int64))


def _step(path: Path) -> int:
    return int(path.stem.split("-")[1])
