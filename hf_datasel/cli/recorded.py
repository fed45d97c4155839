"""What was recorded, from the directory that `--trace_dir` names."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from hf_datasel.artifact import MANIFEST
from hf_datasel.storage import read_json

if TYPE_CHECKING:
    from hf_datasel import Embeddings, Selection, Trace, Valuation


def load_recorded(path: str, selection: Selection | None = None) -> Trace | Valuation | Embeddings:
    """The Trace, Valuation or Embeddings at a path, whichever its manifest says it is.

    Where the Selection was made by SHED, a Trace of gradients becomes the values that it was read as.

    Raises:
        FileNotFoundError: nothing of the kind is there.
        ValueError: it is damaged, incomplete, or something else.
    """
    from hf_datasel import Embeddings, Trace, Valuation, embeddings, trace_manifest, valuation

    kinds: dict[str, type[Trace] | type[Valuation] | type[Embeddings]] = {
        trace_manifest.FORMAT: Trace,
        valuation.FORMAT.name: Valuation,
        embeddings.FORMAT.name: Embeddings,
    }
    place = Path(path).expanduser()
    said = read_json(place / MANIFEST, "trace").get("format")
    if said not in kinds:
        raise ValueError(f"--trace_dir {path} holds {said!r}, which is neither a trace, a valuation, nor embeddings")
    recorded = kinds[said].load(place)
    by_shed = selection is not None and selection.provenance and selection.provenance[-1].get("selector") == "shed"
    return Valuation.from_trace(recorded) if by_shed and isinstance(recorded, Trace) else recorded
