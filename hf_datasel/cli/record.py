"""`hf-datasel record`: train a proxy model and write the trace of every example's loss."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

from hf_datasel.cli.console import print_once
from hf_datasel.cli.parser import CommandParser
from hf_datasel.cli.rows import DatasetArguments
from hf_datasel.cli.training import machine_defaults, model_arguments, resume_from

SUMMARY = (
    "Train a proxy model on the whole dataset and record every example's loss at several checkpoints. The trace "
    "is what `hf-datasel select` reads; the trained proxy stays in --output_dir."
)
NEEDS = "--dataset DATA --model_name_or_path MODEL"
EXAMPLES = (
    "hf-datasel record --dataset data.jsonl --model_name_or_path EleutherAI/pythia-70m --trace_dir trace",
    "hf-datasel record --config record.yaml --num_checkpoints 12",
    "accelerate launch -m hf_datasel record --config record.yaml",
)


@dataclass
class RecordArguments:
    """Options of `hf-datasel record`."""

    trace_dir: str = field(default="trace", metadata={"help": "Where the trace is written."})
    num_checkpoints: int | None = field(
        default=None,
        metadata={
            "help": "Record at this many points, evenly spaced over training (8 if none of these four is given)."
        },
    )
    checkpoint_steps: list[int] | None = field(
        default=None, metadata={"help": "Or every so many optimiser steps; with several numbers, after exactly those."}
    )
    checkpoint_epochs: float | None = field(default=None, metadata={"help": "Or every so many epochs, such as 0.5."})
    checkpoint_fractions: list[float] | None = field(
        default=None, metadata={"help": "Or at these fractions of training, such as 0.1 0.5 1.0."}
    )
    mode: Literal["probe", "in_run"] = field(
        default="probe",
        metadata={
            "help": "probe: sweep the whole dataset at each point, as S2L is published; in_run: keep the losses that "
            "training computes anyway (nearly free, other evidence)."
        },
    )
    tokens_per_batch: int = field(
        default=8192, metadata={"help": "Probe: tokens of a sweep's batch, padding included."}
    )
    overwrite: bool = field(default=False, metadata={"help": "Replace a trace that is there."})

    def recorder_arguments(self) -> dict[str, Any]:
        """The keyword arguments of `LossTrajectoryCallback`."""
        steps = self.checkpoint_steps
        return {
            "output_dir": self.trace_dir,
            "num_checkpoints": self.num_checkpoints,
            "checkpoint_steps": steps[0] if steps is not None and len(steps) == 1 else steps,
            "checkpoint_epochs": self.checkpoint_epochs,
            "checkpoint_fractions": self.checkpoint_fractions,
            "mode": self.mode,
            "tokens_per_batch": self.tokens_per_batch,
            "overwrite": self.overwrite,
        }


def make_parser() -> CommandParser:
    """The parser of `hf-datasel record`."""
    from trl import ModelConfig, SFTConfig

    own = [*DatasetArguments.__dataclass_fields__, *RecordArguments.__dataclass_fields__]
    types = (DatasetArguments, RecordArguments, SFTConfig, ModelConfig)
    return CommandParser("record", SUMMARY, types, own, NEEDS, EXAMPLES, machine_defaults())


def run(dataset_options: DatasetArguments, options: RecordArguments, training_args: Any, model_args: Any) -> None:
    """Train the proxy with recording, and save it beside the trace."""
    from trl import SFTTrainer

    from hf_datasel import LossTrajectoryCallback, Trace

    model_options = model_arguments(model_args, training_args)
    dataset = dataset_options.load()
    trainer = SFTTrainer(train_dataset=dataset, **model_options)
    trainer.add_callback(LossTrajectoryCallback(trainer, dataset=dataset, **options.recorder_arguments()))
    trainer.train(resume_from_checkpoint=resume_from(training_args))
    trainer.save_model()
    trainer.accelerator.wait_for_everyone()
    if trainer.is_world_process_zero():
        trace = Trace.load(options.trace_dir)
        unmeasured = sum(len(ids) for ids in trace.unmeasurable.values())
        print_once(
            f"recorded {trace.num_examples:,} examples x {trace.num_checkpoints} checkpoints: {options.trace_dir}"
            + (f" ({unmeasured:,} examples could not be measured)" if unmeasured else ""),
            f"next: hf-datasel select --trace_dir {options.trace_dir} --budget 0.11",
        )
    trainer.end()
