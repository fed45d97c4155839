"""All pictures of a Selection that what is given allows."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np

from hf_datasel.embeddings import Embeddings
from hf_datasel.example_ids import member_mask
from hf_datasel.report.budgets import plot_budgets
from hf_datasel.report.groups import plot_groups, tally
from hf_datasel.report.lengths import plot_lengths
from hf_datasel.report.material import Material, gather_material
from hf_datasel.report.picture import Picture
from hf_datasel.report.projection import plot_map
from hf_datasel.report.rows import describe_columns
from hf_datasel.report.scores import plot_kept_scores
from hf_datasel.report.trajectories import plot_trajectory_clusters
from hf_datasel.report.values import plot_values
from hf_datasel.selection import Selection
from hf_datasel.selectors import Strata
from hf_datasel.trace import Trace
from hf_datasel.valuation import Valuation

LENGTH_SAMPLE = 50_000  # rows whose characters are counted, before and after


def make_pictures(
    selection: Selection,
    output_dir: str | os.PathLike[str],
    *,
    dataset: Any = None,
    evidence: Any = None,
    embeddings: Embeddings | None = None,
    results: Mapping[str, Any] | None = None,
    group_columns: Sequence[str] = (),
    seed: int = 0,
) -> list[Picture]:
    """Draw every picture of a Selection that what is given allows, each as a PNG with its numbers as CSV beside it.

    `trajectory_clusters` needs a Trace of losses and a Selection with clusters; `scores` a Selection with scores;
    `values` a Valuation; `metric_by_budget` results; `map` embeddings, or else loss trajectories of at least two
    checkpoints; `lengths` a Trace that counted tokens with a label, or else the dataset, whose characters are counted
    then; `groups_<column>` the dataset and `group_columns`.

    Args:
        selection: that keeps at least one row.
        output_dir: where they are written; made if it is not there.
        dataset: the `datasets.Dataset` the Selection was made from; ids are added where it has none.
        evidence: the Trace, Valuation or Embeddings the Selection was made from.
        embeddings: of the same rows.
        results: of models trained on several budgets, as `plot_budgets` takes them.
        group_columns: columns of labels, such as a source or a skill.
        seed: of the samples that large sets are drawn from.

    Returns:
        The pictures, in the order above.

    Raises:
        TypeError: a stream, a dictionary of splits, or evidence or embeddings of another kind.
        ValueError: a Selection that kept nothing, data that do not belong together, no such column, or results of
            another form.
        OSError: a picture cannot be written; none is left half-written.

    Example:
        >>> import tempfile
        >>> scores = np.linspace(0, 1, 50, dtype=np.float32)
        >>> selection = Selection(candidate_ids=np.arange(50), kept=scores > 0.7, scores=scores)
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     [(picture.path.name, picture.title) for picture in make_pictures(selection, folder)]
        [('scores.png', 'Scores: 15 of 50 candidates kept')]
    """
    material = gather_material(selection, dataset, evidence, embeddings, group_columns)
    return draw(material, Path(output_dir), results, seed)


def draw(material: Material, folder: Path, results: Mapping[str, Any] | None, seed: int) -> list[Picture]:
    """The pictures of what was gathered."""
    selection, losses = material.selection, material.losses
    pictures = []
    if losses is not None and _has_groups_of_rows(selection):
        pictures.append(
            plot_trajectory_clusters(losses, selection, folder / "trajectory_clusters.png", strata=_strata(material))
        )
    if selection.scores is not None:
        name = "value of the row's cluster" if isinstance(material.evidence, Valuation) else "score"
        pictures.append(plot_kept_scores(selection, folder / "scores.png", name=name))
    if isinstance(material.evidence, Valuation):
        pictures.append(plot_values(material.evidence, selection, folder / "values.png"))
    if results is not None:
        pictures.append(plot_budgets(results, folder / "metric_by_budget.png"))
    pictures += _map(material, folder / "map.png", seed)
    pictures += _lengths(material, folder / "lengths.png", seed)
    kept = member_mask(selection.ids, material.ids)
    for (column, labels), name in zip(material.labels.items(), _file_names(material.labels), strict=True):
        pictures.append(plot_groups(tally(labels, kept), folder / f"groups_{name}.png", column=column))
    return pictures


def _has_groups_of_rows(selection: Selection) -> bool:
    """Whether its clusters are more than every row by itself."""
    if selection.clusters is None:
        return False
    labels = selection.clusters[selection.clusters >= 0]
    return bool(labels.size) and 2 * len(np.unique(labels)) <= max(2, labels.size)


def _strata(material: Material) -> Strata | None:
    """The labels of the first group column."""
    for labels in material.labels.values():
        names = np.array(labels.names, object)
        return Strata(material.ids, names[labels.codes].tolist())
    return None


def _map(material: Material, path: Path, seed: int) -> list[Picture]:
    embeddings, losses, selection = material.embeddings, material.losses, material.selection
    if embeddings is not None:
        kept = member_mask(selection.ids, embeddings.ids)
        vectors, dimension = embeddings.vectors, embeddings.dimension
        return [
            plot_map(
                embeddings.ids, kept, vectors.__getitem__, path, what="embeddings", dimension=dimension, seed=seed
            )
        ]
    if losses is not None and losses.num_checkpoints > 1:
        kept, dimension = member_mask(selection.ids, losses.ids), losses.num_checkpoints
        return [
            plot_map(losses.ids, kept, losses.take, path, what="loss trajectories", dimension=dimension, seed=seed)
        ]
    return []


def _lengths(material: Material, path: Path, seed: int) -> list[Picture]:
    evidence, selection = material.evidence, material.selection
    if isinstance(evidence, Trace) and "num_labels" in evidence.companions:
        counted = evidence.companion("num_labels")
        numbers = counted.column(counted.num_checkpoints - 1)
        known = ~np.isnan(numbers)
        before, ids = numbers[known].astype(np.int64), counted.ids[known]
        after = before[member_mask(selection.ids, ids)]
        return [plot_lengths(before, after, path, unit="tokens with a label")]
    rows = None if material.dataset is None else describe_columns(material.dataset)
    if rows is None or not rows.text:
        return []
    generator = np.random.default_rng(seed)
    everything, kept = np.arange(len(material.ids)), np.flatnonzero(member_mask(selection.ids, material.ids))
    sampled = [
        np.sort(generator.choice(where, LENGTH_SAMPLE, replace=False)) if len(where) > LENGTH_SAMPLE else where
        for where in (everything, kept)
    ]
    note = f"a sample of {LENGTH_SAMPLE:,}" if len(everything) > LENGTH_SAMPLE else ""
    before, after = (rows.lengths(where) for where in sampled)
    return [plot_lengths(before, after, path, unit=f"characters of {' and '.join(rows.text)}", note=note)]


def _file_names(columns: Iterable[str]) -> list[str]:
    """Names of columns as parts of files' names, each another whatever the file system thinks of capitals."""
    names: list[str] = []
    taken: set[str] = set()
    for column in columns:
        plain = "".join(one if one.isascii() and (one.isalnum() or one in "-_") else "_" for one in column)[:60]
        name = next(one for k in count(1) if (one := plain if k == 1 else f"{plain}_{k}").lower() not in taken)
        names.append(name)
        taken.add(name.lower())
    return names
