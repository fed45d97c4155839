"""Datasets of the command line: from a Hub name, a file or a saved directory, and back to a file or directory."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from hf_datasel.cli import UsageError
from hf_datasel.fingerprint import EXAMPLE_ID
from hf_datasel.storage import atomic_directory, write_atomic

if TYPE_CHECKING:
    from datasets import Dataset

# Which reader of `datasets.load_dataset` opens a file, by the end of its name.
READERS = {".jsonl": "json", ".json": "json", ".parquet": "parquet", ".csv": "csv"}


@dataclass
class DatasetArguments:
    """Which dataset a command works on."""

    dataset: str | None = field(
        default=None,
        metadata={
            "aliases": ["--dataset_name"],  # as in `trl sft`
            "help": "The dataset: a .jsonl, .json, .parquet or .csv file, a directory written by save_to_disk, or a "
            "name on the Hub. Rows are numbered into the column example_id unless it is there.",
        },
    )
    dataset_config: str | None = field(default=None, metadata={"help": "Configuration of a dataset on the Hub."})
    dataset_split: str = field(
        default="train",
        metadata={"aliases": ["--dataset_train_split"], "help": "Split to use, where the dataset has several."},
    )

    def load(self) -> Dataset:
        """The dataset with the int64 column `example_id`: the row's number, or what the column held already.

        Raises:
            UsageError: `dataset` is not given.
            FileNotFoundError, ValueError: see `load_rows` and `hf_datasel.add_example_ids`.
        """
        if self.dataset is None:
            raise UsageError("the following arguments are required: --dataset")
        from hf_datasel.data import add_example_ids

        return add_example_ids(load_rows(self.dataset, config=self.dataset_config, split=self.dataset_split))


@dataclass
class HeldOutArguments:
    """Trusted rows, which are not trained on."""

    validation_dataset: str | None = field(
        default=None,
        metadata={
            "help": "Trusted rows, none of them in --dataset and given as that is: gradients are held against them, "
            "models measured on them, and DSIR's target is like them."
        },
    )
    validation_split: str = field(default="train", metadata={"help": "Split of --validation_dataset."})
    anchor_dataset: str | None = field(
        default=None,
        metadata={"help": "Other trusted rows, 50 or more, scored as --dataset is: thresholds are made from them."},
    )
    anchor_split: str = field(default="train", metadata={"help": "Split of --anchor_dataset."})

    def load_held_out(self) -> dict[str, Dataset | None]:
        """The two datasets by the name of their option, None for one that is not given; raises as `load_rows`."""
        given = {
            "validation": (self.validation_dataset, self.validation_split),
            "anchor": (self.anchor_dataset, self.anchor_split),
        }
        return {
            f"{kind}_dataset": None if name is None else load_rows(name, split=split, option=kind)
            for kind, (name, split) in given.items()
        }


def load_rows(name: str, *, config: str | None = None, split: str = "train", option: str = "") -> Dataset:
    """Load a dataset that the command line names.

    Args:
        name: A file with one of the endings of `READERS`, a directory written by `save_to_disk`, another directory or
            a Hub name that `datasets.load_dataset` reads.
        config: The dataset's configuration, for a Hub name or a directory of files.
        split: The split, where there are several.
        option: Which of the command line's datasets it is: "" for `--dataset`, "eval" for `--eval_dataset`, ...

    Raises:
        FileNotFoundError: Nothing is at the path, or no such dataset is on the Hub.
        ValueError: The file cannot be read, has no rows, or lacks the split; the message names it.
    """
    import datasets

    path = Path(name).expanduser()
    where = f"--{option}_dataset {name}" if option else f"--dataset {name}"
    _refuse_unreadable(where, name, path)
    try:
        if path.is_file():
            loaded = datasets.load_dataset(READERS[path.suffix], data_files=str(path), split="train")
        elif (path / "state.json").exists() or (path / "dataset_dict.json").exists():
            loaded = datasets.load_from_disk(str(path))
        else:
            loaded = datasets.load_dataset(str(path) if path.is_dir() else name, config)
    except (datasets.exceptions.DatasetsError, ValueError) as error:
        raise ValueError(f"{where}: could not be read: {_innermost(error)}") from error
    if isinstance(loaded, dict):
        if split not in loaded:
            raise ValueError(
                f"{where} has no split {split!r}: choose --{option or 'dataset'}_split from {', '.join(loaded)}"
            )
        loaded = loaded[split]
    if len(loaded) == 0:
        raise ValueError(f"{where} has no rows")
    return loaded


def require_texts(dataset: Dataset, where: str, text_field: str = "text") -> None:
    """Refuse rows that cannot be trained on, before anything is loaded for them.

    Args:
        dataset: rows with texts, or tokens (`input_ids`).
        where: the option they were named by, as in "--dataset data.jsonl".
        text_field: the column of rows that are one text each.

    Raises:
        ValueError: none of the columns that are read is there, or one holds no text; names the row.
    """
    from datasets import Value

    columns = [name for name in dataset.column_names if name != EXAMPLE_ID]
    if "input_ids" in columns:
        return
    formats = (("messages",), ("conversations",), ("prompt", "completion"), (text_field,))
    read = next((names for names in formats if set(names) <= set(columns)), None)
    if read is None:
        raise ValueError(
            f"{where} has the columns {', '.join(columns)}, but training reads prompt and completion, or messages, or "
            f"{text_field}: rename them, or name the text's column with --dataset_text_field"
        )
    for name in read:
        kind, column = dataset.features[name], dataset.data.column(name)
        if isinstance(kind, Value) and kind.dtype not in ("string", "large_string"):
            raise ValueError(f"{where}: column {name} is of {kind.dtype}, not text")
        if column.null_count:
            row = column.is_null().index(True).as_py()
            raise ValueError(f"{where}: row {row} has no {name} (null): drop such rows")


def save_rows(dataset: Dataset, path: str, *, overwrite: bool = False) -> None:
    """Write a dataset whole or not at all: to a .jsonl or .parquet file, else a directory for `load_from_disk`.

    Raises:
        FileExistsError: Something is there already and `overwrite` is off.
        OSError: The disk is full or the place cannot be written.
    """
    target = Path(path).expanduser()
    if target.suffix in (".jsonl", ".parquet"):
        if target.exists() and not overwrite:
            raise FileExistsError(f"{target} exists: pass --overwrite to replace it, or name another file")
        target.parent.mkdir(parents=True, exist_ok=True)
        write = dataset.to_json if target.suffix == ".jsonl" else dataset.to_parquet
        write_atomic(target, write, dataset.data.nbytes)
        return
    with atomic_directory(target, what="dataset", marker="state.json", overwrite=overwrite) as building:
        dataset.save_to_disk(str(building))


def _refuse_unreadable(where: str, name: str, path: Path) -> None:
    if path.is_file() and path.suffix not in READERS:
        raise ValueError(f"{where}: the ending {path.suffix!r} is none of {', '.join(READERS)}")
    if path.is_file() and path.stat().st_size == 0:
        raise ValueError(f"{where} is empty")
    if not path.exists() and looks_like_path(name):
        raise FileNotFoundError(f"{where}: there is no such file or directory (looked in {Path.cwd()})")


def looks_like_path(name: str) -> bool:
    """A Hub name is `name` or `owner/name`; anything deeper, rooted, or ending like a file is meant as a path."""
    return name.startswith((".", "/", "~")) or name.count("/") > 1 or Path(name).suffix in READERS


def _innermost(error: BaseException) -> str:
    while error.__cause__ is not None:
        error = error.__cause__
    return " ".join(str(error).split())
