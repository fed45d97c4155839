"""One commit on whatever stands at the head: whole, or not at all."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from huggingface_hub import CommitInfo, CommitOperationAdd, CommitOperationDelete, DatasetCard, HfApi
from huggingface_hub.errors import RepositoryNotFoundError
from huggingface_hub.utils import are_progress_bars_disabled, disable_progress_bars, enable_progress_bars

from hf_datasel.hub.head import CARD, Head, find_head
from hf_datasel.hub.retry import HTTPError, Retry, status_of, told


class Published(NamedTuple):
    """What became of a push: the commit, and whether it was made by it or had been there before."""

    commit: CommitInfo
    changed: bool


@dataclass(frozen=True)
class Place:
    """Where a selection is published, and on what terms.

    Args:
        api: with the token.
        repo_id: with its owner.
        private: what the repo must be; None for whatever it is.
        revision: a branch, or the ref of a pull request; None for the main branch.
        create_pr: open a pull request against it.
        overwrite: publish into a repo with other content.
        retry: of every request that huggingface_hub does not try again by itself.
    """

    api: HfApi
    repo_id: str
    private: bool | None = None
    revision: str | None = None
    create_pr: bool = False
    overwrite: bool = False
    retry: Retry = field(default_factory=Retry)

    @property
    def branch(self) -> str:
        return self.revision or "main"

    @property
    def where(self) -> dict[str, Any]:
        """The same, as huggingface_hub calls it."""
        return {
            "repo_id": self.repo_id,
            "repo_type": "dataset",
            "revision": self.branch,
            "create_pr": self.create_pr,
        }

    def look(self) -> tuple[Head, bool] | None:
        """The head to commit on and whether the branch is there; None where there is no repo.

        Raises:
            FileExistsError: the repo has other content.
            FileNotFoundError: there is no repo that a pull request could go to.
            ValueError: it is public where it should be private, or the other way round; or there is no such revision.
        """
        try:
            head, is_there = find_head(self.api, self.repo_id, self.branch, self.create_pr)
        except RepositoryNotFoundError:
            if self.create_pr or self.branch.startswith("refs/"):
                raise FileNotFoundError(
                    f"There is no {self.repo_id} that a pull request could go to. Push without create_pr first."
                ) from None
            return None
        names = {True: "private", False: "public"}
        if self.private not in (None, head.private):
            raise ValueError(
                f"private={self.private} was asked for, but {self.repo_id} exists and is {names[head.private]}. "
                "Change it in the repo's settings on the Hub, leave `private` out, or choose another name."
            )
        other = head.other_content()
        if other and not self.overwrite:
            listed = ", ".join(other[:3]) + (f" and {len(other) - 3:,} more" if len(other) > 3 else "")
            raise FileExistsError(
                f"{self.repo_id} exists and holds other content ({listed}): it is left alone. Choose another name, or "
                "pass overwrite=True (--overwrite), which replaces its README.md and keeps the other files."
            )
        return head, is_there

    def prepare(self, found: tuple[Head, bool] | None) -> None:
        """Make the repo and the branch where `look` did not find them."""
        if found is None:
            self.retry.call(
                lambda: self.api.create_repo(self.repo_id, repo_type="dataset", private=self.private, exist_ok=True),
                f"Creating {self.repo_id}",
            )
        if self.branch != "main" and not (found and found[1]):
            self.retry.call(
                lambda: self.api.create_branch(self.repo_id, branch=self.branch, repo_type="dataset", exist_ok=True),
                f"Creating the branch {self.branch!r} of {self.repo_id}",
            )


def publish(
    place: Place,
    files: dict[str, Path],
    readme: Path,
    make_card: Callable[[DatasetCard | None], DatasetCard],
    message: str,
    description: str | None,
) -> Published:
    """Commit the files and the card to a repo, in place of what an earlier push of ours left there.

    Whatever goes wrong on the way, the head is read again before the next attempt. So a commit whose head has moved is
    made anew from what stands there now, and one whose answer was lost is found to have been made.

    Args:
        place: where to; `prepare` has made it.
        files: by their paths in the repo; all but README.md.
        readme: where README.md is written, anew for every attempt.
        make_card: the card, given the one that stands in the repo.
        message, description: of the commit.

    Raises:
        ConnectionError: it was tried as often as `place.retry` says.
        ValueError, FileExistsError: as `Place.look`, for somebody else may have been there in between.
    """

    sent = False

    def attempt() -> Published:
        nonlocal sent
        found = place.look()
        if found is None:
            raise FileNotFoundError(f"{place.repo_id} was deleted while it was pushed to. Nothing was published.")
        head = found[0]
        readme.write_text(str(make_card(head.previous_card(place.overwrite))), encoding="utf-8")
        everything = {**files, CARD: readme}
        changed = {name: path for name, path in everything.items() if not head.holds(name, path)}
        left_over = head.left_over(everything)
        if not changed and not left_over:
            url = f"{place.api.endpoint}/datasets/{place.repo_id}/commit/{head.oid}"
            return Published(CommitInfo(url, message, description or "", head.oid), changed=sent)
        operations = _upload(place, changed, left_over)
        sent = True
        about = {"commit_message": message, "commit_description": description}
        return Published(_commit(place, operations, head.oid, about), changed=True)

    with _quiet_unless_terminal():
        return place.retry.call(attempt, f"Pushing to {place.repo_id}")


def _upload(
    place: Place, changed: dict[str, Path], left_over: list[str]
) -> list[CommitOperationAdd | CommitOperationDelete]:
    """Send what is large, and say what the commit is to do."""
    additions = [CommitOperationAdd(name, path) for name, path in changed.items()]
    # A .gitignore of the user's must not leave half of the selection out.
    place.api.preupload_lfs_files(additions=additions, free_memory=False, gitignore_content="", **place.where)
    return [*map(CommitOperationDelete, left_over), *additions]


def _commit(
    place: Place, operations: list[CommitOperationAdd | CommitOperationDelete], parent: str, about: dict[str, Any]
) -> CommitInfo:
    try:
        return place.api.create_commit(operations=operations, parent_commit=parent, **about, **place.where)
    except HTTPError as error:
        if place.create_pr and status_of(error) is None:
            raise ConnectionError(
                f"{told(error)} while {place.repo_id} was asked for a pull request: look on the Hub whether it was "
                "opened before you push again, or there may be two."
            ) from error
        raise


@contextmanager
def _quiet_unless_terminal() -> Iterator[None]:
    """Without a terminal to move in, turn the uploads' own bars off for a while."""
    off = not sys.stderr.isatty() and not are_progress_bars_disabled()
    if off:
        disable_progress_bars()
    try:
        yield
    finally:
        if off:
            enable_progress_bars()
