"""`hf-datasel select`: what was recorded in, a Selection and the curated dataset out."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from hf_datasel.cli import UsageError
from hf_datasel.cli.console import is_main_process, print_once, quiet_unless_terminal
from hf_datasel.cli.parser import CommandParser
from hf_datasel.cli.rows import DatasetArguments, save_rows
from hf_datasel.cli.selectors import load_evidences, make_selectors
from hf_datasel.functional.thresholds import RULES
from hf_datasel.selectors import (
    CLUESSelector,
    DatasetQuantizationSelector,
    DSIRSelector,
    ScoreSelector,
    SHEDSelector,
)
from hf_datasel.selectors.registry import selector_names

if TYPE_CHECKING:
    from datasets import Dataset

    from hf_datasel import Selection

SUMMARY = (
    "Choose examples by what `hf-datasel record` wrote. Writes the Selection (ids, clusters, provenance) "
    "and, where --curated_dir is given, the dataset cut down to it."
)
NEEDS = "--trace_dir DIR --budget SHARE_OR_NUMBER"
EXAMPLES = (
    "hf-datasel select --trace_dir trace --budget 0.11 --output_dir selection",
    "hf-datasel select --trace_dir trace --budget 3000 --dataset data.jsonl --curated_dir curated",
    "hf-datasel select --method clues --trace_dir trace --threshold conformal --alpha 0.1",
    "hf-datasel select --method shed --trace_dir valuation --budget 0.1 --sampling qwcs",
    "hf-datasel select --method clues:0.5,s2l --trace_dir gradients losses --budget 0.1",
)


@dataclass
class SelectArguments:
    """Options of `hf-datasel select`."""

    trace_dir: list[str] | None = field(
        default=None,
        metadata={
            "help": "What record wrote: a trace, for shed a valuation or the trace of in_run_shapley, for "
            "dataset_quantization embeddings; random and full can do with --dataset alone. Of a chain one a link, or "
            "one for all."
        },
    )
    method: str = field(
        default="s2l",
        metadata={
            "help": "s2l: spread the budget over clusters of loss trajectories; clues: gradients that agree with "
            "trusted ones; shed: the clusters that are worth most to train on; oracle: known labels; the others are "
            "baselines, or come from packages that you installed: "
            f"{', '.join(selector_names())}. Several choose one after another, as in clues:0.5,s2l: the best half, "
            "and of these as many as --budget says.",
        },
    )
    budget: str | None = field(
        default=None,
        metadata={"help": "What to keep: a share such as 0.11, or a number of examples such as 3000."},
    )
    within: str | None = field(
        default=None,
        metadata={"help": "A Selection: choose among the rows that it kept; a share is then one of all rows."},
    )
    threshold: str | None = field(
        default=None,
        metadata={
            "help": f"Instead of a budget, for methods that score: a number, or a rule over the anchors' scores: "
            f"{', '.join(RULES)}."
        },
    )
    alpha: float = field(
        default=ScoreSelector.alpha,
        metadata={"help": "Share of the clean examples that the rules quantile and conformal may lose."},
    )
    num_clusters: int = field(default=100, metadata={"help": "S2L: number of clusters K."})
    variant: Literal["paper", "official"] = field(
        default="paper", metadata={"help": "S2L: Algorithm 1 of the paper, or what the released code does beyond it."}
    )
    transform: Literal["none", "log", "zscore"] = field(
        default="none", metadata={"help": "S2L: applied to the losses before clustering; the paper uses none."}
    )
    score: Literal["dot", "cosine", "length_normalised", "fused"] = field(
        default=CLUESSelector.score,
        metadata={"help": "CLUES: fused, of the detectors; dot, the paper's; cosine and dot also for plain text."},
    )
    weighting: Literal["learning_rate", "uniform"] = field(
        default=CLUESSelector.weighting, metadata={"help": "CLUES: weights of the checkpoints; the paper's are rates."}
    )
    normalise_checkpoints: bool = field(
        default=CLUESSelector.normalise_checkpoints,
        metadata={"help": "CLUES: divide each checkpoint's values by their standard deviation."},
    )
    detectors: list[str] = field(
        default_factory=lambda: list(CLUESSelector.detectors),
        metadata={
            "help": "CLUES: what fused combines: dot, cosine, length_normalised, loss, ifd, pairing, contrast_<name>."
        },
    )
    combine: Literal["mean", "min"] = field(
        default=CLUESSelector.combine, metadata={"help": "CLUES: how fused combines its detectors."}
    )
    weights: list[float] | None = field(default=None, metadata={"help": "CLUES: of the detectors in a mean."})
    fusion: Literal["zscore", "lower_half", "rank"] = field(
        default=CLUESSelector.fusion, metadata={"help": "CLUES: how fused brings its detectors to one scale."}
    )
    loss_at: Literal["trajectory", "last"] = field(
        default=CLUESSelector.loss_at,
        metadata={"help": "CLUES: the loss fused takes, of all checkpoints or the last."},
    )
    sampling: Literal["qocs", "qwcs", "uniform"] = field(
        default=SHEDSelector.sampling,
        metadata={
            "help": "SHED: qocs, the best clusters whole; qwcs, clusters drawn by a softmax of their values; uniform, "
            "rows drawn from the best clusters."
        },
    )
    in_run_score: Literal["dot", "cosine"] = field(
        default="dot",
        metadata={"help": "SHED, of the trace of in_run_shapley: inner products, or cosines (record with --norms)."},
    )
    cluster_weighting: Literal["softmax", "raw"] = field(
        default=SHEDSelector.weighting,
        metadata={"help": "SHED, qwcs: softmax of z-scores of the values, or of the values raw, as in the paper."},
    )
    sharpness: float = field(
        default=SHEDSelector.sharpness, metadata={"help": "SHED, qwcs: how strongly values count."}
    )
    best_share: float = field(
        default=SHEDSelector.best_share, metadata={"help": "SHED, uniform: share of the rows that are drawn from."}
    )
    noise: Literal["gumbel", "none"] = field(
        default=DSIRSelector.noise, metadata={"help": "DSIR: draw by the weights (gumbel), or keep the largest."}
    )
    num_bins: int = field(
        default=DatasetQuantizationSelector.num_bins, metadata={"help": "Dataset Quantization: number of bins."}
    )
    chunk_size: int | None = field(
        default=None, metadata={"help": "Dataset Quantization: fill bins in parts of so many rows, for large sets."}
    )
    cherry: bool = field(default=False, metadata={"help": "IFD: drop what lies above 1, as Cherry LLM does."})
    selector_options: str | None = field(
        default=None,
        metadata={
            "help": "JSON of more hyperparameters, and of all that a method of another package has of its own: "
            '\'{"skip": 2}\'; of a chain by method: \'{"s2l": {"num_iterations": 5}}\'.'
        },
    )
    seed: int = field(default=42, metadata={"help": "Seed of the clustering, of the draws, and of ties."})
    strata_column: str | None = field(
        default=None, metadata={"help": "Share the budget between the values of this column of --dataset first."}
    )
    output_dir: str = field(default="selection", metadata={"help": "Where the Selection is written."})
    curated_dir: str | None = field(
        default=None,
        metadata={"help": "Where the kept rows of --dataset are written: a directory, or a .jsonl or .parquet file."},
    )
    overwrite: bool = field(default=False, metadata={"help": "Replace a selection or curated dataset that is there."})


def make_parser() -> CommandParser:
    """The parser of `hf-datasel select`."""
    own = [*SelectArguments.__dataclass_fields__, *DatasetArguments.__dataclass_fields__]
    return CommandParser("select", SUMMARY, (SelectArguments, DatasetArguments), own, NEEDS, EXAMPLES)


def run(options: SelectArguments, dataset_options: DatasetArguments) -> None:
    """Select, save the Selection and, where asked, the curated dataset; one process of several does it all."""
    if not is_main_process():
        return
    quiet_unless_terminal()
    dataset = _dataset_for(options, dataset_options)
    selection = _select(options, dataset)
    selection.save(options.output_dir, overwrite=options.overwrite)
    num_candidates = selection.provenance[0].get("num_candidates", len(selection.candidate_ids))
    print_once(f"kept {len(selection):,} of {num_candidates:,} examples: {options.output_dir}", *_steps(selection))
    if dataset is not None and options.strata_column is not None:
        print_once(*_shares(dataset, selection, options.strata_column))
    if dataset is not None and options.curated_dir is not None:
        save_rows(selection.apply(dataset), options.curated_dir, overwrite=options.overwrite)
        print_once(f"curated dataset: {options.curated_dir}")


def _dataset_for(options: SelectArguments, dataset_options: DatasetArguments) -> Dataset | None:
    """The dataset where an option needs it; every refusal comes before any work."""
    selectors = make_selectors(options)
    needs = {
        "--strata_column": options.strata_column,
        "--curated_dir": options.curated_dir,
        f"--method {options.method} without --trace_dir": options.trace_dir is None,
    }
    if options.trace_dir is None and any(selector.reads_values for selector in selectors):
        raise UsageError(f"--method {options.method} needs --trace_dir, a trace that `hf-datasel record` wrote")
    for option, value in needs.items():
        if value and dataset_options.dataset is None:
            raise UsageError(f"{option} needs --dataset")
    outputs = [Path(path) for path in (options.output_dir, options.curated_dir) if path is not None]
    if len(set(outputs)) < len(outputs):
        raise UsageError(f"--output_dir and --curated_dir are both {options.curated_dir}; they need a place each")
    for path in outputs:
        occupied = path.is_file() or (path.is_dir() and any(path.iterdir()))
        if occupied and not options.overwrite:
            raise FileExistsError(f"{path} exists: pass --overwrite to replace it, or name another place")
    return dataset_options.load() if dataset_options.dataset is not None else None


def _select(options: SelectArguments, dataset: Dataset | None) -> Selection:
    from hf_datasel import Chain, Selection
    from hf_datasel.data import strata

    selectors = make_selectors(options)
    within = None if options.within is None else Selection.load(Path(options.within).expanduser())
    evidences = load_evidences(options, selectors, dataset)
    groups = strata(dataset, options.strata_column) if options.strata_column is not None else None
    if len(selectors) == 1 and within is None:
        return selectors[0].select(evidences[0], strata=groups)
    return Chain(selectors).select(evidences, strata=groups, within=within)


def _steps(selection: Selection) -> list[str]:
    """What each step of a chain kept, and where it cut; a step that was written by hand need not say."""
    told = []
    for step in selection.provenance:
        if len(selection.provenance) > 1 and {"selector", "num_kept", "num_candidates"} <= step.keys():
            told.append(f"  {step['selector']}: {step['num_kept']:,} of {step['num_candidates']:,}")
        if step.get("details", {}).get("rule", "budget") != "budget":
            told.append(_cut(step["details"]))
    return told


def _cut(details: dict[str, Any]) -> str:
    """Where a threshold cut, in words."""
    threshold = "no finite threshold" if details["threshold"] is None else f"threshold {details['threshold']:.6g}"
    parts = [details["rule"]]
    if details["num_anchors"] is not None:
        parts.append(f"{details['num_anchors']:,} anchors")
    if details["clean_kept"] is not None:
        low, high = details["clean_kept"]
        parts.append(f"{low:.0%} to {high:.0%} of the clean examples kept")
    if details["clean_share"] is not None:
        parts.append(f"at most {details['clean_share']:.0%} of the examples look clean")
    return f"  {threshold} ({', '.join(parts)})"


def _shares(dataset: Dataset, selection: Selection, column: str) -> list[str]:
    before, after = Counter(dataset[column]), Counter(selection.apply(dataset)[column])
    width = max(len(str(value)) for value in before)
    return [f"  {value!s:<{width}}  {after[value]:>7,} of {count:>9,}" for value, count in before.most_common()]
