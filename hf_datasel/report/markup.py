"""Small pieces of HTML: text that cannot be markup, long texts that fold, tables."""

from __future__ import annotations

import html
import json
import re
from collections.abc import Iterable, Sequence
from typing import Any

# Controls, directions, invisible and impossible characters: what could hide or turn around what stands beside it.
_ODD = re.compile(
    "[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\xad\u061c\u200b\u200e\u200f\u2028-\u202e\u2060-\u2069\ufeff\ufff9-\ufffb"
    "\ud800-\udfff\ufdd0-\ufdef\ufffe\uffff\U000e0000-\U000e007f]"
)
FOLD_CHARACTERS, FOLD_LINES, EXCERPT = 600, 12, 280
MOST_CHARACTERS = 20_000  # of one text; the page stays readable, and says what it leaves out


def escape(text: str) -> str:
    """Text as HTML, whatever it holds; odd characters are shown by their number.

    Example:
        >>> escape("<b> & \\u202e")
        '&lt;b&gt; &amp; <span class="odd">U+202E</span>'
    """
    return _ODD.sub(r'<span class="odd">\g<0></span>', html.escape(_one_ending(text))).translate(_Numbers())


def attribute(text: str) -> str:
    """Text as the value of a quoted attribute."""
    return html.escape(_one_ending(text)).translate(_Numbers())


class _Numbers(dict[int, str]):
    """`U+202E` for every odd character, and nothing for the others."""

    def __missing__(self, code: int) -> str:
        return f"U+{code:04X}" if _ODD.match(chr(code)) else chr(code)


def text_block(text: str, fold: int = FOLD_CHARACTERS) -> str:
    """A text as it stands, folded behind its beginning where it has more than `fold` characters or 12 lines."""
    whole = text[:MOST_CHARACTERS]
    left_out = len(text) - len(whole)
    more = f'<p class="note">… and {left_out:,} more characters</p>' if left_out else ""
    block = f'<div class="text" dir="auto">{escape(whole)}</div>{more}'
    if len(text) <= fold and text.count("\n") <= FOLD_LINES:
        return block
    excerpt = " ".join(text[: min(fold, EXCERPT)].split())
    return (
        f'<details><summary><span class="text excerpt" dir="auto">{escape(excerpt)} …</span> '
        f'<span class="more">all {len(text):,} characters</span></summary>{block}</details>'
    )


def value_text(value: Any) -> str:
    """What is no string, as text: JSON where it can be, and bytes by their number only.

    Example:
        >>> value_text(None), value_text(0.25), value_text({"a": [1, b"xy"]})
        ('none', '0.25', '{"a": [1, "[2 bytes]"]}')
    """
    if value is None:
        return "none"
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=_plain)


def table(caption: str, header: Sequence[str], rows: Iterable[Sequence[str]], *, numbers: bool = False) -> str:
    """A table whose first column names its rows; cells are HTML already.

    Args:
        caption: what it shows, as text.
        header: names of the columns, as text.
        rows: cells.
        numbers: all cells but the first are numbers, and stand to the right.
    """
    head = "".join(f'<th scope="col">{escape(name)}</th>' for name in header)
    body = "".join(
        f'<tr><th scope="row">{first}</th>{"".join(f"<td>{cell}</td>" for cell in rest)}</tr>' for first, *rest in rows
    )
    kind = ' class="numbers"' if numbers else ""
    return (
        f'<div class="wide" role="region" tabindex="0" aria-label="{attribute(caption)}"><table{kind}>'
        f"<caption>{escape(caption)}</caption><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>"
    )


def _one_ending(text: str) -> str:
    return text.replace("\r\n", "\n").replace("\r", "\n")


def _plain(value: Any) -> Any:
    if isinstance(value, bytes):
        return f"[{len(value):,} bytes]"
    return value.tolist() if hasattr(value, "tolist") else str(value)
