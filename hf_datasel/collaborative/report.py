"""What a run says of itself: its settings, and what it did."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any

from transformers import PreTrainedModel

from hf_datasel.collaborative.coordinator import Outcome
from hf_datasel.collaborative.party import PartyServer
from hf_datasel.selection import Selection

PAPER = "arXiv 2507.03004"
VALUES_MARKED = 64  # of each weight


def describe_model(model: str | PreTrainedModel) -> dict[str, Any]:
    """A model as far as JSON can say; of an object also a mark of its weights, so that another one is noticed."""
    if isinstance(model, str):
        return {"name": model}
    return {
        "name": getattr(model.config, "_name_or_path", "") or None,
        "model_type": model.config.model_type,
        "num_parameters": model.num_parameters(),
        "weights": _mark_weights(model),
    }


def _mark_weights(model: PreTrainedModel) -> str:
    """A digest of a few values of every weight."""
    seen = hashlib.sha256()
    for name, weight in model.named_parameters():
        values = weight.detach().reshape(-1)
        picked = values[:: max(1, values.numel() // VALUES_MARKED)][:VALUES_MARKED]
        seen.update(name.encode() + picked.float().cpu().numpy().tobytes())
    return seen.hexdigest()[:32]


def describe_selection(selection: Selection | None) -> str | None:
    """A name for the rows that a Selection keeps."""
    return None if selection is None else hashlib.sha256(selection.ids.tobytes()).hexdigest()[:32]


def make_report(
    settings: Mapping[str, Any],
    servers: Mapping[str, PartyServer],
    selections: Mapping[str, Selection],
    outcome: Outcome,
) -> dict[str, Any]:
    """Everything ``report.json`` holds.

    The counts and thresholds of the parties come from their own directories, as all are in this process; what had
    crossed is ``received``.
    """
    parties = {}
    for name, server in servers.items():
        selection = selections.get(name)
        last_step = selection.provenance[-1] if selection is not None and selection.provenance else {}
        details = last_step.get("details", {})
        parties[name] = {
            "num_rows": len(server.dataset),
            "num_kept": 0 if selection is None else len(selection),
            "takes_part": selection is not None,
            "threshold": details.get("threshold"),
            "rule": details.get("rule"),
        }
    threshold = outcome.threshold
    return {
        "method": "CLUES" if settings["selector"] else "no selection",
        "paper": PAPER,
        "settings": dict(settings),
        "parties": parties,
        "global_threshold": None
        if threshold is None
        else {"value": threshold.value, "rule": threshold.rule, "num_anchors": threshold.num_anchors},
        "lost_by_rank": outcome.lost or None,
        "received": outcome.received,
    }
