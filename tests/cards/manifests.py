"""Manifests of published selections, as `selection/manifest.json` holds them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from hf_datasel.report.picture import Picture

COMMIT = "0123456789abcdef0123456789abcdef01234567"
EVIL = "</td></table><script>alert('x')</script>\n\n# owned | `x` [y](javascript:z) ```"


def step(selector: str, config: dict[str, Any] | None = None, kept: int = 11, candidates: int = 100) -> dict[str, Any]:
    """A step of a provenance."""
    return {
        "selector": selector,
        "config": {"budget": 0.11, "seed": 42, **(config or {})},
        "num_candidates": candidates,
        "num_kept": kept,
        "evidence": {"num_examples": 100, "metric": "loss", "steps": [2, 4]},
        "details": {},
        "warnings": [],
        "versions": {"hf_datasel": "0.1.0"},
    }


def manifest(*steps: dict[str, Any], **changes: Any) -> dict[str, Any]:
    """A manifest of these steps, by default one of S2L."""
    steps = steps or (step("s2l", {"num_clusters": 100}),)
    return {
        "format": "hf_datasel.published_selection",
        "version": 1,
        "source": {"id": "lab/math", "revision": COMMIT, "config": "main", "split": "train", "fingerprint": None},
        "method": steps[-1]["selector"],
        "config": steps[-1]["config"],
        "seed": 42,
        "provenance": list(steps),
        "models": [{"model": "EleutherAI/pythia-70m", "num_parameters": 70_000_000}],
        "embedder": None,
        "counts": {"source": 100, "candidates": 100, "kept": steps[-1]["num_kept"]},
        "columns": ["completion", "example_id", "prompt"],
        "row_hash": "blake2b-128/1",
        "versions": {"hf_datasel": "0.1.0", "datasets": "5.2.0", "huggingface_hub": "2.4.0"},
        "files": {},
        **changes,
    }


def picture(name: str = "scores", title: str = "Scores", alt: str = "A histogram.") -> Picture:
    """A picture that is only talked of."""
    return Picture(Path(f"pictures/{name}.png"), Path(f"pictures/{name}.csv"), title, alt)
