"""`hf-datasel push`: a Selection and its dataset in, one commit to a dataset repo on the Hub out."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from hf_datasel.cli import UsageError
from hf_datasel.cli.console import is_main_process, print_once, quiet_unless_terminal
from hf_datasel.cli.parser import CommandParser
from hf_datasel.cli.recorded import load_recorded
from hf_datasel.cli.rows import DatasetArguments

if TYPE_CHECKING:
    from datasets import Dataset

    from hf_datasel import Selection
    from hf_datasel.hub import SourceDataset
    from hf_datasel.report import Picture

SUMMARY = (
    "Publish what a selection kept on the Hub, in one commit: its rows, all rows' scores, the manifest by which "
    "`hf-datasel verify` can choose again, the recipe, pictures, and a card."
)
NEEDS = "--repo_id NAME --dataset DATA"
EXAMPLES = (
    "hf-datasel push --repo_id me/my-set --dataset data.jsonl --selection_path selection",
    "hf-datasel push --repo_id me/my-set --dataset data.jsonl --trace_dir trace --group_columns source skill",
    "hf-datasel push --repo_id them/their-set --dataset data.jsonl --create_pr",
)


@dataclass
class PushArguments:
    """Options of `hf-datasel push`."""

    repo_id: str | None = field(
        default=None, metadata={"help": "The dataset repo, owner/name, or name for one of your own; made if needed."}
    )
    selection_path: str = field(default="selection", metadata={"help": "What select wrote, or train."})
    trace_dir: str | None = field(
        default=None, metadata={"help": "What record wrote and select read: for more pictures, and the models' names."}
    )
    group_columns: list[str] = field(
        default_factory=list, metadata={"help": "Columns whose values are counted before and after, as the source."}
    )
    report_dir: str | None = field(
        default=None, metadata={"help": "What report wrote: its pictures are published, and none are drawn."}
    )
    recipe: str | None = field(
        default=None, metadata={"help": "The YAML file that was run; published without tokens and passwords."}
    )
    private: bool | None = field(
        default=None, metadata={"help": "Whether the repo is to be private; one that exists must be so already."}
    )
    revision: str | None = field(
        default=None, metadata={"help": "Branch to push to, made if needed, or the ref of a pull request."}
    )
    create_pr: bool = field(default=False, metadata={"help": "Open a pull request."})
    commit_message: str | None = field(default=None, metadata={"help": "Of the commit, or the pull request's title."})
    license: str | None = field(default=None, metadata={"help": "Of the rows, as the Hub names it: cc-by-4.0, mit."})
    max_shard_size: str = field(default="500MB", metadata={"help": "Bound of a parquet file."})
    overwrite: bool = field(
        default=False, metadata={"help": "Push into a repo with other content; its files stay, its card does not."}
    )


def make_parser() -> CommandParser:
    """The parser of `hf-datasel push`."""
    types = (DatasetArguments, PushArguments)
    own = [name for kind in types for name in kind.__dataclass_fields__]
    return CommandParser("push", SUMMARY, types, own, NEEDS, EXAMPLES)


def run(dataset_options: DatasetArguments, options: PushArguments) -> None:
    """Push, and print where to; one process of several does it."""
    if not is_main_process():
        return
    quiet_unless_terminal()
    if options.repo_id is None:
        raise UsageError("the following arguments are required: --repo_id")
    from hf_datasel import Selection
    from hf_datasel.hub.access import make_api
    from hf_datasel.hub.publish import Place
    from hf_datasel.hub.push import push

    api = make_api(None)
    selection = Selection.load(options.selection_path)
    pictures = _pictures(options.report_dir)
    evidence = None if options.trace_dir is None else load_recorded(options.trace_dir, selection)
    dataset = dataset_options.load()
    place = Place(api, options.repo_id, options.private, options.revision, options.create_pr, options.overwrite)
    published = push(
        place,
        dataset,
        selection,
        source=_source(dataset, dataset_options),
        evidence=evidence,
        pictures=pictures,
        recipe=options.recipe,
        group_columns=options.group_columns,
        message=options.commit_message,
        description=None,
        max_shard_size=options.max_shard_size,
        license=options.license,
    )
    print_once(_told(selection, published.changed), published.commit.pr_url or str(published.commit.repo_url))


def _source(dataset: Dataset, options: DatasetArguments) -> SourceDataset | None:
    """The dataset on the Hub that --dataset names, None for a file or a directory."""
    from hf_datasel.hub import SourceDataset, find_source

    if options.dataset is None or Path(options.dataset).expanduser().exists():
        return None
    named = SourceDataset(options.dataset, config=options.dataset_config, split=options.dataset_split)
    return find_source(dataset, options.dataset) or named


def _pictures(report_dir: str | None) -> list[Picture] | None:
    if report_dir is None:
        return None
    from hf_datasel.report import load_pictures

    return load_pictures(report_dir)


def _told(selection: Selection, changed: bool) -> str:
    rows = f"{len(selection):,} of {len(selection.candidate_ids):,} examples"
    return f"published {rows}:" if changed else f"nothing to push, {rows} are there already:"
