"""`selection/manifest.json`: what was selected from what, by what, and which files hold it."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import datasets
import huggingface_hub

from hf_datasel.hub.scrub import without_secrets
from hf_datasel.hub.source import SourceDataset
from hf_datasel.selection import Selection
from hf_datasel.version import __version__

FORMAT, VERSION = "hf_datasel.published_selection", 1
ROW_HASH = "blake2b-128/1"  # hf_datasel.content.row_digests over the columns but the ids, sorted
_OF_A_MODEL = ("model", "model_type", "revision", "num_parameters", "digest", "hash", "tokenizer")


def make_manifest(
    selection: Selection,
    source: SourceDataset | None,
    fingerprint: Mapping[str, Any] | None,
    evidence: Any,
    *,
    num_rows: int,
    columns: Sequence[str],
    files: Mapping[str, Path],
    assets: Sequence[str],
) -> dict[str, Any]:
    """The manifest, without what looks like a secret; nothing in it depends on when it was made.

    Args:
        selection: what is published.
        source: where its source can be had again, where known.
        fingerprint: of the source, as `DatasetFingerprint.to_dict` gives it.
        evidence: what the Selection was made from, where it is at hand.
        num_rows: of the source.
        columns: of the config `selected`.
        files: the parquet files by their paths in the repo.
        assets: paths in the repo of the pictures and their numbers.
    """
    steps = without_secrets(list(selection.provenance))
    last: dict[str, Any] = steps[-1] if steps else {}
    config = last.get("config", {})
    return {
        "format": FORMAT,
        "version": VERSION,
        "source": {**(source or SourceDataset()).to_dict(), "fingerprint": fingerprint},
        "method": last.get("selector"),
        "config": config,
        "seed": config.get("seed"),
        "provenance": steps,
        "models": without_secrets(_models(evidence)),
        "embedder": without_secrets(_embedder(evidence, last)),
        "counts": {"source": num_rows, "candidates": len(selection.candidate_ids), "kept": len(selection)},
        "columns": list(columns),
        "row_hash": ROW_HASH,
        "versions": {
            "hf_datasel": __version__,
            "datasets": datasets.__version__,
            "huggingface_hub": huggingface_hub.__version__,
        },
        "files": {name: {"sha256": sha256_of(path), "bytes": path.stat().st_size} for name, path in files.items()},
        "assets": list(assets),
    }


def is_ours(manifest: Any) -> bool:
    """Whether it is the manifest of a published selection, of any version."""
    return isinstance(manifest, dict) and manifest.get("format") == FORMAT


def sha256_of(path: Path) -> str:
    """SHA-256 of a file's bytes, hexadecimal."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _models(evidence: Any) -> list[dict[str, Any]]:
    """What a Trace or a Valuation says of the model that it was recorded with."""
    info = getattr(evidence, "info", None) or {}
    told = {key: info[key] for key in _OF_A_MODEL if info.get(key) is not None}
    return [told] if "model" in told or "model_type" in told else []


def _embedder(evidence: Any, last: Mapping[str, Any]) -> dict[str, Any] | None:
    """What made the embeddings, as the evidence says it, or the last step's provenance."""
    info = getattr(evidence, "info", None) or {}
    told = getattr(evidence, "embedder", None) or info.get("embedder") or (last.get("evidence") or {}).get("embedder")
    return dict(told) if isinstance(told, Mapping) else None
