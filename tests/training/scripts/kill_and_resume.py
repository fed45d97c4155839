"""Runs that kill themselves with SIGKILL at given points, and the runs that take them up.

``python kill_and_resume.py FOLDER GROUP`` imports everything once and forks a process for each run: first one that is
never killed (``FOLDER/whole``), then for every scenario of the group the killed ones and the last, which ends
(``FOLDER/<scenario>``). The parent starts no thread and no training, so the forks begin clean.
"""

from __future__ import annotations

import gc
import os
import signal
import sys
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from transformers import Trainer, TrainerState
from transformers.trainer_utils import get_last_checkpoint
from trl import SFTTrainer

from hf_datasel import LossTrajectoryCallback, SelectingSFTConfig, SelectingSFTTrainer, Selection, Trace, columns
from hf_datasel.ledger import Ledger
from hf_datasel.training import evidence, stage
from hf_datasel.training.in_run import RecordLog
from hf_datasel.training.influence.probe import GradientSweep
from hf_datasel.training.influence.saved_direction import SavedDirections
from hf_datasel.training.online import OnlineSelection
from hf_datasel.training.probe import Probe
from hf_datasel.training.utility.coalition_training import CoalitionTraining
from tests.training.selecting import anchor_rows, lora, validation_rows
from tests.training.tiny import base_options, make_dataset, sft_args, tiny_model, word_tokenizer

SAVING = {"save_strategy": "steps", "save_steps": 3, "max_length": 9}  # three rows lose all labels; 6 steps an epoch
NUM_ROWS = 26
Arm = Callable[[], None]


def kill() -> None:
    """End this process as the kernel ends it when memory runs out: nothing is flushed, no handler runs."""
    os.kill(os.getpid(), signal.SIGKILL)


def kill_at(owner: Any, name: str, call: int, *, after: bool = False) -> Arm:
    """Be killed before, or just after, the ``call``-th call of ``owner.name``."""

    def arm() -> None:
        original, calls = owner.__dict__[name], [0]
        function = original.__func__ if isinstance(original, (classmethod, staticmethod)) else original

        def counted(*args: Any, **kwargs: Any) -> Any:
            calls[0] += 1
            if calls[0] == call and not after:
                kill()
            result = function(*args, **kwargs)
            if calls[0] == call and after:
                kill()
            return result

        wrap = type(original) if isinstance(original, (classmethod, staticmethod)) else lambda wrapped: wrapped
        setattr(owner, name, wrap(counted))

    return arm


def tear_a_record() -> None:
    """Be killed in the third flush, when a part of a record is in the file."""
    calls, flush = [0], RecordLog.flush

    def torn(log: RecordLog) -> None:
        calls[0] += 1
        flush(log)
        if calls[0] == 3:
            whole = log.path.read_bytes()
            log.path.write_bytes(whole[:-10])
            kill()

    RecordLog.flush = torn


def model_with_dropout() -> torch.nn.Module:
    """Dropout makes a random state that is not restored visible in the weights."""
    model = tiny_model("llama")
    for layer in model.model.layers:
        layer.self_attn.attention_dropout = 0.1
    return model


def record(folder: Path, mode: str, **options: Any) -> None:
    """Train with a recorder; take up what a killed run left."""
    data = make_dataset(num_rows=NUM_ROWS)
    trainer = SFTTrainer(
        model_with_dropout(),
        args=sft_args(folder, **{**SAVING, **options}),
        train_dataset=data,
        processing_class=word_tokenizer(),
    )
    points: dict[str, Any] = {"checkpoint_steps": 2, "tokens_per_batch": 60} if mode == "probe" else {}
    trainer.add_callback(LossTrajectoryCallback(trainer, folder / "trace", mode=mode, dataset=data, **points))
    begun = folder.is_dir() and get_last_checkpoint(str(folder)) is not None
    trainer.train(resume_from_checkpoint=begun)
    trainer.save_model(str(folder / "final"))


def select(folder: Path, **options: Any) -> None:
    """Select with a proxy and train; take up what a killed run left."""
    extra = {name: options.pop(name) for name in EXTRA if name in options}
    args = {
        **base_options(folder),
        **SAVING,
        "selection_budget": 12,
        "selection_num_clusters": 3,
        "selection_num_checkpoints": 4,
        "selection_tokens_per_batch": 60,
        "save_steps": 2,
        "proxy_training_args": PROXY,
        **options,
    }
    trainer = SelectingSFTTrainer(
        model_with_dropout(),
        args=SelectingSFTConfig(**args),
        train_dataset=make_dataset(num_rows=NUM_ROWS),
        processing_class=word_tokenizer(),
        **{"proxy_model": None if options.get("selection_continue") else tiny_model("llama", seed=1), **extra},
    )
    trainer.train(resume_from_checkpoint=(folder / "_selection_stage").exists())
    trainer.save_model(str(folder / "final"))


def select_by_clues(folder: Path, **options: Any) -> None:
    """Warm up a copy of the model, select by its gradients, train the model; all of it an adapter with dropout."""
    select(
        folder,
        proxy_model=None,
        peft_config=lora(lora_dropout=0.2),
        validation_dataset=validation_rows(),
        selection_method="clues",
        **options,
    )


def select_online(folder: Path) -> None:
    """Everything is selected, and half of every second step's batch is trained on."""
    select(
        folder,
        proxy_model=None,
        validation_dataset=validation_rows(),
        selection_method="random",
        selection_budget=1.0,
        selection_online_every=2,
    )


BY_SHED = {"validation_dataset": validation_rows().select(range(4)), "selection_estimator": "exact"}
EXTRA = ("proxy_model", "peft_config", "validation_dataset", "anchor_dataset")
PROXY = {"save_steps": 3, "num_train_epochs": 2}
# What trains, and the kills of each scenario in order. A run has 12 steps; proxies too.
GROUPS: dict[str, tuple[Callable[[Path], None], dict[str, list[Arm]]]] = {
    "probe": (
        lambda folder: record(folder, "probe"),
        {
            "before_rows_are_marked": [kill_at(Trace, "create", 1, after=True)],
            "in_the_first_sweep": [kill_at(Probe, "_score", 2)],
            "in_a_later_sweep": [kill_at(Probe, "_score", 18)],
            "in_a_file": [kill_at(os, "fsync", 17)],
            "before_a_column_is_committed": [kill_at(columns, "write_json", 3)],
            "after_a_column": [kill_at(Trace, "write_column", 2, after=True)],
            "between_column_and_checkpoint": [kill_at(Trainer, "_save_checkpoint", 2)],
            "between_checkpoint_and_column": [kill_at(Trainer, "training_step", 8)],
            "before_the_end_is_noted": [kill_at(Trace, "finish", 1)],
            "twice": [kill_at(Probe, "_score", 24), kill_at(Trace, "drop_after", 1, after=True)],
        },
    ),
    "in_run": (
        lambda folder: record(folder, "in_run"),
        {
            "before_the_first_checkpoint": [kill_at(Trainer, "training_step", 3)],
            "before_a_flush": [kill_at(Trainer, "training_step", 6)],
            "after_a_flush": [kill_at(RecordLog, "flush", 3, after=True)],
            "in_a_flush": [tear_a_record],
            "between_flush_and_checkpoint": [kill_at(Trainer, "_save_checkpoint", 2)],
            "after_a_checkpoint": [kill_at(Trainer, "_save_checkpoint", 2, after=True)],
            "twice": [kill_at(Trainer, "training_step", 9), kill_at(os, "replace", 1)],
            "before_the_columns": [kill_at(Trace, "create", 1, after=True)],
            "between_columns": [kill_at(Trace, "write_column", 1, after=True)],
            "before_records_are_removed": [kill_at(Path, "rename", 1)],
            "while_records_are_removed": [kill_at(Path, "rename", 1, after=True)],
        },
    ),
    "select": (
        lambda folder: select(folder, selection_every=1, num_train_epochs=3),
        {
            "in_a_sweep_of_the_proxy": [kill_at(Probe, "_score", 10)],
            "before_the_selection": [kill_at(Selection, "save", 1)],
            "after_the_selection": [kill_at(Selection, "save", 1, after=True)],
            "before_the_first_checkpoint": [kill_at(Trainer, "training_step", 14)],
            "in_an_epoch": [kill_at(Trainer, "training_step", 18)],
            "after_the_sweep_to_select_again": [kill_at(Probe, "sweep", 4 + 2, after=True)],
            "before_selecting_again": [kill_at(Trace, "write_column", 5, after=True)],
            "in_a_checkpoint": [kill_at(TrainerState, "save_to_json", 4 + 2)],
        },
    ),
    "warm_up": (
        lambda folder: select(folder, selection_continue=True),
        {
            "before_the_weights": [kill_at(stage, "save_trainable", 1)],
            "after_the_weights": [kill_at(stage, "save_trainable", 1, after=True)],
            "in_the_checkpoint": [kill_at(TrainerState, "save_to_json", 4 + 2)],
        },
    ),
    "clues": (
        # A checkpoint has three sweeps and nine columns: four of the anchors, the direction's, four of the examples.
        lambda folder: select_by_clues(folder, anchor_dataset=anchor_rows(), selection_score="cosine"),
        {
            "in_a_validation_gradient": [kill_at(GradientSweep, "_sweep", 3 * 2 + 1)],
            "between_columns": [kill_at(Trace, "write_column", 9 + 6)],
            "before_the_last_column": [kill_at(columns, "write_json", 9 * 4)],
            "before_the_selection": [kill_at(Selection, "save", 1)],
            "after_the_selection": [kill_at(Selection, "save", 1, after=True)],
            "in_an_epoch": [kill_at(Trainer, "training_step", 12 + 5)],
        },
    ),
    "clues_in_run": (
        lambda folder: select_by_clues(
            folder, anchor_dataset=anchor_rows(), selection_mode="in_run", selection_continue=True
        ),
        {
            "after_a_direction": [kill_at(SavedDirections, "save", 3, after=True)],
            "before_the_columns": [kill_at(Trace, "create", 1, after=True)],
            "before_the_weights": [kill_at(stage, "save_trainable", 1)],
        },
    ),
    "shed": (
        lambda folder: select(folder, selection_method="shed", selection_embedder="bag", **BY_SHED),
        {
            "in_a_fine_tune": [kill_at(CoalitionTraining, "trained", 4)],
            "after_a_value": [kill_at(Ledger, "put", 3, after=True)],
            "before_the_valuation": [kill_at(evidence, "keep", 1)],
        },
    ),
    "online": (
        select_online,
        {
            "before_a_cut": [kill_at(OnlineSelection, "cut", 3)],
            "in_an_epoch": [kill_at(Trainer, "training_step", 10)],
        },
    ),
}


def forked(work: Callable[[], None]) -> int:
    """Do ``work`` in a fork, and return how it ended, as ``os.waitstatus_to_exitcode`` says it."""
    sys.stdout.flush()
    sys.stderr.flush()
    child = os.fork()
    if child:
        return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    try:
        work()
        sys.stdout.flush()
        os._exit(0)
    except BaseException:
        traceback.print_exc()
        sys.stderr.flush()
        os._exit(1)


def must_end(work: Callable[[], None], how: int, what: str) -> None:
    """Fork and insist on the way it ends."""
    start = time.monotonic()
    code = forked(work)
    print(f"{what}: {time.monotonic() - start:.1f} s", flush=True)
    if code != how:
        raise SystemExit(f"{what} ended with {code}, not {how}")


def main() -> None:
    """Run a group, or the scenarios of it that are named."""
    torch.set_num_threads(1)
    gc.freeze()  # every Trainer collects garbage: what the imports left behind need not be searched each time
    folder, group, *only = sys.argv[1:]
    train, scenarios = GROUPS[group]
    must_end(lambda: train(Path(folder) / "whole"), 0, "whole")
    for name, arms in scenarios.items():
        if only and name not in only:
            continue
        target = Path(folder) / name
        for arm in arms:
            must_end(lambda arm=arm, target=target: (arm(), train(target)), -signal.SIGKILL, f"{name}: killed")
        must_end(lambda target=target: train(target), 0, f"{name}: resumed")


if __name__ == "__main__":
    main()
