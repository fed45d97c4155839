"""What the two-process tests run in every process of a launch, and in one process to compare with.

Launched as ``accelerate launch two_processes.py FOLDER SCENARIO...``; each scenario writes into a folder of its name.
A global batch is four rows, however many processes share it.
"""

from __future__ import annotations

import gc
import json
import shutil
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import torch
from accelerate import PartialState
from safetensors.torch import save_file
from transformers import DataCollatorForSeq2Seq, PreTrainedModel, Trainer, TrainerCallback, TrainingArguments
from trl import SFTTrainer

from hf_datasel import LossTrajectoryCallback, SelectingSFTConfig, SelectingSFTTrainer
from hf_datasel.training.in_run import RecordLog
from tests.training.following import follow_a_curriculum
from tests.training.online_watcher import Watcher
from tests.training.pushing import push_twice
from tests.training.scripts.kill_and_resume import kill_at, record
from tests.training.selecting import anchor_rows, validation_rows
from tests.training.tiny import base_options, make_dataset, sft_args, tiny_model, word_tokenizer
from tests.training.utility.shared_coalitions import share_coalitions

GLOBAL_BATCH = 4
EVEN_ROWS, UNEVEN_ROWS = 40, 37


def shared_batch(world_size: int) -> dict[str, Any]:
    """Options that make one optimiser step of four rows; plain SGD, so that rounding stays as small as it starts."""
    return {"per_device_train_batch_size": GLOBAL_BATCH // world_size, "optim": "sgd", "learning_rate": 0.3}


def save_weights(model: torch.nn.Module, path: Path) -> None:
    """Write a model's weights, tied ones once."""
    if PartialState().is_main_process:
        save_file({name: value.detach().clone() for name, value in model.named_parameters()}, path)


def sft_trainer(folder: Path, num_rows: int, world_size: int, **options: Any) -> SFTTrainer:
    """A tiny Llama on prompt-completion rows."""
    return SFTTrainer(
        tiny_model("llama"),
        args=sft_args(folder, **{**shared_batch(world_size), **options}),
        train_dataset=make_dataset(num_rows=num_rows),
        processing_class=word_tokenizer(),
    )


def record_probe(folder: Path, world_size: int, num_rows: int) -> None:
    """Probe after steps 3, 6, ... and at the end, and keep the weights of the end."""
    trainer = sft_trainer(folder, num_rows, world_size)
    steps = [3, 6, 9, 10, 15, 20]
    trainer.add_callback(
        LossTrajectoryCallback(trainer, folder / "trace", checkpoint_steps=steps, tokens_per_batch=60)
    )
    trainer.train()
    save_weights(trainer.model, folder / "weights.safetensors")


def record_without_the_trainer(folder: Path, world_size: int) -> None:
    """A plain Trainer twice: the recorder in its callbacks, and the recorder that is given the trainer."""
    data = make_dataset(num_rows=EVEN_ROWS)
    tokens = sft_trainer(folder, EVEN_ROWS, world_size).train_dataset
    points = {"checkpoint_steps": [3, 6, 9, 10, 15, 20], "tokens_per_batch": 60}
    args = {**base_options(folder), **shared_batch(world_size)}
    del args["max_length"]

    def trainer(*callbacks: TrainerCallback) -> Trainer:
        collator = DataCollatorForSeq2Seq(word_tokenizer(), label_pad_token_id=-100)
        return Trainer(
            tiny_model("llama"), TrainingArguments(**args), collator, tokens, callbacks=list(callbacks) or None
        )

    assert tokens["example_id"] == data["example_id"]
    trainer(LossTrajectoryCallback(output_dir=folder / "trace", dataset=tokens, **points)).train()
    given = trainer()
    given.add_callback(LossTrajectoryCallback(given, folder / "given", **points))
    given.train()


class KeepRecords(TrainerCallback):
    """Copy the records of all processes before the recorder arranges and removes them."""

    def __init__(self, source: Path, target: Path) -> None:
        self.source, self.target = source, target

    def on_train_end(self, *args: Any, **kwargs: Any) -> None:
        PartialState().wait_for_everyone()
        if PartialState().is_main_process:
            shutil.copytree(self.source, self.target)
        PartialState().wait_for_everyone()


def record_in_run(folder: Path, world_size: int, num_rows: int) -> None:
    """Keep training's own losses."""
    trainer = sft_trainer(folder, num_rows, world_size)
    trainer.add_callback(LossTrajectoryCallback(trainer, folder / "trace", mode="in_run"))
    trainer.train()


def record_standing_still(folder: Path, world_size: int, **options: Any) -> None:
    """Both ways of recording, at a learning rate of 0: every value is a loss of the weights it began with."""
    data = make_dataset(num_rows=UNEVEN_ROWS)
    trainer = SFTTrainer(
        tiny_model("llama"),
        args=sft_args(folder, **{**shared_batch(world_size), "learning_rate": 0.0, **options}),
        train_dataset=data.to_iterable_dataset() if "max_steps" in options else data,
        processing_class=word_tokenizer(),
    )
    source = data if "packing" in options else None
    recorder = LossTrajectoryCallback(trainer, folder / "in_run", mode="in_run", dataset=source)
    trainer.add_callback(KeepRecords(recorder.recorder.records_dir, folder / "records"))
    trainer.add_callback(recorder)
    trainer.add_callback(LossTrajectoryCallback(trainer, folder / "probe", num_checkpoints=2, dataset=source))
    trainer.train()


def target_model(dropout: float) -> PreTrainedModel:
    """The model to train; with attention dropout a disturbed random state shows in its weights."""
    model = tiny_model("llama", seed=1)
    for layer in model.model.layers:
        layer.self_attn.attention_dropout = dropout
    return model


def selecting_trainer(folder: Path, world_size: int, dropout: float = 0.0, **options: Any) -> SelectingSFTTrainer:
    """A tiny Llama to train, and another as proxy."""
    extra = {name: options.pop(name) for name in EXTRA if name in options}
    args = {
        **base_options(folder),
        **shared_batch(world_size),
        "selection_budget": 16,
        "selection_num_clusters": 4,
        "selection_num_checkpoints": 4,
        "proxy_training_args": {"save_strategy": "no"},
        **options,
    }
    return SelectingSFTTrainer(
        target_model(dropout),
        args=SelectingSFTConfig(**args),
        train_dataset=make_dataset(num_rows=EVEN_ROWS),
        processing_class=word_tokenizer(),
        **{"proxy_model": tiny_model("llama", seed=0), **extra},
    )


def select(folder: Path, world_size: int, dropout: float = 0.1, **options: Any) -> None:
    """Select and train, then train an SFTTrainer on the chosen rows alone."""
    trainer = selecting_trainer(folder, world_size, dropout, save_strategy="steps", save_steps=4, **options)
    trainer.train()
    save_selection(trainer, folder)
    save_weights(trainer.model, folder / "selecting.safetensors")
    reference = SFTTrainer(
        target_model(dropout),
        args=sft_args(folder / "plain", **shared_batch(world_size)),
        train_dataset=trainer.selection.apply(make_dataset(num_rows=EVEN_ROWS)),
        processing_class=word_tokenizer(),
    )
    reference.train()
    save_weights(reference.model, folder / "plain.safetensors")


def select_again(folder: Path, world_size: int) -> None:
    """Select anew before every epoch but the first."""
    trainer = selecting_trainer(folder, world_size, selection_every=1, num_train_epochs=3)
    trainer.train()
    save_selection(trainer, folder)


def select_by_clues(folder: Path, world_size: int) -> None:
    """Warm up a copy of the model and select by its gradients; dropout would be each process's own."""
    select(folder, world_size, dropout=0.0, proxy_model=None, anchor_dataset=anchor_rows(), **BY_CLUES)


def select_by_a_chain(folder: Path, world_size: int) -> None:
    """Clean, then diversify: two recordings one after the other, and one training on what the last link keeps."""
    method: dict[str, Any] = {**BY_CLUES, "selection_method": "clues:0.75,s2l", "proxy_model": None}
    trainer = selecting_trainer(folder, world_size, **method)
    trainer.train()
    save_selection(trainer, folder)


def select_by_shed(folder: Path, world_size: int) -> None:
    """Coalitions are a process's own, so their batches are as large in two processes as in one."""
    options: dict[str, Any] = {"proxy_model": None, "selection_method": "shed", "selection_embedder": "bag"}
    options |= {"validation_dataset": validation_rows(), "selection_num_clusters": 3, "num_train_epochs": 1}
    trainer = selecting_trainer(folder, world_size, per_device_train_batch_size=4, **options)
    trainer.selection = trainer._get_selection(None)
    save_selection(trainer, folder)


def select_online(folder: Path, world_size: int) -> None:
    """Half of every process's batch, at a learning rate of 0: every score is one of the weights it began with."""
    options = {"proxy_model": None, "selection_method": "random", "selection_budget": 1.0, "selection_online_every": 1}
    options |= {"validation_dataset": validation_rows(), "num_train_epochs": 1, "logging_steps": 1}
    trainer = selecting_trainer(folder / "still", world_size, learning_rate=0.0, **options)
    watcher = Watcher(trainer, score=False)
    trainer.train()
    gaps = [log["selection/online_gap"] for log in trainer.state.log_history if "selection/online_gap" in log]
    seen = {"steps": watcher.steps, "num_labels": watcher.num_labels, "num_items": watcher.num_items, "gaps": gaps}
    (folder / f"rank{PartialState().process_index}.json").write_text(json.dumps(seen))
    whole = selecting_trainer(folder / "whole", world_size, dropout=0.1, selection_online_share=1.0, **options)
    whole.train()
    save_weights(whole.model, folder / "selecting.safetensors")
    plain = SFTTrainer(
        target_model(dropout=0.1),
        args=sft_args(folder / "plain", **shared_batch(world_size), num_train_epochs=1),
        train_dataset=make_dataset(num_rows=EVEN_ROWS),
        processing_class=word_tokenizer(),
    )
    plain.train()
    save_weights(plain.model, folder / "plain.safetensors")


def save_selection(trainer: SelectingSFTTrainer, folder: Path) -> None:
    """Write the Selection this process trained on."""
    assert trainer.selection is not None
    trainer.selection.save(folder / f"rank{PartialState().process_index}")


def fail_on_the_main_process(folder: Path, world_size: int) -> None:
    """A budget that only turns out to be too large when the main process selects: some rows have no label left."""
    trainer = selecting_trainer(folder, world_size, max_length=6, selection_budget=EVEN_ROWS - 1, num_train_epochs=1)
    trainer.train()


def record_and_resume(folder: Path, world_size: int, kill: bool = False) -> None:
    """Twelve steps, a weight checkpoint every third; the second process may be killed as it comes to the sixth's."""
    if kill and PartialState().process_index == 1:
        kill_at(RecordLog, "flush", 4)()  # after those of steps 3 and 5, and the end of the first epoch
    # No log with a checkpoint: it gathers the loss, so the processes would wait for each other there.
    record(folder, "in_run", num_train_epochs=4, logging_steps=5)


EXTRA = ("proxy_model", "validation_dataset", "anchor_dataset")
BY_CLUES: dict[str, Any] = {
    "selection_method": "clues",
    "selection_score": "cosine",
    "validation_dataset": validation_rows(),
}
FORMATS: dict[str, dict[str, Any]] = {
    "accumulated": {"per_device_train_batch_size": 1, "gradient_accumulation_steps": 2},
    "packed": {"packing": True, "max_length": 32},
    "padding_free": {"padding_free": True, "max_length": None},
    "stream": {"max_steps": 20},
}
SCENARIOS: dict[str, Callable[[Path, int], None]] = {
    "probe": lambda folder, world: record_probe(folder, world, EVEN_ROWS),
    "probe_uneven": lambda folder, world: record_probe(folder, world, UNEVEN_ROWS),
    "callbacks": record_without_the_trainer,
    "in_run": lambda folder, world: record_in_run(folder, world, EVEN_ROWS),
    **{name: partial(record_standing_still, **options) for name, options in FORMATS.items()},
    "select": select,
    "select_again": select_again,
    "clues": select_by_clues,
    "chain": select_by_a_chain,
    "shed": select_by_shed,
    "online": select_online,
    "utility": share_coalitions,
    "push": push_twice,
    "curriculum": follow_a_curriculum,
    "whole": record_and_resume,
    "killed": partial(record_and_resume, kill=True),
    "fail": fail_on_the_main_process,
}


def run(folder: Path, names: list[str], world_size: int) -> None:
    """Run scenarios, each in a folder of its own."""
    for name in names:
        (folder / name).mkdir(parents=True, exist_ok=True)
        SCENARIOS[name](folder / name, world_size)


def main() -> None:
    """Run what the command line names."""
    torch.set_num_threads(1)
    gc.freeze()  # every Trainer collects garbage: what the imports left behind need not be searched each time
    state = PartialState(cpu=True)
    run(Path(sys.argv[1]), sys.argv[2:], state.num_processes)
    state.destroy_process_group()


if __name__ == "__main__":
    main()
