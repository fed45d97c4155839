"""What `hf-datasel record` can measure, and which options each metric reads."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from hf_datasel.cli import UsageError
from hf_datasel.cli.rows import HeldOutArguments
from hf_datasel.cli.values import parse_object
from hf_datasel.training.valuation_options import ValuationOptions

if TYPE_CHECKING:
    from hf_datasel.cli.record import RecordArguments

WHEN = ("num_checkpoints", "checkpoint_steps", "checkpoint_epochs", "checkpoint_fractions")
DIRECTION = (
    "validation_dataset",
    "parameters",
    "precondition",
    "group_column",
    "group_weights",
    "low_rank",
    "score_every",
)
OF_FINE_TUNES = tuple(name for name in ValuationOptions.__dataclass_fields__ if name != "in_run_score")
# The options that each metric reads beside --trace_dir, --tokens_per_batch and --overwrite.
READ_BY: dict[str, tuple[str, ...]] = {
    "loss": (*WHEN, "mode"),
    "influence": (*WHEN, "mode", *DIRECTION, "anchor_dataset", "norms", "contrasts", "ifd", "pairing", "dot_only"),
    "in_run_shapley": (*WHEN, *DIRECTION, "in_run_score"),
    "shapley": ("validation_dataset", "group_column", *OF_FINE_TUNES),
    "embeddings": ("embedder",),
    "dsir": ("validation_dataset",),
    "bm25": ("validation_dataset",),
    "length": (),
    "ifd": (),
    "datainf": ("validation_dataset", "parameters"),
}


# What is recorded beside inner products and losses.
BESIDE = ("norms", "contrasts", "ifd", "pairing")


@dataclass
class MeasureArguments:
    """What is recorded; everything but `metric` concerns gradients."""

    metric: Literal[
        "loss", "influence", "shapley", "in_run_shapley", "embeddings", "dsir", "bm25", "length", "ifd", "datainf"
    ] = field(
        default="loss",
        metadata={
            "help": "loss: for s2l, perplexity and others; influence: gradients against those of "
            "--validation_dataset, for clues; shapley: for shed, what clusters of rows are worth in fine-tunes, "
            "measured on --validation_dataset; in_run_shapley: the same of rows, from the gradients of one training; "
            "embeddings: for dataset_quantization and facility_location; dsir and bm25: how like the texts of "
            "--validation_dataset; length: of answers, for longest; ifd and datainf: measured once, when training "
            "ends."
        },
    )
    parameters: list[str] = field(
        default_factory=lambda: ["all"],
        metadata={"help": "Whose gradients count: all, lora, qv, first_layer, last_layer or regular expressions."},
    )
    precondition: Literal["none", "adam", "official"] = field(
        default="none",
        metadata={
            "help": "Influence: divide the direction by the roots of Adam's second moments; official: as CLUES' code."
        },
    )
    dot_only: bool = field(
        default=False,
        metadata={
            "help": "Influence: inner products alone, for select --score dot. Without it and the next four, all "
            "that --method clues reads by default is recorded; any of the four means exactly those given."
        },
    )
    norms: bool | None = field(default=None, metadata={"help": "Influence: cosines, for --score cosine."})
    contrasts: list[str] | None = field(
        default=None,
        metadata={"help": "Influence: directions against damaged validation rows: mismatched, truncated, shuffled."},
    )
    ifd: bool | None = field(default=None, metadata={"help": "Influence: IFD, measured when training begins."})
    pairing: int | None = field(
        default=None,
        metadata={"help": "Influence: how much better an answer fits its question than so many others."},
    )
    group_column: str | None = field(
        default=None,
        metadata={"help": "Sum the mean gradients of the groups in this validation column; shapley: measure in them."},
    )
    group_weights: str | None = field(default=None, metadata={"help": "Influence: JSON of these groups' weights."})
    low_rank: float | None = field(
        default=None,
        metadata={
            "help": "Influence: rank of the direction's matrices, or the share of energy to keep; default exact."
        },
    )
    score_every: int = field(default=1, metadata={"help": "Influence, in_run: score every so many optimiser steps."})

    def require_fitting(
        self, options: RecordArguments, held_out: HeldOutArguments, valuation: ValuationOptions
    ) -> None:
        """Refuse options that the metric does not read, and a metric without the rows that it needs.

        Raises:
            UsageError: named.
        """
        self._weights()
        read = READ_BY[self.metric]
        for arguments in (self, options, held_out, valuation):
            given = [item.name for item in fields(arguments) if getattr(arguments, item.name) != _default(item)]
            for name in given:
                if any(name in others and name not in read for others in READ_BY.values()):
                    readers = [metric for metric, others in READ_BY.items() if name in others]
                    raise UsageError(f"--metric {self.metric} does not read --{name}: it is for {', '.join(readers)}")
        if valuation.in_run:
            raise UsageError("--estimator in_run has a name of its own here: pass --metric in_run_shapley")
        if self.dot_only and self._chosen:
            raise UsageError(f"--dot_only records nothing beside inner products: leave out --{self._chosen[0]}")
        if "validation_dataset" in read and held_out.validation_dataset is None:
            raise UsageError(
                f"--metric {self.metric} needs --validation_dataset, trusted rows that are not in --dataset"
            )

    def require_answers(self, validation: Any) -> None:
        """Refuse to record what the default selector reads where answers cannot be told from questions.

        Raises:
            UsageError: says what can be recorded instead.
        """
        wanted = self.metric == "influence" and self.is_for_default
        if wanted and not {"completion", "messages"} & set(validation.column_names):
            raise UsageError(
                "--validation_dataset has neither a column completion nor messages, and what --method clues reads by "
                "default needs questions and answers: pass --norms (for --score cosine) or --dot_only (--score dot)"
            )

    def gradient_options(self, validation: Any, seed: int) -> dict[str, Any]:
        """The keyword arguments of `GradientTraceCallback` that stand for these options."""
        from hf_datasel import CLUESSelector, damaged

        rank = self.low_rank
        return {
            "parameters": self.parameters,
            "precondition": self.precondition,
            "for_selector": CLUESSelector(seed=seed) if self.is_for_default else None,
            "norms": bool(self.norms),
            "contrast_datasets": {kind: damaged(validation, kind, seed) for kind in self.contrasts or ()},
            "ifd": bool(self.ifd),
            "pairing": self.pairing or 0,
            "group_column": self.group_column,
            "group_weights": self._weights(),
            "low_rank": int(rank) if rank is not None and rank.is_integer() else rank,
            "score_every": self.score_every,
        }

    @property
    def is_for_default(self) -> bool:
        """Whether what the default selector of CLUES reads is recorded."""
        return self.metric == "influence" and not self.dot_only and not self._chosen

    @property
    def _chosen(self) -> list[str]:
        return [name for name in BESIDE if getattr(self, name) is not None]

    def _weights(self) -> dict[str, float] | None:
        return parse_object(self.group_weights, "--group_weights", example='{"en": 1, "zh": 2}')


def record_with(
    measures: MeasureArguments,
    options: RecordArguments,
    trainer: Any,
    dataset: Any,
    held_out: dict[str, Any],
    valuation: ValuationOptions,
) -> Callable[[], object]:
    """Prepare a recording; call what is returned when training has ended."""
    from hf_datasel import GradientTraceCallback, LossTrajectoryCallback, Trace, record_datainf, record_ifd

    common = options.common_arguments()
    if measures.metric == "loss":
        trainer.add_callback(LossTrajectoryCallback(trainer, dataset=dataset, **common, **options.checkpoints()))
        return lambda: None
    if measures.metric in ("influence", "in_run_shapley"):
        gradients = measures.gradient_options(held_out["validation_dataset"], trainer.args.seed)
        when = options.checkpoints()
        if measures.metric == "in_run_shapley":
            when["mode"] = "in_run"
            gradients["norms"] = valuation.in_run_score == "cosine"
        trainer.add_callback(
            GradientTraceCallback(trainer, dataset=dataset, **held_out, **gradients, **common, **when)
        )
        return lambda: None
    place = Path(options.trace_dir)
    if (place / "manifest.json").exists() and not options.overwrite:
        if Trace.open(place).complete:
            raise FileExistsError(f"{place} holds a finished Trace: pass --overwrite, or another --trace_dir")
        common["overwrite"] = True  # a run that was killed in its last sweep measures anew
    if measures.metric == "ifd":
        return lambda: record_ifd(trainer, dataset=dataset, **common)
    rows, parameters = held_out["validation_dataset"], measures.parameters
    return lambda: record_datainf(trainer, dataset=dataset, validation_dataset=rows, parameters=parameters, **common)


def next_step(measures: MeasureArguments, trace_dir: str, has_anchors: bool, in_run_score: str = "dot") -> str:
    """The command that selects from what was recorded."""
    score = "" if measures.is_for_default else f"--score {'cosine' if measures.norms else 'dot'} "
    how = {
        "loss": "--budget 0.11",
        "influence": f"--method clues {score}" + ("--threshold conformal" if has_anchors else "--budget 0.5"),
        "ifd": "--method ifd --cherry --budget 0.11",
        "datainf": "--method datainf --budget 0.5",
        "shapley": "--method shed --budget 0.11",
        "in_run_shapley": "--method shed --budget 0.11" + ("" if in_run_score == "dot" else " --in_run_score cosine"),
        "embeddings": "--method dataset_quantization --budget 0.11",
        "dsir": "--method dsir --budget 0.11",
        "bm25": "--method bm25 --budget 0.11",
        "length": "--method longest --budget 0.11",
    }
    return f"hf-datasel select --trace_dir {trace_dir} {how[measures.metric]}"


def _default(item: Any) -> Any:
    return item.default_factory() if callable(item.default_factory) else item.default
