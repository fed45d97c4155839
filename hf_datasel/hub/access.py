"""Who pushes, and what they may: refusals that come before any work, and the Hub's own in plain words."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator

from huggingface_hub import HfApi, get_token
from huggingface_hub.errors import HFValidationError, RepositoryNotFoundError, RevisionNotFoundError
from huggingface_hub.utils import validate_repo_id

from hf_datasel.hub.retry import Retry, http_error, status_of
from hf_datasel.version import __version__

_LOG_IN = (
    "make one that may write at https://huggingface.co/settings/tokens, then run `hf auth login`, set HF_TOKEN, or "
    "pass token="
)


def make_api(token: str | bool | None) -> HfApi:
    """A client with a token.

    Raises:
        PermissionError: there is none.
    """
    found = get_token() if token is None or token is True else token
    if not found:
        raise PermissionError(f"Publishing needs a token of the Hub, and there is none: {_LOG_IN}.")
    return HfApi(token=found, library_name="hf_datasel", library_version=__version__)


def check_names(repo_id: str, revision: str | None) -> None:
    """Refuse a repo or a revision that the Hub could not take.

    Raises:
        ValueError: the name breaks the Hub's rules, or the revision is a commit.
    """
    try:
        validate_repo_id(repo_id)
    except HFValidationError as error:
        raise ValueError(f"repo_id={repo_id!r} is no name for a repo, as 'me/my-set' would be: {error}") from error
    if revision is not None and re.fullmatch(r"[0-9a-f]{40}", revision):
        raise ValueError(f"revision={revision!r} is a commit, and nothing can be committed to it: name a branch.")


def full_name(api: HfApi, repo_id: str, retry: Retry) -> str:
    """The repo's name with its owner, after a look at whether the token may write at all.

    Raises:
        PermissionError: the Hub does not know the token, or it is a read-only one.
    """
    person = retry.call(api.whoami, "Asking the Hub whose token this is")
    role = ((person.get("auth") or {}).get("accessToken") or {}).get("role")
    if role == "read":
        raise PermissionError(f"The token of {person.get('name')} may only read: {_LOG_IN}.")
    return repo_id if "/" in repo_id else f"{person['name']}/{repo_id}"


@contextlib.contextmanager
def in_plain_words(repo_id: str) -> Iterator[None]:
    """Turn the Hub's refusals into errors that say what to do.

    Raises:
        PermissionError: the token is not known or may not write there.
        ValueError: the revision is not there.
        OSError: the Hub refused for another reason, which is told in one line.
    """
    try:
        yield
    except (OSError, RuntimeError) as error:
        cause = http_error(error)
        status = status_of(cause)
        if cause is None or status is None:
            raise
        told = " ".join(str(getattr(cause, "server_message", None) or cause).split())
        if isinstance(cause, RevisionNotFoundError):
            raise ValueError(f"{repo_id} has no branch of that name to commit to ({told}).") from error
        if status == 401:
            raise PermissionError(f"The Hub does not accept the token ({told}): {_LOG_IN}.") from error
        if status == 403 or isinstance(cause, RepositoryNotFoundError):
            raise PermissionError(
                f"The token may not write to {repo_id} ({status}: {told}). Push to a namespace of your own, ask its "
                "owner for access, or open a pull request with create_pr=True (--create_pr)."
            ) from error
        raise OSError(f"The Hub refused what was to be pushed to {repo_id} ({status}): {told}") from error
