"""The recipe beside a published selection: how to make it again, without secrets."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from hf_datasel.hub.scrub import without_secrets
from hf_datasel.selection import Selection


def recipe_text(recipe: Mapping[str, Any] | str | Path | None, selection: Selection) -> str:
    """The recipe as YAML, without what looks like a secret; comments do not survive, for they may hold one.

    Args:
        recipe: a mapping, or the path of a YAML file. None stands for what the Selection itself tells: its steps.
        selection: whose recipe it is.

    Raises:
        FileNotFoundError: no file is at the path.
        ValueError: the file is no YAML, holds no mapping, or the mapping holds what YAML cannot.

    Example:
        >>> import numpy as np
        >>> selection = Selection(candidate_ids=np.array([0]), kept=np.array([True]))
        >>> print(recipe_text({"method": "s2l", "hub_token": "x", "budget": 0.1}, selection), end="")
        method: s2l
        budget: 0.1
    """
    if recipe is None:
        content: Any = {
            "steps": [{key: step.get(key) for key in ("selector", "config")} for step in selection.provenance]
        }
    elif isinstance(recipe, Mapping):
        content = dict(recipe)
    else:
        content = _read(Path(recipe))
    try:
        return str(yaml.safe_dump(without_secrets(content), sort_keys=False, allow_unicode=True))
    except yaml.YAMLError as error:
        raise ValueError(f"The recipe holds what YAML cannot: {_line(error)}. Pass plain values.") from error


def _read(path: Path) -> dict[str, Any]:
    if not path.is_file():
        raise FileNotFoundError(f"There is no recipe at {path}.")
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ValueError(f"The recipe {path} is no YAML: {_line(error)}.") from error
    if not isinstance(content, dict):
        raise ValueError(f"The recipe {path} is no mapping of options, as in `method: s2l`, but {content!r:.60}.")
    return content


def _line(error: Exception) -> str:
    return " ".join(str(error).split())
