"""The directory of a quickstart: made once for one plan, continued by the same plan, refused to any other."""

import secrets
import shutil
from pathlib import Path
from typing import Any

from hf_datasel.quickstart.plan import Plan
from hf_datasel.storage import TEMPORARY_PREFIX, read_format, write_json
from hf_datasel.training.describe import versions

FORMAT, VERSION = "hf_datasel.quickstart", 1
_MANIFEST = "quickstart.json"
_WRITTEN = (
    *("trace", "influence", "influence.records", "influence.records.removed", "selection", "curated"),
    *("models", "runs", "figures", "results.json", "report.md"),
)


def open_workdir(path: Path, plan: Plan, *, overwrite: bool) -> Path:
    """Make `path` the directory of `plan`, or continue it.

    Args:
        overwrite: delete what an earlier quickstart wrote there; other files are never touched.

    Raises:
        FileExistsError: `path` is a file, or a directory with things in it that no quickstart wrote.
        ValueError: a quickstart with another plan or other versions wrote it; the differences are named.
    """
    manifest = path / _MANIFEST
    if path.exists() and not path.is_dir():
        raise FileExistsError(f"output_dir {path} is a file. Name a directory.")
    if path.is_dir() and not manifest.is_file() and _strangers(path):
        raise FileExistsError(
            f"output_dir {path} holds {_strangers(path)[0]!r}, which no quickstart wrote. Name a new or empty one."
        )
    if overwrite and manifest.is_file():
        for name in (*_WRITTEN, _MANIFEST):  # the manifest last: cut short, this is still a quickstart's directory
            _delete(path / name)
    wanted = {"plan": plan.to_dict(), "versions": versions()}
    if manifest.is_file():
        found = read_format(manifest, "quickstart", FORMAT, VERSION)
        differences = [
            *_differences(found["plan"], wanted["plan"]),
            *_differences(found["versions"], wanted["versions"], "version of "),
        ]
        if differences:
            raise ValueError(
                f"output_dir {path} holds a quickstart that differs from this one ({'; '.join(differences)}). "
                "Continue it with the options it began with, name another output_dir, or pass overwrite to start anew."
            )
        return path
    path.mkdir(parents=True, exist_ok=True)
    write_json(manifest, {"format": FORMAT, "version": VERSION, **wanted})
    return path


def _strangers(path: Path) -> list[str]:
    return sorted(entry.name for entry in path.iterdir() if not entry.name.startswith(TEMPORARY_PREFIX))


def _delete(path: Path) -> None:
    """Out of the way in one rename, so that nothing is ever half there, then gone."""
    if path.is_dir() and not path.is_symlink():
        aside = path.with_name(f"{TEMPORARY_PREFIX}deleted-{secrets.token_hex(4)}")
        path.rename(aside)
        shutil.rmtree(aside)
    else:
        path.unlink(missing_ok=True)


def _differences(found: dict[str, Any], wanted: dict[str, Any], prefix: str = "") -> list[str]:
    names = sorted({*found, *wanted})
    return [
        f"{prefix}{name}: {found.get(name)} there, {wanted.get(name)} now"
        for name in names
        if found.get(name) != wanted.get(name)
    ]
