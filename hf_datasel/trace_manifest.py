"""The files of a Trace other than its columns: `manifest.json`, `ids.npy` and the lists of unmeasurable ids."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hf_datasel.fingerprint import DatasetFingerprint
from hf_datasel.storage import atomic_directory, crc32, read_array, read_format, write_array, write_json

FORMAT, VERSION = "hf_datasel.trace", 1
NAME = "manifest.json"
MODES = ("probe", "in_run")


def new_manifest(
    ids: NDArray[np.int64],
    metric: str,
    mode: str,
    fingerprint: DatasetFingerprint | None,
    num_checkpoints: int | None,
    info: dict[str, Any] | None,
) -> dict[str, Any]:
    """The manifest of an empty Trace; raises ValueError where an argument makes no sense."""
    if not ids.size:
        raise ValueError("A Trace needs at least one example, but there are no ids.")
    if mode not in MODES:
        raise ValueError(f"mode must be one of {MODES}, not {mode!r}.")
    if num_checkpoints is not None and num_checkpoints < 1:
        raise ValueError(f"num_checkpoints must be at least 1, not {num_checkpoints}.")
    return {
        "format": FORMAT,
        "version": VERSION,
        "metric": metric,
        "mode": mode,
        "num_examples": len(ids),
        "ids_crc32": crc32(ids),
        "fingerprint": None if fingerprint is None else fingerprint.to_dict(),
        "num_checkpoints": num_checkpoints,
        "info": info or {},
        "unmeasurable": [],
        "finished": False,
    }


def create(path: Path, ids: NDArray[np.int64], manifest: dict[str, Any], *, overwrite: bool) -> None:
    """Make the directory of an empty Trace, whole or not at all."""
    with atomic_directory(path, what="Trace", marker=NAME, overwrite=overwrite) as building:
        (building / "columns").mkdir()
        write_array(building / "ids.npy", ids)
        write_json(building / NAME, manifest)


def read(path: Path) -> tuple[dict[str, Any], NDArray[np.int64], dict[str, NDArray[np.int64]]]:
    """The manifest, the ids, and the unmeasurable ids by reason; raises ValueError where a file is damaged."""
    manifest = read_format(path / NAME, "Trace", FORMAT, VERSION)
    try:
        ids = _read_checked(
            path / "ids.npy", "Example ids of the Trace", manifest["num_examples"], manifest["ids_crc32"]
        )
        unmeasurable: dict[str, NDArray[np.int64]] = {}
        for entry in manifest["unmeasurable"]:
            marked = _read_checked(
                path / entry["file"], "Unmeasurable ids of the Trace", entry["count"], entry["crc32"]
            )
            before = unmeasurable.get(entry["reason"], np.empty(0, np.int64))
            unmeasurable[entry["reason"]] = np.union1d(before, marked)
    except KeyError as error:
        raise ValueError(f"{path / NAME} is damaged: it has no {error}. Record the Trace again.") from error
    return manifest, ids, unmeasurable


def write(path: Path, manifest: dict[str, Any]) -> None:
    """Replace the manifest, whole or not at all."""
    write_json(path / NAME, manifest)


def add_unmeasurable(path: Path, manifest: dict[str, Any], ids: NDArray[np.int64], reason: str) -> dict[str, Any]:
    """Store more unmeasurable ids and return the manifest that names them; the manifest's rename commits them."""
    file = f"unmeasurable-{len(manifest['unmeasurable']):04d}.npy"
    write_array(path / file, ids)
    entry = {"reason": reason, "file": file, "count": len(ids), "crc32": crc32(ids)}
    manifest = {**manifest, "unmeasurable": [*manifest["unmeasurable"], entry]}
    write(path, manifest)
    return manifest


def _read_checked(path: Path, what: str, count: int, checksum: int) -> NDArray[np.int64]:
    array = np.array(read_array(path, what, "int64", (count,)))
    if crc32(array) != checksum:
        raise ValueError(f"{what}: {path} does not hold what was written with the manifest. Record the Trace again.")
    return array
