"""The card of a published selection: what a stranger needs to use it, to check it and to doubt it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from huggingface_hub import DatasetCard
from huggingface_hub.utils import validate_repo_id

from hf_datasel.cards.dataset_metadata import metadata
from hf_datasel.cards.dataset_sections import (
    example_block,
    group_tables,
    how_to_check,
    how_to_load,
    how_to_use_on_the_source,
    opening,
    picture_blocks,
    what_it_does_not_promise,
)
from hf_datasel.cards.methods import citations
from hf_datasel.cards.render import assemble
from hf_datasel.cards.steps import cited_by, describe_steps, names_of
from hf_datasel.cards.text import between
from hf_datasel.report.picture import Picture

NOTES_START, NOTES_END = "<!-- hf_datasel:notes:start -->", "<!-- hf_datasel:notes:end -->"
NOTES = (
    "<!-- What stands here is yours: a later push keeps it, as it keeps metadata of your own above. Everything else "
    "is rendered anew. -->"
)


def dataset_card(
    manifest: Mapping[str, Any],
    *,
    repo_id: str,
    groups: Mapping[str, Sequence[tuple[str, int, int]]],
    pictures: Sequence[Picture],
    previous: DatasetCard | None = None,
    license: str | None = None,
    examples: Sequence[Mapping[str, Any]] = (),
) -> DatasetCard:
    """The card of a curated dataset repo.

    Args:
        manifest: what `selection/manifest.json` of the repo says.
        repo_id: where it is published, "namespace/name".
        groups: for a column of the source, its values with the number of their rows before and after.
        pictures: those in `assets/`.
        previous: the card that stands in the repo. Metadata that is not ours survives, and so does the text between
            `NOTES_START` and `NOTES_END`.
        license: of the rows, as the Hub names it; without it what `previous` says stays.
        examples: some of the kept rows, to be shown.

    Returns:
        The card; every value from data is escaped in it.

    Raises:
        HFValidationError: `repo_id` is none.
    """
    validate_repo_id(repo_id)
    method = str(manifest.get("method") or "unknown")
    steps = [step for step in manifest.get("provenance") or () if isinstance(step, Mapping)]
    names = names_of(steps) or [method]
    kept_notes = None if previous is None else between(previous.text, NOTES_START, NOTES_END)
    notes = f"{NOTES_START}\n{NOTES if kept_notes is None else kept_notes.strip()}\n{NOTES_END}"
    sections = {
        "": [opening(manifest, repo_id), notes],
        "How the rows were chosen": [describe_steps(steps, manifest)],
        "Before and after": group_tables(groups),
        "Pictures": picture_blocks(pictures),
        "Examples of kept rows": example_block(examples),
        "How to load it": [how_to_load(manifest, repo_id)],
        "How to use the selection on the source": [how_to_use_on_the_source(manifest, repo_id)],
        "How to check it": [how_to_check(repo_id)],
        "What it does not promise": [what_it_does_not_promise(manifest, names)],
        "Citation": citations(cited_by(steps) or names),
    }
    data = metadata(manifest, names=names, previous=previous, license=license)
    return DatasetCard(assemble(data, repo_id.split("/")[-1], sections))
