"""The report: one HTML page that needs nothing but itself, and beside it the pictures with their numbers."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from hf_datasel.embeddings import Embeddings
from hf_datasel.report import sections
from hf_datasel.report.examples import Example, choose_examples
from hf_datasel.report.markup import escape
from hf_datasel.report.material import Material, gather_material
from hf_datasel.report.picture import Picture
from hf_datasel.report.pictures import draw
from hf_datasel.report.saved import PICTURES, save_list
from hf_datasel.report.stylesheet import STYLESHEET
from hf_datasel.selection import Selection
from hf_datasel.storage import atomic_directory, write_atomic
from hf_datasel.version import __version__

PAGE = "report.html"
# Nothing is fetched and nothing runs, whatever the examples say.
_POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'"


@dataclass(frozen=True)
class Report:
    """Where a report lies.

    Args:
        html: the page, complete in itself.
        pictures: in the folder beside it.
    """

    html: Path
    pictures: list[Picture]


def write_report(
    selection: Selection,
    output_dir: str | os.PathLike[str],
    *,
    dataset: Any = None,
    evidence: Any = None,
    embeddings: Embeddings | None = None,
    results: Mapping[str, Any] | None = None,
    group_columns: Sequence[str] = (),
    num_examples: int = 10,
    seed: int = 0,
    overwrite: bool = False,
) -> Report:
    """Write a directory with `report.html`, a page that works alone and offline, and `pictures/`, as PNG and CSV.

    The page says how many of how many were kept, by which method and settings, and shows the pictures of
    `make_pictures`, rows before and after by group, and kept and dropped examples with their scores and clusters.

    Args:
        selection, dataset, evidence, embeddings, results, group_columns, seed: as for `make_pictures`.
        output_dir: the directory to make, whole or not at all.
        num_examples: how many kept and how many dropped examples are shown: with scores the best kept, the worst
            dropped and those nearest to the cut, else some drawn by the seed.
        overwrite: replace a report that is at `output_dir`; anything else there is left alone.

    Raises:
        TypeError, ValueError: as `make_pictures`; or `num_examples` is no number of rows.
        FileExistsError: something is at `output_dir`, and it may not be replaced.
        OSError: it cannot be written; nothing is left behind.

    Example:
        >>> import tempfile
        >>> import numpy as np
        >>> scores = np.linspace(0, 1, 50, dtype=np.float32)
        >>> selection = Selection(candidate_ids=np.arange(50), kept=scores > 0.7, scores=scores)
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     report = write_report(selection, f"{folder}/report")
        ...     report.html.name, "15 of 50 examples kept" in report.html.read_text(), len(report.pictures)
        ('report.html', True, 1)
    """
    examples = choose_examples(selection, num_examples, seed=seed)
    material = gather_material(selection, dataset, evidence, embeddings, group_columns)
    place = Path(output_dir).absolute()
    with atomic_directory(place, what="report", marker=PAGE, overwrite=overwrite) as building:
        drawn = draw(material, building / PICTURES, results, seed)
        save_list(drawn, building / PICTURES)
        page = render(material, drawn, examples, seed).encode()
        write_atomic(building / PAGE, lambda file: file.write(page), len(page))
    folder = place / PICTURES
    moved = [replace(one, path=folder / one.path.name, data=folder / one.data.name) for one in drawn]
    return Report(place / PAGE, moved)


def render(
    material: Material, pictures: Sequence[Picture], examples: tuple[list[Example], list[Example]], seed: int
) -> str:
    """The page as HTML."""
    selection = material.selection
    parts = [("Summary", "summary", sections.summary(material))]
    parts.append(("How they were chosen", "provenance", sections.provenance(selection)))
    parts.append(("Pictures", "pictures", sections.figures(pictures)))
    if material.labels:
        parts.append(("Groups before and after", "groups", sections.group_tables(material)))
    for title, name, some in zip(("Kept", "Dropped"), ("kept", "dropped"), examples, strict=True):
        parts.append((f"{title} examples", name, sections.example_list(material, some, seed)))
    title = escape(sections.headline(selection))
    links = "".join(f'<li><a href="#{name}">{escape(heading)}</a></li>' for heading, name, _ in parts)
    body = "".join(
        f'<section aria-labelledby="{name}"><h2 id="{name}">{escape(heading)}</h2>{content}</section>\n'
        for heading, name, content in parts
    )
    return (
        f'<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f'<meta name="color-scheme" content="light dark">\n<title>{title}</title>\n<style>{STYLESHEET}</style>\n'
        f"</head>\n<body>\n<header><h1>{title}</h1>\n"
        f'<p class="lead">A report of what was kept, what was dropped, and why.</p>\n'
        f'<nav aria-label="Parts of this page"><ul>{links}</ul></nav></header>\n<main>\n{body}</main>\n'
        f"<footer><p>Written by hf_datasel {escape(__version__)}. This page is complete in itself; its pictures lie "
        f"beside it in <code>{PICTURES}/</code>, each with its numbers as CSV.</p></footer>\n</body>\n</html>\n"
    )
