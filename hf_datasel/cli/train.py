"""`hf-datasel train`: select and fine-tune in one call, with `SelectingSFTTrainer`."""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from typing import Any

from hf_datasel.cli.console import print_once
from hf_datasel.cli.parser import CommandParser
from hf_datasel.cli.rows import DatasetArguments, HeldOutArguments, load_rows, require_texts
from hf_datasel.cli.training import machine_defaults, model_arguments, resume_from

SUMMARY = (
    "Record on a proxy, select, and fine-tune the model on the selection, in one call; or fine-tune on a selection "
    "that `hf-datasel select` wrote (--selection_path). Checkpoints carry the selection and resume exactly."
)
NEEDS = "--dataset DATA --model_name_or_path MODEL"
EXAMPLES = (
    "hf-datasel train --dataset data.jsonl --model_name_or_path Qwen/Qwen3-0.6B --output_dir out \\\n"
    "      --proxy_model EleutherAI/pythia-70m --selection_budget 0.11",
    "hf-datasel train --dataset data.jsonl --model_name_or_path Qwen/Qwen3-0.6B --output_dir out \\\n"
    "      --selection_path selection",
    "hf-datasel train --dataset data.jsonl --model_name_or_path Qwen/Qwen3-0.6B --output_dir out --use_peft \\\n"
    "      --selection_method clues --validation_dataset trusted.jsonl --anchor_dataset anchors.jsonl",
    "hf-datasel train --dataset data.jsonl --model_name_or_path Qwen/Qwen3-0.6B --output_dir out --use_peft \\\n"
    "      --selection_method shed --validation_dataset trusted.jsonl --selection_budget 0.1",
    "accelerate launch -m hf_datasel train --config train.yaml",
)


@dataclass
class TrainArguments:
    """Options of `hf-datasel train` beside those of `SelectingSFTConfig`."""

    eval_dataset: str | None = field(
        default=None,
        metadata={"help": "Evaluated as --eval_strategy says, never selected from; given as --dataset is."},
    )
    eval_split: str = field(
        default="test",
        metadata={"aliases": ["--dataset_test_split"], "help": "Split of --eval_dataset, where it has several."},
    )


def make_parser() -> CommandParser:
    """The parser of `hf-datasel train`."""
    from trl import ModelConfig, SFTConfig

    from hf_datasel import SelectingSFTConfig

    of_trl = {item.name for item in fields(SFTConfig)}
    selecting = [item.name for item in fields(SelectingSFTConfig) if item.name not in of_trl]
    ours = (DatasetArguments, HeldOutArguments, TrainArguments)
    own = [*(name for kind in ours for name in kind.__dataclass_fields__), *selecting]
    types = (*ours, SelectingSFTConfig, ModelConfig)
    return CommandParser("train", SUMMARY, types, own, NEEDS, EXAMPLES, machine_defaults())


def run(
    dataset_options: DatasetArguments,
    held_out: HeldOutArguments,
    options: TrainArguments,
    training_args: Any,
    model_args: Any,
) -> None:
    """Select, train on the selection, and save the model."""
    from hf_datasel import SelectingSFTTrainer

    model_options = model_arguments(model_args, training_args)
    dataset = dataset_options.load()
    require_texts(dataset, f"--dataset {dataset_options.dataset}", training_args.dataset_text_field)
    evaluation = None
    if options.eval_dataset is not None:
        evaluation = load_rows(options.eval_dataset, split=options.eval_split, option="eval")
    trainer = SelectingSFTTrainer(
        train_dataset=dataset, eval_dataset=evaluation, **held_out.load_held_out(), **model_options
    )
    trainer.train(resume_from_checkpoint=resume_from(training_args))
    # pushing saves, too
    trainer.push_to_hub() if training_args.push_to_hub else trainer.save_model()
    assert trainer.selection is not None  # train() has set it
    print_once(
        f"trained on {len(trainer.selection):,} of {len(dataset):,} examples for {trainer.state.global_step:,} steps: "
        f"{training_args.output_dir}"
    )
    trainer.end()
