"""The parts of a report's page, each as HTML."""

from __future__ import annotations

import base64
import inspect
import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from hf_datasel.example_ids import member_mask
from hf_datasel.report.example_cards import example_card
from hf_datasel.report.examples import Example
from hf_datasel.report.groups import fold, tally
from hf_datasel.report.markup import attribute, escape, table, text_block, value_text
from hf_datasel.report.material import Material
from hf_datasel.report.picture import Picture
from hf_datasel.report.rows import describe_columns
from hf_datasel.selection import Selection
from hf_datasel.selectors import SELECTORS

MOST_GROUPS = 50  # rows of a table
_SHORT = 160  # characters of a setting that is not folded
_KNOWN = ("selector", "config", "num_candidates", "num_kept", "evidence", "details", "warnings", "versions")


def method_name(step: Mapping[str, Any]) -> str:
    """How a step's method is called, as in `S2L`."""
    name = str(step.get("selector", "unknown method"))
    return SELECTORS[name].__name__.removesuffix("Selector") if name in SELECTORS else name


def headline(selection: Selection) -> str:
    """How many of how many, by what."""
    by = f" by {method_name(selection.provenance[-1])}" if selection.provenance else ""
    return f"{len(selection):,} of {len(selection.candidate_ids):,} examples kept{by}"


def summary(material: Material) -> str:
    """The numbers in tiles, and what the last method does."""
    selection = material.selection
    num_candidates = len(selection.candidate_ids)
    tiles = []
    num_rows = len(material.ids) or (selection.fingerprint.num_rows if selection.fingerprint is not None else 0)
    if num_rows:
        tiles.append(("rows of the dataset", f"{num_rows:,}"))
    tiles += [
        ("candidates", f"{num_candidates:,}"),
        ("kept", f"{len(selection):,}"),
        ("share kept", f"{len(selection) / num_candidates:.1%}"),
    ]
    does = ""
    if selection.provenance:
        last = selection.provenance[-1]
        tiles.append(("method", method_name(last)))
        does = f"<p>{escape(_what_it_does(last))}</p>"
    listed = "".join(f"<div><dt>{escape(name)}</dt><dd>{escape(value)}</dd></div>" for name, value in tiles)
    return f'<dl class="tiles">{listed}</dl>{does}'


def provenance(selection: Selection) -> str:
    """Every step with its settings, what it was chosen by, and what it warned of."""
    if not selection.provenance:
        return "<p>This Selection does not say how it came about.</p>"
    return "".join(_step(number, step) for number, step in enumerate(selection.provenance, 1))


def figures(pictures: Sequence[Picture]) -> str:
    """The pictures with their captions; the image and its numbers lie inside the page."""
    if not pictures:
        return "<p>What was given allows no picture: pass the dataset, or what the Selection was made from.</p>"
    return "".join(map(_figure, pictures))


def group_tables(material: Material) -> str:
    """A table of rows before and after for each group column."""
    kept = member_mask(material.selection.ids, material.ids)
    return "".join(
        f"<h3>By {escape(column)}</h3>"
        + table(
            f"Rows by {column}: in the dataset, and kept",
            (column, "rows before", "rows after", "kept of them", "share before", "share after"),
            [
                (
                    escape(name),
                    f"{before:,}",
                    f"{after:,}",
                    f"{after / before:.1%}",
                    f"{before / len(kept):.1%}",
                    f"{after / max(1, int(np.count_nonzero(kept))):.1%}",
                )
                for name, before, after in fold(tally(labels, kept), MOST_GROUPS)
            ],
            numbers=True,
        )
        for column, labels in material.labels.items()
    )


def example_list(material: Material, examples: Sequence[Example], seed: int) -> str:
    """Why these are shown, and a card for each."""
    if not examples:
        return "<p>There is none to show.</p>"
    reasons: dict[str, int] = {}
    for one in examples:
        reasons[one.reason] = reasons.get(one.reason, 0) + 1
    told = ", ".join(f"{number} {reason}" for reason, number in reasons.items())
    note = f'<p class="note">Shown are {escape(told)}; draws and ties by the seed {seed}.</p>'
    if material.dataset is None:
        cards = "".join(example_card(one, None, None) for one in examples)
        return f'{note}<p class="note">With the dataset this page shows what they say.</p>{cards}'
    rows = describe_columns(material.dataset)
    found = rows.read(material.rows_of(np.array([one.id for one in examples], np.int64)))
    return note + "".join(example_card(one, row, rows) for one, row in zip(examples, found, strict=True))


def _what_it_does(step: Mapping[str, Any]) -> str:
    """The first line of the module that holds the method."""
    selector = SELECTORS.get(str(step.get("selector")))
    module = None if selector is None else inspect.getmodule(selector)
    return (getattr(module, "__doc__", None) or "").strip().split("\n")[0]


def _step(number: int, step: Mapping[str, Any]) -> str:
    counts = [
        (name.replace("num_", "number of ").replace("_", " "), f"{step[name]:,}")
        for name in ("num_candidates", "num_kept")
        if isinstance(step.get(name), int)
    ]
    settings = [*counts, *((escape(str(key)), _value(value)) for key, value in step.get("config", {}).items())]
    parts = [f"<h3>Step {number}: {escape(method_name(step))}</h3>"]
    parts += [f'<p class="warning">{escape(str(notice))}</p>' for notice in step.get("warnings", [])]
    parts.append(table(f"Settings of step {number}", ("setting", "value"), settings))
    rest = {key: value for key, value in step.items() if key not in _KNOWN}
    for title, content in (
        ("What it was chosen by", step.get("evidence")),
        ("Details", {**step.get("details", {}), **rest}),
        ("Versions", step.get("versions")),
    ):
        if content:
            rows = [(escape(str(name)), _value(value)) for name, value in content.items()]
            inside = table(f"{title}, step {number}", ("name", "value"), rows)
            parts.append(f"<details><summary>{escape(title)}</summary>{inside}</details>")
    return "".join(parts)


def _value(value: Any) -> str:
    told = f"{value:.8g}" if isinstance(value, float) and math.isfinite(value) else value_text(value)
    return escape(told) if len(told) <= _SHORT else text_block(told, _SHORT)


def _figure(picture: Picture) -> str:
    image, numbers = (base64.b64encode(path.read_bytes()).decode() for path in (picture.path, picture.data))
    return (
        f'<figure id="{attribute(picture.path.stem)}"><div class="wide" role="region" tabindex="0" '
        f'aria-label="{attribute(picture.title)}"><img src="data:image/png;base64,{image}" '
        f'alt="{attribute(picture.title)}"></div><figcaption><strong>{escape(picture.title)}.</strong> '
        f'{escape(picture.alt)} <a download="{attribute(picture.data.name)}" href="data:text/csv;base64,{numbers}">'
        "Its numbers (CSV)</a></figcaption></figure>"
    )
