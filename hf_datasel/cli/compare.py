"""`hf-datasel compare`: which selection is worth its cost on your data, with `compare_selections`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, fields
from inspect import signature
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from hf_datasel.cli import UsageError
from hf_datasel.cli.console import print_once
from hf_datasel.cli.parser import CommandParser
from hf_datasel.cli.rows import DatasetArguments, HeldOutArguments, load_rows, require_texts
from hf_datasel.cli.training import machine_defaults, model_arguments
from hf_datasel.cli.values import parse_budget, parse_object

if TYPE_CHECKING:
    from hf_datasel.compare.plan import Method
    from hf_datasel.training.utility import EvaluateMetric

OWN_METRICS = ("loss", "exact_match", "log_likelihood")
SUMMARY = (
    "Record once what the methods select by, train the model on what each selects at every budget, several times, and "
    "measure it on test rows: quality with intervals, cost, overlap, and a verdict. A killed comparison continues."
)
NEEDS = "--dataset DATA --test_dataset DATA --methods METHOD ..."
EXAMPLES = (
    "hf-datasel compare --dataset data.jsonl --test_dataset test.jsonl --model_name_or_path Qwen/Qwen3-0.6B \\\n"
    "      --proxy_model EleutherAI/pythia-70m --methods s2l perplexity:0.5,s2l --budgets 0.05 0.1 0.2 0.4",
    "hf-datasel compare --dataset data.jsonl --test_dataset test.jsonl --model_name_or_path Qwen/Qwen3-0.6B \\\n"
    "      --use_peft --validation_dataset trusted.jsonl --methods clues published=clues bm25 longest \\\n"
    '      --method_options \'{"published": {"score": "dot"}}\'',
    "hf-datasel compare --dataset data.jsonl --test_dataset test.jsonl --model_name_or_path Qwen/Qwen3-0.6B \\\n"
    '      --methods s2l confidence_curriculum oracle --method_options \'{"oracle": {"column": "is_clean"}}\'',
    "accelerate launch -m hf_datasel compare --config compare.yaml",
)


@dataclass
class CompareArguments:
    """Options of `hf-datasel compare` beside those of `SelectingSFTConfig`."""

    methods: list[str] = field(
        default_factory=list,
        metadata={
            "help": "What is compared: methods, chains such as clues:0.5,s2l (shares are of all rows), or "
            "label=method. random and full are always there. confidence_curriculum trains on all rows, easiest first; "
            "oracle is a yardstick, on rows known to be good by the column in --method_options."
        },
    )
    budgets: list[str] = field(
        default_factory=lambda: ["0.05", "0.1", "0.2", "0.4"],
        metadata={"help": "Shares of the rows such as 0.1, or numbers of rows such as 3000."},
    )
    num_seeds: int = field(
        default=3, metadata={"aliases": ["--seeds"], "help": "Repetitions of every selection and training."}
    )
    equal: Literal["steps", "epochs"] = field(
        default="steps",
        metadata={"help": "As many optimiser steps on every selection as on everything, or as many epochs."},
    )
    metrics: list[str] = field(
        default_factory=lambda: ["loss", "exact_match"],
        metadata={
            "help": "Of test rows: loss, exact_match, log_likelihood, or metrics of evaluate by name or path; the "
            "first counts."
        },
    )
    metric_options: str | None = field(
        default=None,
        metadata={
            "help": "JSON of what metrics of evaluate are loaded with (entry, greater_is_better, max_new_tokens, "
            'batch_size), by name or path: \'{"rouge": {"entry": "rougeL"}, "wer.py": {"greater_is_better": false}}\'.'
        },
    )
    group_column: str | None = field(
        default=None, metadata={"help": "Column of --test_dataset: measure in its groups, too."}
    )
    method_options: str | None = field(
        default=None,
        metadata={
            "help": 'JSON of hyperparameters by label, of a chain by method: \'{"clues": {"score": "dot"}, "oracle": '
            '{"column": "is_clean"}}\'.'
        },
    )
    test_dataset: str | None = field(
        default=None,
        metadata={"help": "Rows that models are measured on, none of them in --dataset; given as that is."},
    )
    test_split: str = field(default="test", metadata={"help": "Split of --test_dataset, where it has several."})


def make_parser() -> CommandParser:
    """The parser of `hf-datasel compare`."""
    from trl import ModelConfig, SFTConfig

    from hf_datasel import SelectingSFTConfig
    from hf_datasel.compare.choosing import NOT_OF_A_COMPARISON

    foreign = {item.name for item in fields(SFTConfig)}
    foreign |= {
        f"selection_{name}"
        for name in (*NOT_OF_A_COMPARISON, "method", "online_share", "push_dataset", "hub_dataset_id")
    }
    selecting = [item.name for item in fields(SelectingSFTConfig) if item.name not in foreign]
    ours = (CompareArguments, DatasetArguments, HeldOutArguments)
    own = [*(name for kind in ours for name in kind.__dataclass_fields__), *selecting]
    types = (*ours, SelectingSFTConfig, ModelConfig)
    defaults = {**machine_defaults(), "output_dir": "compare"}
    return CommandParser("compare", SUMMARY, types, own, NEEDS, EXAMPLES, defaults)


def run(
    options: CompareArguments,
    dataset_options: DatasetArguments,
    held_out: HeldOutArguments,
    training_args: Any,
    model_args: Any,
) -> None:
    """Compare, and print the verdict."""
    if not options.methods:
        raise UsageError("the following arguments are required: --methods")
    if options.test_dataset is None:
        raise UsageError("the following arguments are required: --test_dataset")
    methods = _methods(options)
    metrics = _metrics(options)
    budgets = [parse_budget(text, "--budgets") for given in options.budgets for text in str(given).split(",")]
    from hf_datasel import compare_selections

    given = model_arguments(model_args, training_args)
    if given["quantization_config"] is not None:
        training_args.model_init_kwargs["quantization_config"] = given["quantization_config"]
    dataset = dataset_options.load()
    require_texts(dataset, f"--dataset {dataset_options.dataset}", training_args.dataset_text_field)
    test = load_rows(options.test_dataset, split=options.test_split, option="test")
    require_texts(test, f"--test_dataset {options.test_dataset}", training_args.dataset_text_field)
    comparison = compare_selections(
        given["model"],
        training_args,
        dataset,
        test,
        methods=methods,
        budgets=budgets,
        num_seeds=options.num_seeds,
        equal=options.equal,
        metrics=metrics,
        group_column=options.group_column,
        peft_config=given["peft_config"],
        **held_out.load_held_out(),
    )
    print_once(comparison.verdict, "", f"Report: {Path(training_args.output_dir) / 'report' / 'report.md'}")


def _methods(options: CompareArguments) -> Sequence[Method]:
    """The methods with their options; every label of the options is a method's."""
    from hf_datasel.compare.plan import Method

    named = [Method.of(str(text)) for text in options.methods]
    labels = [method.label for method in named]
    own = _options_of(labels, options.method_options, "method", '{"clues": {"score": "dot"}}')
    return [Method(method.label, method.chain, own.get(method.label, {})) for method in named]


def _metrics(options: CompareArguments) -> list[str | EvaluateMetric]:
    """The metrics; those that have options are of evaluate."""
    own = _options_of(options.metrics, options.metric_options, "metric", '{"rouge": {"entry": "rougeL"}}')
    if not own:
        return list(options.metrics)
    from hf_datasel.training.utility import EvaluateMetric

    known = list(signature(EvaluateMetric).parameters)[1:]
    for name, one in own.items():
        if name in OWN_METRICS:
            raise UsageError(f"--metric_options: {name} has no options; metrics of evaluate have some")
        for option in one:
            if option not in known:
                raise UsageError(f"--metric_options: {option} is no option of {name} ({', '.join(known)})")
        if not isinstance(one.get("greater_is_better", True), bool):
            raise UsageError(f"--metric_options: greater_is_better of {name} must be true or false")
    return [EvaluateMetric(name, **own[name]) if name in own else name for name in options.metrics]


def _options_of(names: Sequence[str], given: str | None, kind: str, example: str) -> dict[str, dict[str, Any]]:
    """Options by name, every name of which is among those there are."""
    own = parse_object(given, f"--{kind}_options", example) or {}
    for name, one in own.items():
        if name not in names:
            raise UsageError(f"--{kind}_options: {name} is none of --{kind}s {' '.join(map(str, names))}")
        if not isinstance(one, dict):
            raise UsageError(f"--{kind}_options: {name} has {one!r}, no JSON object of options")
    return own
