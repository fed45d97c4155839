"""The folder of a comparison: made once, continued by the same comparison, refused to any other.

Methods, budgets and repetitions may be added: what is there already is kept. All else that decides a number stays.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from hf_datasel.compare.comparison import REPORT, RESULT
from hf_datasel.compare.jobs import CELLS, SELECTIONS
from hf_datasel.compare.plan import Plan
from hf_datasel.ledger import SHOWN, differences
from hf_datasel.storage import read_format, write_json

FORMAT, VERSION = "hf_datasel.compare", 1
MANIFEST, EVIDENCE = "comparison.json", "evidence"


def claim(root: Path, plan: Plan, settings: Mapping[str, Any], *, overwrite: bool) -> None:
    """Make ``root`` the folder of a comparison, or continue it.

    Args:
        root: the folder.
        plan: whose methods keep the meaning that their labels had before.
        settings: all else that decides the numbers, as JSON values.
        overwrite: throw away what another comparison left; other files are never touched.

    Raises:
        FileExistsError: something stands in the way that no comparison wrote.
        ValueError: another comparison's folder; names what differs.
    """
    manifest = root / MANIFEST
    if overwrite and manifest.is_file():
        for name in (CELLS, SELECTIONS, EVIDENCE, REPORT):
            shutil.rmtree(root / name, ignore_errors=True)
        (root / RESULT).unlink(missing_ok=True)
        manifest.unlink()  # the last: cut short, this is still a comparison's folder
    strangers = [name for name in (CELLS, SELECTIONS, EVIDENCE, RESULT) if (root / name).exists()]
    if strangers and not manifest.is_file():
        raise FileExistsError(f"{root} holds {strangers[0]!r}, which no comparison wrote: choose another output_dir.")
    wanted = json.loads(json.dumps({"settings": settings, "methods": plan.describe()["methods"]}))
    known: dict[str, Any] = {}
    if manifest.is_file():
        found = read_format(manifest, "comparison", FORMAT, VERSION)
        known = found["methods"]
        same = {label: known[label] for label in wanted["methods"].keys() & known.keys()}
        there = {"settings": found["settings"], "methods": same}
        here = {"settings": wanted["settings"], "methods": {label: wanted["methods"][label] for label in same}}
        odd = [one.removeprefix("settings.") for one in differences(there, here)]
        if odd:
            more = f" and {len(odd) - SHOWN} more" if len(odd) > SHOWN else ""
            raise ValueError(
                f"{root} holds another comparison: {', '.join(odd[:SHOWN])}{more}. Continue it with what it began "
                "with, choose another output_dir, or throw it away with selection_overwrite=True."
            )
    root.mkdir(parents=True, exist_ok=True)
    write_json(manifest, {"format": FORMAT, "version": VERSION, **wanted, "methods": {**known, **wanted["methods"]}})
