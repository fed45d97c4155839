"""The files of a published selection, built in a folder before anything is sent."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from datasets.features.features import require_storage_embed
from tqdm.auto import tqdm

from hf_datasel.data import dataset_fingerprint
from hf_datasel.example_ids import member_mask
from hf_datasel.hub.head import MANIFEST, RECIPE
from hf_datasel.hub.manifest import make_manifest
from hf_datasel.hub.shards import write_shards
from hf_datasel.hub.source import SourceDataset
from hf_datasel.hub.tables import scores_features, scores_tables, selected_tables, stored_features
from hf_datasel.report.groups import Group, tally
from hf_datasel.report.material import Material
from hf_datasel.report.picture import Picture
from hf_datasel.report.pictures import make_pictures
from hf_datasel.storage import write_json

NUM_EXAMPLES = 3  # rows that the card shows


@dataclass(frozen=True, eq=False)
class Content:
    """What is published, beside the card, and what the card is made from.

    Args:
        files: by their paths in the repo.
        manifest: as it stands in one of them.
        pictures: those in `assets/`.
        groups: by column, each value with its rows before and after.
        examples: a few kept rows.
    """

    files: dict[str, Path]
    manifest: dict[str, Any]
    pictures: Sequence[Picture]
    groups: dict[str, list[Group]]
    examples: list[Mapping[str, Any]]


def write_content(
    folder: Path,
    material: Material,
    *,
    source: SourceDataset | None,
    pictures: Sequence[Picture] | None,
    recipe: str,
    max_bytes: int,
) -> Content:
    """Write the parquet files, the manifest, the recipe and, where none are given, the pictures.

    Args:
        folder: where to; the files of the repo lie in it as in the repo.
        material: the dataset, the Selection and the evidence, found to belong together.
        source: where the dataset can be had again, where known.
        pictures: to be published; None draws what can be drawn.
        recipe: as YAML.
        max_bytes: bound of the Arrow data in one parquet file.

    Raises:
        ValueError: a file of an image or audio column cannot be read, or two pictures have one name.
        OSError: the folder cannot be written (a full disk).
    """
    dataset, selection = material.dataset, material.selection
    if pictures is None:
        pictures = make_pictures(
            selection,
            folder / "assets",
            dataset=dataset,
            evidence=material.evidence,
            group_columns=list(material.labels),
        )
    assets = _assets(pictures)
    parquet = _write_rows(folder, material, max_bytes)
    manifest = make_manifest(
        selection,
        source,
        dataset_fingerprint(dataset).to_dict(),
        material.evidence,
        num_rows=len(dataset),
        columns=dataset.column_names,
        files=parquet,
        assets=sorted(assets),
    )
    (folder / MANIFEST).parent.mkdir()
    write_json(folder / MANIFEST, manifest)
    (folder / RECIPE).write_text(recipe, encoding="utf-8")
    kept = member_mask(selection.ids, material.ids)
    return Content(
        {**parquet, **assets, MANIFEST: folder / MANIFEST, RECIPE: folder / RECIPE},
        manifest,
        pictures,
        {column: tally(labels, kept) for column, labels in material.labels.items()},
        _examples(dataset, np.flatnonzero(kept)[:NUM_EXAMPLES]),
    )


def require_pictures(pictures: Sequence[Picture]) -> None:
    """Refuse pictures that are not there; raises FileNotFoundError, or ValueError where two have one name."""
    for path in _assets(pictures).values():
        if not path.is_file():
            raise FileNotFoundError(f"There is no picture, or table of its numbers, at {path}.")


def _assets(pictures: Sequence[Picture]) -> dict[str, Path]:
    paths = [Path(path) for picture in pictures for path in (picture.path, picture.data)]
    for name, times in Counter(path.name for path in paths).items():
        if times > 1:
            raise ValueError(f"{times} files of the pictures are called {name}: give each a name of its own.")
    return {f"assets/{path.name}": path for path in paths}


def _write_rows(folder: Path, material: Material, max_bytes: int) -> dict[str, Path]:
    """The parquet files of both configs, by their paths in the repo."""
    dataset, selection = material.dataset, material.selection
    total = len(dataset) + len(selection)
    with tqdm(total=total, desc="Writing rows", unit="row", leave=None, disable=not sys.stderr.isatty()) as bar:
        selected = write_shards(
            selected_tables(dataset, selection, bar.update),
            stored_features(dataset.features).arrow_schema,
            folder,
            "data/selected",
            max_bytes,
        )
        scores = write_shards(
            scores_tables(dataset, selection, bar.update),
            scores_features(selection).arrow_schema,
            folder,
            "scores/scores",
            max_bytes,
        )
    return {**selected, **scores}


def _examples(dataset: Any, where: Any) -> list[Mapping[str, Any]]:
    """Rows as mappings, without columns that hold images and the like."""
    columns = [name for name, feature in dataset.features.items() if not require_storage_embed(feature)]
    rows: list[Mapping[str, Any]] = dataset.select_columns(columns).with_format(None).select(where).to_list()
    return rows
