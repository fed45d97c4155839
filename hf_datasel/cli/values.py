"""Values of options that are more than a word or a number."""

from __future__ import annotations

import json
from typing import Any

from hf_datasel.cli import UsageError
from hf_datasel.functional.thresholds import RULES


def parse_budget(text: str | None, option: str = "--budget") -> int | float:
    """A budget as the API takes it: an int of examples, or a float share.

    Example:
        >>> parse_budget("3000"), parse_budget("0.11"), parse_budget("1.0")
        (3000, 0.11, 1.0)
    """
    if text is None:
        raise UsageError(f"the following arguments are required: {option}")
    for kind in (int, float):
        try:
            return kind(str(text))  # Python may say 0.11 itself, of which int() would make 0
        except ValueError:
            continue
    raise UsageError(f"argument {option}: {text!r} is neither a number of examples (3000) nor a share (0.11)")


def parse_threshold(text: str | None) -> float | str | None:
    """A threshold as the API takes it: a number, or the name of a rule.

    Example:
        >>> parse_threshold("0.5"), parse_threshold("conformal"), parse_threshold(None)
        (0.5, 'conformal', None)
    """
    if text is None or text in RULES:
        return text
    try:
        return float(text)
    except ValueError:
        raise UsageError(f"argument --threshold: {text!r} is neither a number nor one of {', '.join(RULES)}") from None


def parse_object(given: Any, option: str, example: str = '{"name": 1}') -> dict[str, Any] | None:
    """A JSON object as a dictionary; a YAML file gives the dictionary itself.

    Example:
        >>> parse_object('{"en": 1}', "--group_weights")
        {'en': 1}
    """
    if given is None or isinstance(given, dict):
        return given
    try:
        value = json.loads(given)
    except json.JSONDecodeError as error:
        raise UsageError(f"argument {option}: {given!r} is no JSON: {error}") from error
    if not isinstance(value, dict):
        raise UsageError(f"argument {option}: {given!r} is no JSON object such as {example}")
    return value
