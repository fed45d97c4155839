"""The layout of a published selection, written by hand: what `verify` reads, and owes nothing to `push`."""

import hashlib
import io
import json
from functools import cache

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from datasets import Dataset

from hf_datasel.content import content_digest
from hf_datasel.selectors import S2LSelector, Strata
from hf_datasel.version import __version__
from tests.selectors.evidence import recorded

SELECTED, SCORES = "data/selected-00000-of-00001.parquet", "scores/scores-00000-of-00001.parquet"
CARD, MANIFEST = "README.md", "selection/manifest.json"
VERIFY = """
    from hf_datasel.hub.verify import verify_selection
    found = verify_selection(repo, **options)
    return found.commit, found.ok, {check.name: [check.ok, check.message] for check in found.checks}
"""
CARD_TEXT = """\
---
configs:
- config_name: selected
  default: true
  data_files:
  - split: train
    path: data/selected-*.parquet
- config_name: scores
  data_files:
  - split: train
    path: scores/scores-*.parquet
---
# Rows
"""


def published(dataset, selection, source=None):
    """The files of a repo by their paths, of a dataset with ids and a Selection of its rows."""
    ids = np.array(dataset["example_id"])
    order = np.argsort(ids)
    candidate = np.isin(ids[order], selection.candidate_ids)

    def spread(values, missing=None):
        found = dict(zip(selection.candidate_ids.tolist(), values, strict=True))
        return [found.get(example, missing) for example in ids[order].tolist()]

    scores = {
        "example_id": pa.array(ids[order], pa.int64()),
        "content_hash": [digests(dataset)[row] for row in order],
        "candidate": candidate,
        "kept": spread(selection.kept.tolist(), False),
    }
    if selection.scores is not None:
        scores["score"] = pa.array(spread(selection.scores.tolist()), pa.float32())
    if selection.clusters is not None:
        scores["cluster"] = pa.array(spread(selection.clusters.tolist(), -1), pa.int32())
    if selection.strata is not None:
        scores["stratum"] = spread([selection.stratum_names[code] for code in selection.strata])
    kept = dataset.select(np.flatnonzero(np.isin(ids, selection.ids)))
    files = {SELECTED: parquet(kept.with_format("arrow")[:]), SCORES: parquet(pa.table(scores))}
    last = selection.provenance[-1] if selection.provenance else {}
    manifest = {
        "format": "hf_datasel.published_selection",
        "version": 1,
        "source": source or {"id": None, "revision": None, "config": None, "split": None, "fingerprint": None},
        "method": last.get("selector"),
        "config": last.get("config", {}),
        "seed": last.get("config", {}).get("seed"),
        "provenance": list(selection.provenance),
        "models": [],
        "embedder": None,
        "counts": {"source": len(ids), "candidates": len(selection.candidate_ids), "kept": len(selection)},
        "columns": dataset.column_names,
        "row_hash": "blake2b-128/1",
        "versions": {"hf_datasel": __version__, "datasets": "5.2", "huggingface_hub": "2.4"},
    }
    return listed({**files, CARD: CARD_TEXT.encode(), MANIFEST: json.dumps(manifest).encode()})


@cache
def digests(dataset):
    """The content hash of every row, each a dataset of its own."""
    names = tuple(sorted(name for name in dataset.column_names if name != "example_id"))
    zero = np.zeros(1, np.int64)
    return [content_digest(dataset.select([row]), zero, names) for row in range(len(dataset))]


def listed(files):
    """The same files with a manifest that lists those of parquet as they are."""
    manifest = json.loads(files[MANIFEST])
    manifest["files"] = {
        name: {"sha256": hashlib.sha256(content).hexdigest(), "bytes": len(content)}
        for name, content in files.items()
        if name.endswith(".parquet")
    }
    return {**files, MANIFEST: json.dumps(manifest).encode()}


def parquet(table):
    file = io.BytesIO()
    pq.write_table(table, file, row_group_size=7)
    return file.getvalue()


def with_rows(files, name, change):
    """The files after `change` of a table's columns, a dictionary of lists, by somebody who mends the manifest too."""
    table = pq.read_table(io.BytesIO(files[name]))
    columns = table.to_pydict()
    change(columns)
    kinds = {field.name: field.type for field in table.schema}
    changed = pa.table({key: pa.array(values, kinds.get(key)) for key, values in columns.items()})
    return listed({**files, name: parquet(changed.replace_schema_metadata(table.schema.metadata))})


def with_manifest(files, change):
    """The files after `change` of the manifest's content."""
    manifest = json.loads(files[MANIFEST])
    change(manifest)
    return {**files, MANIFEST: json.dumps(manifest).encode()}


def rows_with_ids(num_rows, **columns):
    """A small dataset whose ids do not ascend."""
    order = np.random.default_rng(2).permutation(num_rows)
    texts = {"text": [f"row {row}" for row in order], "tokens": [[int(row)] * int(row % 3) for row in order]}
    return Dataset.from_dict({"example_id": order.tolist(), **texts, **columns})


def set_in(*path, value):
    def change(content):
        for key in path[:-1]:
            content = content[key]
        content[path[-1]] = value

    return change


def both_say(name, value):
    """In the manifest's own words and in its provenance."""

    def change(manifest):
        manifest["provenance"][-1]["config"][name] = manifest["config"][name] = value
        manifest["seed"] = manifest["config"]["seed"]

    return change


def chosen(selector, strata=False, within=None, **options):
    """What a selector keeps of the rows `ROWS`."""
    labels = Strata(IDS, [("few", "many", "many")[row % 3] for row in range(NUM_ROWS)]) if strata else None
    return selector(**options).select(recorded(selector, IDS, VALUES), strata=labels, within=within)


def verified(hub, client, files, ok, **options):
    """What is found of files in a new repo: the checks by name, which must be `ok` all together or not."""
    repo = hub.create(hub.new_id("set"))
    repo.commit(files)
    commit, all_hold, checks = client(VERIFY, repo=repo.id, options=options)
    assert commit == repo.head().oid
    assert all_hold == ok == all(held is not False for held, _ in checks.values())
    return checks


NUM_ROWS = 90
ROWS = rows_with_ids(NUM_ROWS)
IDS = np.arange(NUM_ROWS)
VALUES = np.random.default_rng(3).gamma(2.0, size=(NUM_ROWS, 4)).astype(np.float32)
FILES = published(ROWS, chosen(S2LSelector, strata=True, budget=20, num_clusters=4, seed=3))
