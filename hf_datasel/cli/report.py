"""`hf-datasel report`: a Selection in, one HTML page with its pictures out."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hf_datasel.cli import UsageError
from hf_datasel.cli.console import is_main_process, print_once, quiet_unless_terminal
from hf_datasel.cli.parser import CommandParser
from hf_datasel.cli.rows import DatasetArguments

if TYPE_CHECKING:
    from hf_datasel import Selection, Trace, Valuation

SUMMARY = (
    "Show what a selection kept and dropped, and why: one HTML page that needs nothing but itself, and the pictures "
    "as PNG with their numbers as CSV. What is given beside the selection decides which pictures there are."
)
NEEDS = "--selection_path DIR"
EXAMPLES = (
    "hf-datasel report --selection_path selection --dataset data.jsonl --trace_dir trace",
    "hf-datasel report --selection_path selection --dataset data.jsonl --group_columns source skill",
    "hf-datasel report --selection_path selection --valuation_dir valuation --embeddings_dir embeddings",
)


@dataclass
class ReportArguments:
    """Options of `hf-datasel report`."""

    selection_path: str | None = field(default=None, metadata={"help": "What `hf-datasel select` wrote."})
    trace_dir: str | None = field(
        default=None, metadata={"help": "The trace the selection was made from: clusters of losses, lengths, a map."}
    )
    valuation_dir: str | None = field(
        default=None, metadata={"help": "The valuation that shed selected from: bars of values with intervals."}
    )
    embeddings_dir: str | None = field(
        default=None, metadata={"help": "Embeddings of the same rows: a map of kept and dropped."}
    )
    results: str | None = field(
        default=None,
        metadata={
            "help": 'JSON of models trained on several budgets: {"metric": NAME, "higher_is_better": true, "arms": '
            '{"s2l": [{"budget": 0.1, "values": [0.61, 0.63]}], "random": [...], "full": [...]}}.'
        },
    )
    group_columns: list[str] = field(
        default_factory=list, metadata={"help": "Columns of --dataset to count before and after, as source or skill."}
    )
    num_examples: int = field(default=10, metadata={"help": "How many kept and how many dropped examples to show."})
    seed: int = field(default=0, metadata={"help": "Seed of the examples, and of samples of large sets."})
    output_dir: str = field(default="report", metadata={"help": "Where report.html and pictures/ are written."})
    overwrite: bool = field(default=False, metadata={"help": "Replace a report that is there."})


def make_parser() -> CommandParser:
    """The parser of `hf-datasel report`."""
    own = [*ReportArguments.__dataclass_fields__, *DatasetArguments.__dataclass_fields__]
    return CommandParser("report", SUMMARY, (ReportArguments, DatasetArguments), own, NEEDS, EXAMPLES)


def run(options: ReportArguments, dataset_options: DatasetArguments) -> None:
    """Write the report and say where it lies; one process of several does it all."""
    if not is_main_process():
        return
    quiet_unless_terminal()
    _check(options, dataset_options)
    from hf_datasel import Embeddings, Selection, write_report

    assert options.selection_path is not None
    selection = Selection.load(options.selection_path)
    report = write_report(
        selection,
        options.output_dir,
        dataset=None if dataset_options.dataset is None else dataset_options.load(),
        evidence=_evidence(options, selection),
        embeddings=None if options.embeddings_dir is None else Embeddings.load(options.embeddings_dir),
        results=None if options.results is None else _read_results(Path(options.results)),
        group_columns=options.group_columns,
        num_examples=options.num_examples,
        seed=options.seed,
        overwrite=options.overwrite,
    )
    print_once(
        f"report: {report.html}",
        f"  {len(selection):,} of {len(selection.candidate_ids):,} examples kept, "
        f"{len(report.pictures)} pictures: {', '.join(picture.path.stem for picture in report.pictures) or 'none'}",
    )


def _check(options: ReportArguments, dataset_options: DatasetArguments) -> None:
    """Refuse what cannot work before anything is read."""
    if options.selection_path is None:
        raise UsageError("the following arguments are required: --selection_path")
    if options.trace_dir is not None and options.valuation_dir is not None:
        raise UsageError("--trace_dir and --valuation_dir are both given: pass the one the selection was made from")
    if options.group_columns and dataset_options.dataset is None:
        raise UsageError("--group_columns needs --dataset")
    if options.num_examples < 0:
        raise UsageError(f"argument --num_examples: {options.num_examples} is no number of rows")
    place = Path(options.output_dir)
    if place.is_file() or (place.is_dir() and any(place.iterdir()) and not options.overwrite):
        raise FileExistsError(f"{place} exists: pass --overwrite to replace a report, or name another --output_dir")


def _evidence(options: ReportArguments, selection: Selection) -> Trace | Valuation | None:
    """What the selection was made from; a trace of gradients that shed read becomes the values it was read as."""
    from hf_datasel import Trace, Valuation

    if options.valuation_dir is not None:
        return Valuation.load(options.valuation_dir)
    if options.trace_dir is None:
        return None
    trace = Trace.load(options.trace_dir)
    steps = selection.provenance
    by_shed = bool(steps) and steps[-1].get("selector") == "shed"
    return Valuation.from_trace(trace) if by_shed and trace.metric == "influence" else trace


def _read_results(path: Path) -> dict[str, Any]:
    try:
        results = json.loads(path.read_bytes())
    except FileNotFoundError:
        raise FileNotFoundError(f"--results {path}: there is no such file (looked in {Path.cwd()})") from None
    except ValueError as error:
        raise ValueError(f"--results {path} is not JSON: {error}") from error
    if not isinstance(results, dict):
        raise ValueError(f"--results {path} holds no JSON object: `hf-datasel report --help` shows its form")
    return results
