"""What is published of a Selection, as who reads it has it."""

import dataclasses
import json

from hf_datasel.selectors import SELECTORS
from hf_datasel.selectors.rederive import Published, rederive

CHOOSING_AGAIN = list(SELECTORS.values())


def published(selection):
    """As it comes back from files: JSON, and arrays of the declared types."""
    step = json.loads(json.dumps(selection.provenance[-1]))
    copies = {
        name: None if array is None else array.copy()
        for name, array in dataclasses.asdict(Published.of(selection)).items()
        if name in ("ids", "scores", "clusters", "codes")
    }
    return step, Published(**copies, stratum_names=tuple(step.get("stratum_names", ())), details=step["details"])


def again(selection):
    return rederive(*published(selection))
