"""A published selection at one commit, as the Hub serves it now: nothing is taken from a cache."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from huggingface_hub import HfApi
from huggingface_hub.errors import (
    GatedRepoError,
    HFValidationError,
    LocalEntryNotFoundError,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)

from hf_datasel.hub.retry import HTTPError, http_error, passes, status_of, told
from hf_datasel.version import __version__


@dataclass(frozen=True, eq=False)
class Snapshot:
    """The files of a dataset repo at a commit.

    Args:
        api: with the token.
        repo_id: its name.
        commit: what the revision stands for.
        files: paths of all files there.
    """

    api: HfApi
    repo_id: str
    commit: str
    files: tuple[str, ...]

    @classmethod
    def open(cls, repo_id: str, revision: str | None, token: str | bool | None) -> Snapshot:
        """The repo as it is now.

        Raises:
            ValueError: no name for a repo.
            FileNotFoundError: no such repo or revision, or none that the token may read.
            PermissionError: the token is not known, or access has to be asked for.
            ConnectionError: the Hub does not answer.
        """
        api = HfApi(token=token, library_name="hf_datasel", library_version=__version__)
        with reading(repo_id, revision):
            info = api.dataset_info(repo_id, revision=revision)
        assert info.sha is not None  # the Hub always names it
        return cls(api, repo_id, info.sha, tuple(sorted(file.rfilename for file in info.siblings or ())))

    @contextmanager
    def fetched(self, name: str) -> Iterator[Path]:
        """A file of the repo, for as long as the block lasts; raises as `open`."""
        with tempfile.TemporaryDirectory(prefix="hf_datasel-") as folder:
            with reading(self.repo_id, self.commit):
                path = self.api.hf_hub_download(
                    self.repo_id, name, repo_type="dataset", revision=self.commit, cache_dir=folder
                )
            yield Path(path)

    def text(self, name: str) -> str:
        """A file's text, where it is none with marks in place of what is no UTF-8; raises as `open`."""
        with self.fetched(name) as path:
            return path.read_text(encoding="utf-8", errors="replace")


@contextmanager
def reading(repo_id: str, revision: str | None) -> Iterator[None]:
    """Say in one line why a dataset repo cannot be read; raises as `Snapshot.open`."""
    where = f"the dataset {repo_id!r}" + (f" at {revision!r}" if revision else "")
    try:
        yield
    except HFValidationError as error:
        raise ValueError(f"{repo_id!r} is no name for a repo on the Hub, as in 'me/my-set': {error}") from error
    except GatedRepoError as error:
        raise PermissionError(f"Access to {where} has to be asked for on its page on the Hub.") from error
    except RepositoryNotFoundError as error:
        raise FileNotFoundError(
            f"There is no dataset {repo_id!r} on the Hub, or the token may not read it: check the name, run "
            "`hf auth login`, or pass token=."
        ) from error
    except RevisionNotFoundError as error:
        raise FileNotFoundError(
            f"{repo_id} has no revision {revision!r}: name a branch, a tag or a commit."
        ) from error
    except (HTTPError, LocalEntryNotFoundError) as error:
        cause = http_error(error)
        if status_of(cause) in (401, 403):
            raise PermissionError(f"The token may not read {where} ({told(cause or error)}).") from error
        again = " Try again later." if passes(cause or error) else ""
        raise ConnectionError(f"Reading {where}: {told(cause or error)}.{again}") from error
