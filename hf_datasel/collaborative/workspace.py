"""The directory of a run: taken up by a run of the same settings, refused to any other.

clues.json          the settings
parties/<name>/     one party's own files (party.py)
round.message       FedAvg: where the rounds stand
adapter/            the merged adapter, as PEFT reads it
report.json         what was done, and what was sent
"""

from __future__ import annotations

import hashlib
import json
import shutil
from pathlib import Path
from typing import Any

from hf_datasel.storage import read_json, write_json

MARKER = "clues.json"
OWN = ("parties", "round.message", "adapter", "report.json", MARKER)


def claim(directory: Path, settings: dict[str, Any], *, overwrite: bool) -> None:
    """Mark a directory as that of a run of these settings.

    Args:
        directory: made if it is not there.
        settings: JSON values.
        overwrite: throw away what a run of other settings left.

    Raises:
        ValueError: it holds a run of other settings (named), or files of such a name that no run can be known of.
    """
    directory.mkdir(parents=True, exist_ok=True)
    if overwrite:
        for name in OWN:
            path = directory / name
            if path.is_dir():
                shutil.rmtree(path)
            else:
                path.unlink(missing_ok=True)
    plain = json.loads(json.dumps(settings))
    if (directory / MARKER).is_file():
        before = read_json(directory / MARKER, "run of clues")
        other = sorted(key for key in plain.keys() | before.keys() if plain.get(key) != before.get(key))
        problem = f"other {', '.join(other)}" if other else None
    else:
        taken = [name for name in OWN if (directory / name).exists()]
        problem = f"{taken[0]} of unknown settings" if taken else None
    if problem is not None:
        raise ValueError(
            f"{directory} holds another run of clues ({problem}): choose another output_dir, or pass overwrite=True "
            "to throw it away."
        )
    if not (directory / MARKER).is_file():
        write_json(directory / MARKER, plain)


def digest(payload: bytes) -> str:
    """A name for public rows."""
    return hashlib.sha256(payload).hexdigest()[:32]
