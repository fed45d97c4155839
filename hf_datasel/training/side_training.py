"""Trainings beside the user's own: quiet, one after another in one memory, global generators as they were."""

from __future__ import annotations

import copy
import gc
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from transformers import PrinterCallback
from trl import SFTConfig, SFTTrainer

from hf_datasel.training.state import preserved_rng


def quiet_args(args: SFTConfig, **changes: Any) -> SFTConfig:
    """A copy of the arguments by which nothing is reported, evaluated, pushed or shown.

    Args:
        args: of a user; the model is there already.
        changes: fields to set besides.
    """
    quiet = copy.deepcopy(args)
    quiet.model_init_kwargs = None
    quiet.report_to = []
    quiet.push_to_hub = False
    quiet.eval_strategy = "no"
    quiet.load_best_model_at_end = False
    quiet.disable_tqdm = True
    for name, value in changes.items():
        setattr(quiet, name, value)
    return quiet


@contextmanager
def side_trainer(make: Callable[[], SFTTrainer], device: torch.device) -> Iterator[SFTTrainer]:
    """The trainer that ``make`` builds; global generators are as before when the block ends."""
    with preserved_rng(device):
        trainer = make()
        trainer.remove_callback(PrinterCallback)
        yield trainer


def free_memory() -> None:
    """Give back what a trainer that is no longer used held in circles."""
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
