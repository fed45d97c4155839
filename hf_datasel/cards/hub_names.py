"""Whether a name leads to the Hub."""

from __future__ import annotations

import os
import re
from typing import Any

from huggingface_hub.errors import HFValidationError
from huggingface_hub.utils import validate_repo_id

from hf_datasel.cards.text import escape

_COMMIT = re.compile(r"[0-9a-f]{7,40}")


def hub_id(name: Any) -> str | None:
    """The name where it can be a repo's id on the Hub; None for a path, and for what is a folder here.

    Example:
        >>> hub_id("Qwen/Qwen3-0.6B"), hub_id("gpt2"), hub_id("/data/model"), hub_id(""), hub_id(None)
        ('Qwen/Qwen3-0.6B', 'gpt2', None, None, None)
    """
    if not isinstance(name, str) or not name or os.path.exists(name):
        return None
    try:
        validate_repo_id(name)
    except HFValidationError:
        return None
    return name


def repo_link(name: str, *, dataset: bool = False, revision: str | None = None) -> str:
    """A link to a repo whose id `hub_id` has let pass, at a commit where one is named.

    Example:
        >>> repo_link("gpt2"), repo_link("me/set", dataset=True, revision="0123abc")
        ('[gpt2](https://huggingface.co/gpt2)', '[me/set](https://huggingface.co/datasets/me/set/tree/0123abc)')
    """
    at = f"/tree/{revision}" if revision is not None and _COMMIT.fullmatch(revision) else ""
    return f"[{escape(name)}](https://huggingface.co/{'datasets/' if dataset else ''}{name}{at})"


def short_name(name: str) -> str:
    """The last part of a path, so that a card tells nothing of the folders of who rendered it."""
    return re.split(r"[/\\]", name.rstrip("/\\"))[-1]
