"""Whether the rows of a source dataset, loaded again, are those that were selected from."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import Any

import numpy as np
from datasets import Dataset, load_dataset
from datasets.exceptions import DatasetsError
from tqdm.auto import tqdm

from hf_datasel.cards.hub_names import hub_id
from hf_datasel.content import row_digests
from hf_datasel.example_ids import read_example_ids
from hf_datasel.fingerprint import EXAMPLE_ID
from hf_datasel.hub.reading import Snapshot
from hf_datasel.hub.scores import Scores
from hf_datasel.hub.tables import hashed_columns, read_batches


def compare_source(
    source: Mapping[str, Any], columns: list[str], scores: Scores, token: str | bool | None
) -> tuple[bool | None, str]:
    """Load the source at its revision and compare every row's content with its hash.

    Args:
        source: "id", "revision", "config" and "split", as the manifest has them.
        columns: of the rows that were published.
        scores: what was published of every row.
        token: of the Hub.

    Returns:
        Whether all are the same, None where no source on the Hub is named, and what was found.

    Raises:
        PermissionError, ConnectionError: the source cannot be read.
    """
    name, revision, config, split = (source.get(key) for key in ("id", "revision", "config", "split"))
    if not isinstance(name, str) or hub_id(name) is None or not split:
        return None, f"the manifest names no split of a dataset on the Hub as its source, but {name!r}"
    try:
        commit = Snapshot.open(name, revision, token).commit
        dataset = load_dataset(name, config, split=split, revision=commit, token=token)
        ids = read_example_ids(dataset) if EXAMPLE_ID in dataset.column_names else np.arange(len(dataset))
    except (PermissionError, ConnectionError):
        raise
    except (OSError, ValueError, LookupError, DatasetsError) as error:
        return False, f"the source cannot be loaded: {' '.join(str(error).split())}"
    where = f"{name} ({split}) at {commit[:12]}" + ("" if revision else ", its head, as no revision was recorded,")
    hashed = hashed_columns(columns)
    missing = [column for column in hashed if column not in dataset.column_names]
    if missing:
        return False, f"{where} has no columns {missing}: the rows were published with others than it has"
    order = np.argsort(ids, kind="stable")
    if not np.array_equal(ids[order], scores.ids):
        return False, f"{where} has {len(ids):,} rows, and others than the {len(scores.ids):,} that were published"
    start, unlike = 0, 0
    first: int | None = None
    with tqdm(total=len(ids), desc="Source", unit="row", leave=False, disable=not sys.stderr.isatty()) as bar:
        for table in read_batches(dataset, order):
            here = slice(start, start + len(table))
            differs = row_digests(Dataset(table), hashed).astype("S32") != scores.digests[here]
            if first is None and differs.any():
                first = int(scores.ids[here][np.argmax(differs)])
            unlike += int(differs.sum())
            start += len(table)
            bar.update(len(table))
    if first is not None:
        return False, f"{unlike:,} of {len(ids):,} rows of {where} have other content, example {first} the first"
    return True, f"all {len(ids):,} rows of {where} have the content that was hashed"
