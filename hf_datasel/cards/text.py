"""Markdown that says what it was given: values escaped, tables, code.

A card is rendered by others (the Hub, GitHub, an editor), with HTML and perhaps mathematics switched on, so that text
from a dataset is never handed over as it is.
"""

from __future__ import annotations

import json
import re
import unicodedata
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

# What Markdown, its tables, HTML or the Hub's mathematics would take for more than a character.
_SPECIAL = {
    **{mark: f"\\{mark}" for mark in "`*_[]~#"},
    **{mark: f"&#{ord(mark)};" for mark in "\\$|"},
    **{"&": "&amp;", "<": "&lt;", ">": "&gt;"},
}
_TABLE = str.maketrans(_SPECIAL)
_PLAIN = re.compile(r"[\w./:=+@%,-]+(?: [\w./:=+@%,-]+)*", re.ASCII)
_UNSEEN = {"Cc", "Cs"}  # control characters and unpaired surrogates
_TURNING = set("\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")  # the direction of reading
NOTHING = "–"


def visible(text: object, limit: int | None = None) -> str:
    """A value as one line of characters that can be seen.

    Args:
        text: anything; `str` of it counts.
        limit: cut after so many characters, with an ellipsis.

    Runs of white space become one blank; control characters, unpaired surrogates and marks that turn the direction of
    reading become U+FFFD.

    Example:
        >>> visible("two\\nlines and\\ta bell\\x07"), visible("abcdef", limit=4)
        ('two lines and a bell�', 'abc…')
    """
    line = " ".join(str(text).split())
    line = "".join("\ufffd" if mark in _TURNING or unicodedata.category(mark) in _UNSEEN else mark for mark in line)
    return line if limit is None or len(line) <= limit else line[: max(0, limit - 1)].rstrip() + "…"


def escape(text: object, limit: int | None = None) -> str:
    """A value as Markdown that shows it, for the middle of a line or a table's cell; `visible` says what is shown.

    A web address in it may still become a link to itself, which Markdown has no way to forbid.

    Example:
        >>> escape("a|b <script> *x*")
        'a&#124;b &lt;script&gt; \\\\*x\\\\*'
    """
    return visible(text, limit).translate(_TABLE)


def code(text: object, limit: int | None = None) -> str:
    """A value as code in the middle of a line or a table's cell.

    Example:
        >>> code("num_clusters"), code("a`b")
        ('`num_clusters`', '<code>a\\\\`b</code>')
    """
    line = visible(text, limit)
    return f"`{line}`" if _PLAIN.fullmatch(line) else f"<code>{line.translate(_TABLE)}</code>"


def value(content: Any, limit: int = 200) -> str:
    """A setting as code: text as it is, everything else as JSON; a dash for None.

    Example:
        >>> value(0.11), value(["loss"]), value(None), value("qocs")
        ('`0.11`', '<code>\\\\["loss"\\\\]</code>', '–', '`qocs`')
    """
    if content is None:
        return NOTHING
    return code(content if isinstance(content, str) else json.dumps(content, ensure_ascii=False, default=str), limit)


def count(number: Any) -> str:
    """A number of rows with its thousands apart; a dash where it is not known.

    Example:
        >>> count(30000), count(None)
        ('30,000', '–')
    """
    return f"{number:,}" if isinstance(number, int) else NOTHING


def table(header: Sequence[str], rows: Sequence[Sequence[str]], *, numbers: int = 0) -> str:
    """A table of cells that are Markdown already; the last `numbers` columns are set to the right.

    Raises:
        ValueError: a row is not as long as the header, or a cell would end it (a line break, a bare pipe).

    Example:
        >>> print(table(["group", "rows"], [["a", "3"]], numbers=1))
        | group | rows |
        | --- | ---: |
        | a | 3 |
    """
    for row in (header, *rows):
        if len(row) != len(header) or any(mark in cell for cell in row for mark in "\n\r|"):
            raise ValueError(f"{list(row)!r} is no row of {len(header)} cells without line breaks and pipes.")
    rule = ["---"] * (len(header) - numbers) + ["---:"] * numbers
    return "\n".join(f"| {' | '.join(row)} |" for row in (header, rule, *rows))


def settings(values: Mapping[str, Any], what: str = "setting") -> str:
    """A table of names and values, without those that are None; "" where there are none.

    Example:
        >>> print(settings({"seed": 0, "train": {"max_steps": 3, "seed": None}}))
        | setting | value |
        | --- | --- |
        | `seed` | `0` |
        | `train max_steps` | `3` |
    """
    rows = [[code(name), value(one)] for name, one in flatten(values) if one is not None]
    return table([what, "value"], rows) if rows else ""


def flatten(values: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Names and values, those of mappings inside by joined names."""
    for name, one in values.items():
        if isinstance(one, Mapping):
            yield from flatten(one, f"{prefix}{name} ")
        else:
            yield f"{prefix}{name}", one


def in_list(items: Iterable[str]) -> str:
    """Bullets of items that are Markdown already; "" where there are none."""
    return "\n".join(f"- {item}" for item in items)


def fence(text: str, language: str = "") -> str:
    """A block of code, whatever backticks are in it."""
    ticks = max([2, *(len(run) for run in re.findall("`+", text))]) + 1
    return f"{'`' * ticks}{language}\n{text.strip()}\n{'`' * ticks}"


def between(text: str, start: str, end: str) -> str | None:
    """What stands between the first `start` and the `end` after it; None where one of them is missing."""
    _, opened, rest = text.partition(start)
    inner, closed, _ = rest.partition(end)
    return inner if opened and closed else None
