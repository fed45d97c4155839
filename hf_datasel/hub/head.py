"""What stands in a repo at the head that a commit is to follow."""

from __future__ import annotations

import json
import re
import tempfile
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from huggingface_hub import DatasetCard, HfApi
from huggingface_hub.errors import RevisionNotFoundError
from huggingface_hub.hf_api import RepoFile
from huggingface_hub.utils.sha import git_hash

from hf_datasel.hub.manifest import is_ours, sha256_of

CARD, MANIFEST, RECIPE = "README.md", "selection/manifest.json", "selection/recipe.yaml"
_SHARD = re.compile(r"(data/selected|scores/scores)-\d+-of-\d+\.parquet")
_OUR_FOLDERS = ("data/selected-", "scores/scores-", "selection/", "assets/")
# What the Hub and its users put into a repo before there is anything in it.
_NO_CONTENT = re.compile(r"\.gitattributes|\.gitignore|README\.md|LICENSE(\.\w+)?", re.IGNORECASE)


@dataclass(frozen=True, eq=False)
class Head:
    """A commit, as far as the next one depends on it.

    Args:
        oid: of the commit.
        private: whether the repo is.
        files: what stands in it, by path.
        card: the text of README.md, None where there is none.
        manifest: of the selection that we published there, None where there is none.
    """

    oid: str
    private: bool
    files: dict[str, RepoFile]
    card: str | None
    manifest: dict[str, Any] | None

    def holds(self, name: str, path: Path) -> bool:
        """Whether the file `name` has the content of the file at `path`."""
        found = self.files.get(name)
        if found is None or found.size != path.stat().st_size:
            return False
        if found.lfs is not None:
            return found.lfs.sha256 == sha256_of(path)
        return found.blob_id == git_hash(path.read_bytes())

    def other_content(self) -> list[str]:
        """Files that speak for content which is not of a published selection; none in a repo of ours."""
        if self.manifest is not None:
            return []
        found = [name for name in self.files if not _NO_CONTENT.fullmatch(name)]
        if self.card is not None and _body(self.card):
            found.append(CARD)
        return sorted(found)

    def left_over(self, names: Collection[str]) -> list[str]:
        """Files of an earlier push of ours that are not among `names`: shards, pictures and their numbers."""
        told = [(self.manifest or {}).get(key) for key in ("files", "assets")]
        listed = {name for names in told if isinstance(names, (dict, list)) for name in names}
        earlier = [name for name in self.files if _SHARD.fullmatch(name) or name in listed]
        return sorted(name for name in earlier if name.startswith(_OUR_FOLDERS) and name not in names)

    def previous_card(self, overwrite: bool) -> DatasetCard | None:
        """The card that stands there; where it cannot be read, None if it may be overwritten.

        Raises:
            ValueError: its metadata is no YAML.
        """
        if self.card is None:
            return None
        try:
            return DatasetCard(self.card)
        except (ValueError, yaml.YAMLError) as error:
            if overwrite:
                return None
            raise ValueError(
                f"The metadata of README.md in the repo cannot be read ({' '.join(str(error).split())}). Mend it on "
                "the Hub, or pass overwrite=True (--overwrite) to have the card written anew."
            ) from error


def read_head(api: HfApi, repo_id: str, revision: str) -> Head:
    """The head of a branch or a pull request.

    Raises:
        HfHubHTTPError: the repo or the revision is not there, or the Hub cannot answer.
    """
    info = api.dataset_info(repo_id, revision=revision)
    assert info.sha is not None  # the Hub always names it
    tree = api.list_repo_tree(repo_id, recursive=True, revision=info.sha, repo_type="dataset")
    files = {entry.path: entry for entry in tree if isinstance(entry, RepoFile)}
    with tempfile.TemporaryDirectory() as folder:

        def text(name: str) -> str | None:
            if name not in files:
                return None
            path = api.hf_hub_download(repo_id, name, repo_type="dataset", revision=info.sha, cache_dir=folder)
            return Path(path).read_text(encoding="utf-8", errors="replace")

        manifest = _parse(text(MANIFEST))
        return Head(info.sha, bool(info.private), files, text(CARD), manifest if is_ours(manifest) else None)


def find_head(api: HfApi, repo_id: str, revision: str, create_pr: bool) -> tuple[Head, bool]:
    """The head to commit on, and whether `revision` is there; a branch that is not starts from the main branch.

    Raises:
        ValueError: there is no such revision, and it cannot be made.
    """
    try:
        return read_head(api, repo_id, revision), True
    except RevisionNotFoundError:
        if create_pr or revision.startswith("refs/"):
            raise ValueError(
                f"{repo_id} has no revision {revision!r} to commit to: leave revision out, or name one that is there."
            ) from None
        return read_head(api, repo_id, "main"), False


def _parse(text: str | None) -> Any:
    try:
        return None if text is None else json.loads(text)
    except ValueError:  # somebody else's file of that name
        return None


def _body(card: str) -> str:
    """A card's text below its metadata."""
    return re.sub(r"\A\s*---\s*\n.*?\n---\s*(\n|\Z)", "", card, flags=re.DOTALL).strip()
