"""Which dataset on the Hub a dataset was loaded from."""

from __future__ import annotations

import re
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from huggingface_hub import constants

_COMMIT = re.compile(r"[0-9a-f]{40}")


@dataclass(frozen=True)
class SourceDataset:
    """Where source rows can be had again; what is not known is None.

    Args:
        id: the repo on the Hub, or any name by which a reader knows the dataset.
        revision: the commit that was read.
        config: of `load_dataset`.
        split: the same.
    """

    id: str | None = None
    revision: str | None = None
    config: str | None = None
    split: str | None = None

    def to_dict(self) -> dict[str, str | None]:
        """A dictionary that JSON can hold."""
        return asdict(self)


def find_source(dataset: Any, name: str | None = None) -> SourceDataset | None:
    """The dataset on the Hub that `load_dataset` read this one from, whole and unchanged; None where that is not sure.

    A `datasets.Dataset` does not say where it came from. But the files it is mapped from lie in a folder that is named
    after the owner, the configuration and the commit, and the Hub's cache holds a snapshot of that commit under the
    repo's full name. A dataset that was mapped, cut down or read from other files has other files, or fewer rows.

    Args:
        dataset: a `datasets.Dataset`.
        name: the repo's id, where the caller knows it.
    """
    files = [Path(entry["filename"]) for entry in getattr(dataset, "cache_files", ())]
    folders = {file.parent for file in files}
    if len(folders) != 1 or any(file.name.startswith("cache-") for file in files):
        return None
    folder = folders.pop()
    if len(folder.parts) < 5 or not _COMMIT.fullmatch(folder.name):
        return None
    commit, config, owner_and_name = folder.name, folder.parents[1].name, folder.parents[2].name
    split = str(dataset.split)
    of_split = (dataset.info.splits or {}).get(split)
    if config != dataset.info.config_name or of_split is None or of_split.num_examples != len(dataset):
        return None
    ids = [name] if name is not None else _cached_ids(commit)
    found = [repo_id for repo_id in ids if _cache_name(repo_id) == owner_and_name]
    return SourceDataset(found[0], commit, config, split) if len(found) == 1 else None


def _cached_ids(commit: str) -> list[str]:
    """Ids of the dataset repos whose snapshot of a commit lies in the Hub's cache."""
    snapshots = Path(constants.HF_HUB_CACHE).glob(f"datasets--*/snapshots/{commit}")
    return sorted(path.parents[1].name.removeprefix("datasets--").replace("--", "/") for path in snapshots)


def _cache_name(repo_id: str) -> str:
    """How `datasets` names a repo's folder."""
    from datasets.naming import camelcase_to_snakecase

    owner, _, name = repo_id.rpartition("/")
    return f"{owner}___{camelcase_to_snakecase(name)}" if owner else str(camelcase_to_snakecase(name))
