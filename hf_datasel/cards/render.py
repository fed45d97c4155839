"""A card from its metadata and its sections, and values from JSON as YAML can hold them."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from huggingface_hub.repocard_data import CardData

from hf_datasel.cards.text import escape

_LINE_ENDS = str.maketrans("\x85\u2028\u2029", "   ")


def assemble(data: Mapping[str, Any], title: str, sections: Mapping[str, Sequence[str]]) -> str:
    """A card's content: YAML without what is None, a title, and the sections that hold anything; "" has no heading."""
    blocks = [f"# {escape(title)}"]
    for heading, parts in sections.items():
        present = [part for part in parts if part]
        if present and heading:
            blocks.append(f"## {heading}")
        blocks += present
    header = CardData(**plain(data)).to_yaml(line_break="\n")
    return "\n\n".join([f"---\n{header}\n---", *blocks]) + "\n"


def plain(content: Any) -> Any:
    """A value as JSON has it: what JSON does not know becomes text, what is not finite None.

    Example:
        >>> plain({"a": (1, float("nan")), 2: {"b": object}})
        {'a': [1, None], '2': {'b': "<class 'object'>"}}
    """
    if isinstance(content, Mapping):
        return {_text(key): plain(value) for key, value in content.items()}
    if isinstance(content, (list, tuple)):
        return [plain(value) for value in content]
    if isinstance(content, float) and (content != content or content in (float("inf"), float("-inf"))):
        return None
    if isinstance(content, (bool, int, float)) or content is None:
        return content
    return _text(content)


def _text(content: Any) -> str:
    """Text that can be written: no unpaired surrogates, and no line ends that PyYAML writes and does not read."""
    return str(content).encode("utf-8", "replace").decode().translate(_LINE_ENDS)


def as_json(content: Any, **options: Any) -> str:
    """JSON of `plain(content)`."""
    return json.dumps(plain(content), ensure_ascii=False, **options)
