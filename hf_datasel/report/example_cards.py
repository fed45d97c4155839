"""An example as HTML: its messages, its prompt and completion, or its text, and what else is known of it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from hf_datasel.report.examples import Example
from hf_datasel.report.markup import FOLD_CHARACTERS, escape, text_block, value_text
from hf_datasel.report.rows import Rows

_SHORT = 120  # characters of a value that stands beside its name


def example_card(example: Example, row: Mapping[str, Any] | None, rows: Rows | None) -> str:
    """A card with the example's scores and its fields; without the row, only what the Selection says.

    Args:
        example: what was chosen.
        row: its columns by name, without media.
        rows: what the columns hold.
    """
    kind = "kept" if example.kept else "dropped"
    marks = [kind, example.reason]
    marks += [] if example.score is None else [f"score {example.score:.6g}"]
    marks += [] if example.cluster is None or example.cluster < 0 else [f"cluster {example.cluster}"]
    badges = "".join(f"<li>{escape(mark)}</li>" for mark in marks)
    fields = "" if row is None or rows is None else _fields(row, rows)
    return (
        f'<article class="example {kind}"><h3>Example {example.id}</h3><ul class="badges">{badges}</ul>'
        f"{fields}</article>"
    )


def _fields(row: Mapping[str, Any], rows: Rows) -> str:
    text = "".join(_field(name, row[name]) for name in rows.text)
    beside = [(name, value_text(row[name])) for name in rows.other]
    long = "".join(_field(name, row[name], _SHORT) for name, told in beside if len(told) > _SHORT)
    short = [(name, escape(told)) for name, told in beside if len(told) <= _SHORT]
    short += [(name, f"[{kind}, not shown]") for name, kind in rows.media.items()]
    listed = "".join(f'<div><dt>{escape(name)}</dt><dd dir="auto">{told}</dd></div>' for name, told in short)
    return text + long + (f'<dl class="beside">{listed}</dl>' if listed else "")


def _field(name: str, value: Any, fold: int = FOLD_CHARACTERS) -> str:
    if _is_conversation(value):
        turns = "".join(map(_turn, value))
        return f'<div class="field"><p class="name">{escape(name)}</p><ol class="turns">{turns}</ol></div>'
    return f'<div class="field"><p class="name">{escape(name)}</p>{text_block(value_text(value), fold)}</div>'


def _is_conversation(value: Any) -> bool:
    return (
        isinstance(value, list)
        and bool(value)
        and all(isinstance(message, dict) and {"content", "value"} & set(message) for message in value)
    )


def _turn(message: Mapping[str, Any]) -> str:
    role = message.get("role") or message.get("from") or "message"
    content = message.get("content", message.get("value"))
    parts = content if isinstance(content, list) else [content]
    shown = "".join(map(_part, parts))
    said = {
        name: value
        for name, value in message.items()
        if name not in ("role", "from", "content", "value") and value not in (None, [], {})
    }
    more = "".join(_field(name, value) for name, value in said.items())
    return f'<li><p class="role">{escape(value_text(role))}</p>{shown}{more}</li>'


def _part(part: Any) -> str:
    """A message's content, or one of the parts that it has where it holds images or sound."""
    if part is None:
        return ""
    if not isinstance(part, dict):
        return text_block(value_text(part))
    if isinstance(part.get("text"), str):
        return text_block(part["text"])
    return f'<p class="note">[{escape(value_text(part.get("type") or "part"))}, not shown]</p>'
