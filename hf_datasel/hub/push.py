"""From a Selection to a dataset repo on the Hub."""

from __future__ import annotations

import tempfile
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from datasets.utils.py_utils import convert_file_size_to_int
from huggingface_hub import CommitInfo, DatasetCard

from hf_datasel.cards import dataset_card
from hf_datasel.example_ids import is_streaming, require_one_table
from hf_datasel.hub.access import check_names, full_name, in_plain_words, make_api
from hf_datasel.hub.build import require_pictures, write_content
from hf_datasel.hub.head import CARD
from hf_datasel.hub.publish import Place, Published, publish
from hf_datasel.hub.recipe import recipe_text
from hf_datasel.hub.retry import Retry
from hf_datasel.hub.source import SourceDataset, find_source
from hf_datasel.hub.tables import require_parquet
from hf_datasel.report.material import gather_material
from hf_datasel.report.picture import Picture
from hf_datasel.selection import Selection


def push_selection_to_hub(
    repo_id: str,
    dataset: Any,
    selection: Selection,
    *,
    source: SourceDataset | None = None,
    evidence: Any = None,
    pictures: Sequence[Picture] | None = None,
    recipe: Mapping[str, Any] | str | Path | None = None,
    group_columns: Sequence[str] = (),
    private: bool | None = None,
    revision: str | None = None,
    create_pr: bool = False,
    token: str | bool | None = None,
    commit_message: str | None = None,
    commit_description: str | None = None,
    max_shard_size: int | str = "500MB",
    license: str | None = None,
    overwrite: bool = False,
    retry: Retry | None = None,
) -> CommitInfo:
    """Publish what a Selection kept, and all that is needed to check it, in one commit to a dataset repo on the Hub.

    The repo holds the config `selected` (the default: the kept rows, in the dataset's order), the config `scores`
    (what is said of every row), `selection/manifest.json`, `selection/recipe.yaml`, the pictures with their numbers in
    `assets/`, and a card. A repo or branch that is not there is made. Of an earlier push of ours, files that are no
    longer needed go in the same commit, and the card keeps what its reader may edit; where nothing would change,
    nothing is committed and a UserWarning says so. A push that fails or is killed leaves the repo as it was, or a new
    one empty.

    Parquet files are written to a temporary folder first, so there must be room for the kept rows; memory holds some
    hundred MiB of them at a time.

    Args:
        repo_id: "owner/name", or "name" for a repo of the token's owner.
        dataset: the `datasets.Dataset` that the Selection was made from; ids are added where it has none. Columns of
            images, audio and the like are published with the files' content.
        selection: what to publish.
        source: where the dataset can be had again. None finds out where it came whole from `load_dataset`.
        evidence: the Trace, Valuation or Embeddings the Selection was made from, for the pictures and the manifest.
        pictures: to publish. None draws what the other arguments allow, `()` publishes none.
        recipe: how the Selection is made, a mapping or the path of a YAML file; what looks like a secret is left out.
            None writes the steps that the Selection tells itself.
        group_columns: columns of labels whose values are counted, before and after.
        private: of a repo that is made; one that exists must be so already. None takes the namespace's default.
        revision: a branch, made from the main one if it is not there, or the ref of a pull request.
        create_pr: open a pull request. Each call opens one of its own.
        token: of the Hub; None or True takes the one you are logged in with.
        commit_message, commit_description: of the commit or the pull request.
        max_shard_size: bound of a parquet file, as Arrow data: bytes, or as in "500MB".
        license: of the rows, as the Hub names it; None leaves what the card says.
        overwrite: publish into a repo that holds other content. The card is written anew; the other files stay, and
            configs that the card named, one called "default" as "other".
        retry: how often, and how patiently, what the Hub refuses for the moment is tried again.

    Returns:
        The commit, with `pr_url` for a pull request; the head where nothing changed.

    Raises:
        TypeError: a stream, a dictionary of splits, or evidence of another kind.
        ValueError: a Selection that keeps nothing; data that do not belong together; no such group column; a column
            that parquet cannot hold; a name, revision, size or recipe that makes no sense; another visibility.
        FileNotFoundError: no recipe or picture at a path, or no repo for a pull request.
        FileExistsError: the repo holds other content, and `overwrite` is off.
        PermissionError: no token, one that may only read, or one that may not write there.
        ConnectionError: the Hub was busy, or not there, at every attempt.
        OSError: the Hub refused for another reason, or the disk is full.
    """
    place = Place(
        make_api(token),
        repo_id,
        private=private,
        revision=revision,
        create_pr=create_pr,
        overwrite=overwrite,
        retry=retry or Retry(),
    )
    published = push(
        place,
        dataset,
        selection,
        source=source,
        evidence=evidence,
        pictures=pictures,
        recipe=recipe,
        group_columns=group_columns,
        message=commit_message,
        description=commit_description,
        max_shard_size=max_shard_size,
        license=license,
    )
    if not published.changed:
        warnings.warn(f"{published.commit} holds this selection already: nothing was pushed.", stacklevel=2)
    return published.commit


def push(
    place: Place,
    dataset: Any,
    selection: Selection,
    *,
    source: SourceDataset | None,
    evidence: Any,
    pictures: Sequence[Picture] | None,
    recipe: Mapping[str, Any] | str | Path | None,
    group_columns: Sequence[str],
    message: str | None,
    description: str | None,
    max_shard_size: int | str,
    license: str | None,
) -> Published:
    """As `push_selection_to_hub`; tells whether anything changed. Every refusal comes before any work."""
    check_names(place.repo_id, place.revision)
    require_one_table(dataset, "push_selection_to_hub")
    if is_streaming(dataset):
        raise TypeError("push_selection_to_hub needs a datasets.Dataset: the rows of a stream have no positions.")
    if not len(selection):
        raise ValueError(
            "The Selection keeps no row, and an empty dataset cannot be loaded from the Hub. Select again with a "
            "larger budget or another threshold."
        )
    max_bytes = _bytes(max_shard_size)
    text = recipe_text(recipe, selection)
    require_pictures(pictures or ())
    require_parquet(dataset.features)
    source = source or find_source(dataset)
    material = gather_material(selection, dataset, evidence, None, group_columns)
    with in_plain_words(place.repo_id), tempfile.TemporaryDirectory(prefix="hf_datasel-") as folder:
        place = replace(place, repo_id=full_name(place.api, place.repo_id, place.retry))
        found = place.retry.call(place.look, f"Looking at {place.repo_id}")
        content = write_content(
            Path(folder), material, source=source, pictures=pictures, recipe=text, max_bytes=max_bytes
        )
        place.prepare(found)

        def make_card(previous: DatasetCard | None) -> DatasetCard:
            return dataset_card(
                content.manifest,
                repo_id=place.repo_id,
                groups=content.groups,
                pictures=content.pictures,
                previous=previous,
                license=license,
                examples=content.examples,
            )

        counts = content.manifest["counts"]
        message = (
            message
            or f"Publish {counts['kept']:,} of {counts['source']:,} rows, selected by {content.manifest['method']}"
        )
        return publish(place, content.files, Path(folder) / CARD, make_card, message, description)


def _bytes(size: int | str) -> int:
    try:
        num_bytes = int(size) if str(size).isdigit() else int(convert_file_size_to_int(str(size)))
    except ValueError:
        num_bytes = 0
    if num_bytes < 1:
        raise ValueError(f"max_shard_size={size!r} is no size: pass a number of bytes, or a text such as '500MB'.")
    return num_bytes
