"""The YAML above a curated dataset's card."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

from huggingface_hub import DatasetCard

from hf_datasel.cards.hub_names import hub_id

SELECTED, SCORES = "selected", "scores"
CONFIGS: tuple[dict[str, Any], ...] = (
    {"config_name": SELECTED, "default": True, "data_files": [{"split": "train", "path": "data/selected-*.parquet"}]},
    {"config_name": SCORES, "data_files": [{"split": "train", "path": "scores/scores-*.parquet"}]},
)
TAGS = ("hf-datasel", "data-selection")
_SIZES = ("1K", "10K", "100K", "1M", "10M", "100M", "1B", "10B", "100B", "1T")
_FOR_TEXT_GENERATION = ({"messages"}, {"prompt", "completion"})


def metadata(
    manifest: Mapping[str, Any], *, names: Sequence[str], previous: DatasetCard | None, license: str | None
) -> dict[str, Any]:
    """What the Hub reads: configs, source, size, task where it is known, tags, and a block of our own.

    Args:
        names: of the selectors, in order.
        previous: the card in the repo, whose other keys, tags and configs are kept.
    """
    before: dict[str, Any] = {} if previous is None else previous.data.to_dict()
    source, counts = manifest.get("source") or {}, manifest.get("counts") or {}
    origin = hub_id(source.get("id"))
    earlier = before.get("hf_datasel")
    chosen_before = _list(earlier.get("chain")) if isinstance(earlier, dict) else []
    tags = [tag for tag in _list(before.get("tags")) if tag not in chosen_before]
    columns = set(manifest.get("columns") or ())
    known_task = ["text-generation"] if any(known <= columns for known in _FOR_TEXT_GENERATION) else None
    ours = {
        "license": before.get("license") if license is None else license,
        "task_categories": before.get("task_categories", known_task),
        "size_categories": None if counts.get("kept") is None else [size_category(int(counts["kept"]))],
        "source_datasets": [origin] if origin else None,
        "tags": list(dict.fromkeys([*TAGS, *names, *tags])),
        "configs": [*CONFIGS, *_others(before.get("configs"))],
        # what is said there of a config of ours is stale, which makes `load_dataset` fail
        "dataset_info": _others(before.get("dataset_info")) or None,
        "hf_datasel": {
            "method": manifest.get("method"),
            "chain": list(names),
            "seed": manifest.get("seed"),
            "source": {name: source.get(name) for name in ("id", "revision", "config", "split")},
            "counts": dict(counts),
            "manifest": "selection/manifest.json",
            "version": (manifest.get("versions") or {}).get("hf_datasel"),
        },
    }
    kept = {key: value for key, value in before.items() if key not in ours}
    return {**{key: value for key, value in ours.items() if value is not None}, **kept}


def size_category(num_rows: int) -> str:
    """The Hub's name for so many rows.

    Example:
        >>> size_category(999), size_category(1000), size_category(25_000), size_category(10**13)
        ('n<1K', '1K<n<10K', '10K<n<100K', 'n>1T')
    """
    if num_rows < 1000:
        return "n<1K"
    for power, (low, high) in enumerate(pairwise(_SIZES)):
        if num_rows < 10 ** (4 + power):
            return f"{low}<n<{high}"
    return "n>1T"


def _others(entries: Any) -> list[dict[str, Any]]:
    """The user's configs; ours is the default one, so that the one called "default", which `datasets` takes for it as
    well, needs another name.
    """
    found = [entry for entry in _list(entries) if isinstance(entry, dict)]
    by_name = {entry.get("config_name", "default"): entry for entry in found}
    free = next(name for name in ("other", *(f"other{n}" for n in range(2, len(found) + 3))) if name not in by_name)
    return [
        {"config_name": free if name == "default" else name}
        | {key: value for key, value in entry.items() if key not in ("config_name", "default")}
        for name, entry in by_name.items()
        if name not in (SELECTED, SCORES)
    ]


def _list(content: Any) -> list[Any]:
    """YAML allows one value in place of a list of one."""
    return content if isinstance(content, list) else [] if content is None else [content]
