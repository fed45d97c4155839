"""Base models of the study's parts: each is made once, whole or not at all."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from filelock import FileLock
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from hf_datasel.storage import atomic_directory

MODEL = "config.json"  # the file that every model has


def make_once(place: Path, make: Callable[[], tuple[PreTrainedModel, PreTrainedTokenizerBase]]) -> None:
    """Leave a model and its tokenizer at `place`, unless they are there, or another process is making them."""
    place.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(place.with_name(f".{place.name}.lock")):
        if (place / MODEL).is_file():
            return
        with atomic_directory(place, what="model", marker=MODEL, overwrite=False) as building:
            for one in make():
                one.save_pretrained(building)
