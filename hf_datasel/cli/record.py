"""`hf-datasel record`: write what a method selects by, by training a proxy model with recording or without it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

from hf_datasel.cli.console import print_once
from hf_datasel.cli.measures import MeasureArguments, next_step, record_with
from hf_datasel.cli.parser import CommandParser
from hf_datasel.cli.rows import DatasetArguments, HeldOutArguments, require_texts
from hf_datasel.cli.training import machine_defaults, model_arguments, resume_from
from hf_datasel.training.valuation_options import ValuationOptions

SUMMARY = (
    "Train a proxy model on the whole dataset and record every example's loss at several checkpoints, or how its "
    "gradient agrees with that of trusted rows (--metric influence); or embed the rows and value clusters of them by "
    "fine-tunes (--metric shapley). --trace_dir is what `hf-datasel select` reads; a proxy that was trained on "
    "everything stays in --output_dir."
)
NEEDS = "--dataset DATA --model_name_or_path MODEL"
EXAMPLES = (
    "hf-datasel record --dataset data.jsonl --model_name_or_path EleutherAI/pythia-70m --trace_dir trace",
    "hf-datasel record --config record.yaml --num_checkpoints 12",
    "hf-datasel record --dataset data.jsonl --model_name_or_path Qwen/Qwen3-0.6B --use_peft --metric influence \\\n"
    "      --validation_dataset trusted.jsonl --anchor_dataset anchors.jsonl",
    "hf-datasel record --dataset data.jsonl --model_name_or_path Qwen/Qwen3-0.6B --use_peft --metric shapley \\\n"
    "      --validation_dataset trusted.jsonl --num_clusters 100 --trace_dir valuation",
    "accelerate launch -m hf_datasel record --config record.yaml",
)


@dataclass
class RecordArguments:
    """Options of `hf-datasel record`."""

    trace_dir: str = field(
        default="trace", metadata={"help": "Where the trace is written, or the embeddings or the valuation."}
    )
    num_checkpoints: int | None = field(
        default=None,
        metadata={
            "help": "Record at this many points, evenly spaced over training (8 if none of these four is given, for "
            "influence 4)."
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
            "help": "probe: sweep the whole dataset at each point, as published; in_run: keep what training computes "
            "anyway (nearly free, other evidence)."
        },
    )
    tokens_per_batch: int | None = field(
        default=None,
        metadata={"help": "Tokens of a sweep's batch, padding included (8192 if not given; 4096 with gradients)."},
    )
    overwrite: bool = field(default=False, metadata={"help": "Replace what is there."})

    def common_arguments(self) -> dict[str, Any]:
        """The keyword arguments that every recording takes."""
        tokens = {} if self.tokens_per_batch is None else {"tokens_per_batch": self.tokens_per_batch}
        return {"output_dir": self.trace_dir, "overwrite": self.overwrite, **tokens}

    def checkpoints(self) -> dict[str, Any]:
        """The keyword arguments that say when is recorded, and how."""
        steps = self.checkpoint_steps
        return {
            "num_checkpoints": self.num_checkpoints,
            "checkpoint_steps": steps[0] if steps is not None and len(steps) == 1 else steps,
            "checkpoint_epochs": self.checkpoint_epochs,
            "checkpoint_fractions": self.checkpoint_fractions,
            "mode": self.mode,
        }


def make_parser() -> CommandParser:
    """The parser of `hf-datasel record`."""
    from trl import ModelConfig, SFTConfig

    ours = (DatasetArguments, HeldOutArguments, MeasureArguments, RecordArguments, ValuationOptions)
    own = [name for kind in ours for name in kind.__dataclass_fields__]
    return CommandParser("record", SUMMARY, (*ours, SFTConfig, ModelConfig), own, NEEDS, EXAMPLES, machine_defaults())


def run(
    dataset_options: DatasetArguments,
    held_out: HeldOutArguments,
    measures: MeasureArguments,
    options: RecordArguments,
    valuation: ValuationOptions,
    training_args: Any,
    model_args: Any,
) -> None:
    """Train the proxy with recording, and save it beside the trace; or make what needs no such training."""
    from trl import SFTTrainer

    from hf_datasel import Trace
    from hf_datasel.cli.evidence import WRITERS, write_evidence

    measures.require_fitting(options, held_out, valuation)
    if measures.metric in WRITERS:
        write_evidence(measures, options, valuation, dataset_options, held_out, training_args, model_args)
        return
    model_options = model_arguments(model_args, training_args)
    dataset, trusted = dataset_options.load(), held_out.load_held_out()
    require_texts(dataset, f"--dataset {dataset_options.dataset}", training_args.dataset_text_field)
    measures.require_answers(trusted["validation_dataset"])
    trainer = SFTTrainer(train_dataset=dataset, **model_options)
    finish = record_with(measures, options, trainer, dataset, trusted, valuation)
    trainer.train(resume_from_checkpoint=resume_from(training_args))
    finish()
    trainer.save_model()
    trainer.accelerator.wait_for_everyone()
    if trainer.is_world_process_zero():
        trace = Trace.load(options.trace_dir)
        has_anchors = trusted["anchor_dataset"] is not None
        unmeasured = sum(len(ids) for ids in trace.unmeasurable.values())
        print_once(
            f"recorded {trace.num_examples:,} examples x {trace.num_checkpoints} "
            f"checkpoint{'s' if trace.num_checkpoints != 1 else ''}: {options.trace_dir}"
            + (f" ({unmeasured:,} examples could not be measured)" if unmeasured else ""),
            f"next: {next_step(measures, options.trace_dir, has_anchors, valuation.in_run_score)}",
        )
    trainer.end()
