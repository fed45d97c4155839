"""What a published selection holds: its manifest, and one pass over its files, each of which is read once.

Legend: N rows of the source, B rows kept.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from datasets import Dataset, Features
from datasets.table import table_cast
from numpy.typing import NDArray
from tqdm.auto import tqdm

from hf_datasel.cards.dataset_metadata import CONFIGS, SCORES, SELECTED
from hf_datasel.content import row_digests
from hf_datasel.example_ids import read_example_ids
from hf_datasel.hub.head import MANIFEST
from hf_datasel.hub.manifest import FORMAT, ROW_HASH, VERSION, is_ours, sha256_of
from hf_datasel.hub.reading import Snapshot
from hf_datasel.hub.scores import Scores
from hf_datasel.hub.tables import hashed_columns

PATTERNS: dict[str, str] = {entry["config_name"]: entry["data_files"][0]["path"] for entry in CONFIGS}
# What reading a file may raise, if it or its metadata is damaged.
_UNREADABLE = (pa.ArrowException, ValueError, TypeError, LookupError, AttributeError, OSError, NotImplementedError)
_OF_A_STEP = ("config", "details", "versions")
_KINDS = {"source": dict, "provenance": list, "counts": dict, "columns": list, "files": dict, "versions": dict}


class Selected(NamedTuple):
    """The rows that are published: ids, int64 [B], and content hashes, bytes of 32 hexadecimal digits [B]."""

    ids: NDArray[np.int64]
    digests: NDArray[np.bytes_]


@dataclass(frozen=True, eq=False)
class Contents:
    """What the files hold.

    Args:
        problems: files that are missing, or others than were published.
        scores: the config `scores`; None where it cannot be read.
        selected: the config `selected`; None where it cannot be read.
        unreadable: by config, why it cannot be read.
    """

    problems: tuple[str, ...]
    scores: Scores | None
    selected: Selected | None
    unreadable: Mapping[str, str]


def read_manifest(snapshot: Snapshot) -> dict[str, Any]:
    """The manifest, as far as it is needed to check the rest.

    Raises:
        LookupError: there is none of ours.
        ValueError: it is damaged, or of another version.
    """
    if MANIFEST not in snapshot.files:
        raise LookupError(f"it has no {MANIFEST}")
    try:
        manifest = json.loads(snapshot.text(MANIFEST))
    except ValueError as error:
        raise ValueError(f"{MANIFEST} is damaged: it is no JSON ({error})") from error
    if not is_ours(manifest):
        raise LookupError(f"its {MANIFEST} is not of the format {FORMAT!r}")
    if (manifest.get("version"), manifest.get("row_hash")) != (VERSION, ROW_HASH):
        raise ValueError(
            f"{MANIFEST} is of version {manifest.get('version')!r} with row hashes {manifest.get('row_hash')!r}; this "
            f"hf_datasel reads {VERSION} with {ROW_HASH!r}: install the one that published it"
        )
    for name, kind in _KINDS.items():
        if not isinstance(manifest.get(name), kind):
            raise ValueError(f"{MANIFEST} is damaged: {name!r} must be a {kind.__name__}, not {manifest.get(name)!r}")
    if not all(map(_is_step, manifest["provenance"])) or not all(map(_is_file, manifest["files"].values())):
        raise ValueError(f"{MANIFEST} is damaged: a step of the provenance or the sha256 of a file is missing")
    last = last_step(manifest)
    config = last.get("config", {})
    told = {"method": last.get("selector"), "config": config, "seed": config.get("seed")}
    for name, value in told.items():
        if manifest.get(name) != value:
            raise ValueError(f"{MANIFEST} says {name} {manifest.get(name)!r}, its provenance {value!r}")
    return manifest


def last_step(manifest: Mapping[str, Any]) -> dict[str, Any]:
    """The last step of the provenance; empty where it has none."""
    steps: list[dict[str, Any]] = manifest["provenance"]
    return steps[-1] if steps else {}


def read_contents(snapshot: Snapshot, manifest: Mapping[str, Any]) -> Contents:
    """Download every file that the manifest names, hash it, and read what it holds.

    Raises:
        ConnectionError, FileNotFoundError, PermissionError: as `Snapshot.open`.
    """
    files: dict[str, dict[str, Any]] = manifest["files"]
    strangers = [name for name in snapshot.files if _config_of(name) and name not in files]
    problems = [f"{name} would be loaded, but was not published" for name in strangers]
    tables: dict[str, list[Any]] = {config: [] for config in PATTERNS}
    unreadable = dict.fromkeys(PATTERNS.keys() - set(map(_config_of, files)), "no file of it was published")
    hidden = not sys.stderr.isatty()
    total = sum(entry["bytes"] for entry in files.values())
    with tqdm(total=total, desc="Verifying", unit="B", unit_scale=True, leave=False, disable=hidden) as bar:
        for name, entry in files.items():
            config = _config_of(name) or name
            if name not in snapshot.files:
                problems.append(f"{name} is missing")
                unreadable[config] = f"{name} is missing"
                continue
            with snapshot.fetched(name) as path:
                if sha256_of(path) != entry["sha256"]:
                    problems.append(f"{name} is not the file that was published")
                try:
                    if config == SELECTED:
                        tables[config] += _digested(path, manifest["columns"])
                    elif config == SCORES:
                        tables[config].append(pq.ParquetFile(path).read())
                except _UNREADABLE as error:
                    unreadable[config] = f"{name} cannot be read: {error}"
            bar.update(entry["bytes"])
    scores: Scores | None = None
    if SCORES not in unreadable:
        try:
            scores = Scores.from_table(pa.concat_tables(tables[SCORES]), last_step(manifest).get("details", {}))
        except _UNREADABLE as error:
            unreadable[SCORES] = str(error)
    selected: Selected | None = None
    if SELECTED not in unreadable:
        ids, digests = zip(*tables[SELECTED], strict=True)
        selected = Selected(np.concatenate(ids), np.concatenate(digests))
    return Contents(tuple(problems), scores, selected, unreadable)


def _digested(path: Path, columns: list[str]) -> Iterator[Selected]:
    """Ids and hashes of the rows of a file, a row group at a time: some 32 MiB."""
    file = pq.ParquetFile(path)
    schema = Features.from_arrow_schema(file.schema_arrow).arrow_schema
    if sorted(schema.names) != sorted(columns):
        raise ValueError(f"it has the columns {schema.names}, but {columns} were published")
    yield Selected(np.zeros(0, np.int64), np.zeros(0, "S32"))
    for group in range(file.num_row_groups):
        rows = Dataset(table_cast(file.read_row_group(group), schema))
        yield Selected(read_example_ids(rows), row_digests(rows, hashed_columns(columns)).astype("S32"))


def _config_of(name: str) -> str | None:
    return next((config for config, pattern in PATTERNS.items() if fnmatch(name, pattern)), None)


def _is_step(step: Any) -> bool:
    return isinstance(step, dict) and all(isinstance(step.get(name, {}), dict) for name in _OF_A_STEP)


def _is_file(entry: Any) -> bool:
    return isinstance(entry, dict) and isinstance(entry.get("sha256"), str) and isinstance(entry.get("bytes"), int)
