"""What the Hub on loopback remembers: repos, their commits and refs, and uploaded large files.

As in git, a commit is a whole tree and never changes; a ref is a name that moves from one commit to the next. All of a
commit's operations are applied to a copy, and the ref moves last: a commit counts whole or not at all.
"""

import hashlib
import itertools
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cached_property

from tests.hub.loopback.answers import HubError

FIRST_FILES = {".gitattributes": b"*.parquet filter=lfs diff=lfs merge=lfs -text\n"}

_ordinals = itertools.count()


@dataclass(frozen=True)
class File:
    """A file's content; a large one lies outside git, which keeps a pointer to its SHA-256."""

    content: bytes
    is_large: bool

    @property
    def size(self) -> int:
        return len(self.content)

    @cached_property
    def sha256(self) -> str:
        return hashlib.sha256(self.content).hexdigest()

    @property
    def pointer(self) -> bytes:
        return f"version https://git-lfs.github.com/spec/v1\noid sha256:{self.sha256}\nsize {self.size}\n".encode()

    @cached_property
    def git_oid(self) -> str:
        """The SHA-1 that git gives the blob: of the pointer where the file is large."""
        blob = self.pointer if self.is_large else self.content
        return hashlib.sha1(b"blob %d\0" % len(blob) + blob).hexdigest()

    @property
    def etag(self) -> str:
        return self.sha256 if self.is_large else self.git_oid


@dataclass(frozen=True)
class Commit:
    """A tree of files with the commit it follows; `oid` is never used twice, in no repo."""

    parent: "Commit | None"
    files: Mapping[str, File]
    title: str
    message: str = ""
    author: str = "hub"
    date: datetime = field(default_factory=lambda: datetime.now(UTC))
    oid: str = field(default_factory=lambda: hashlib.sha1(b"commit %d" % next(_ordinals)).hexdigest())

    def ancestry(self) -> Iterator["Commit"]:
        """This commit, its parent, and so on to the first."""
        commit: Commit | None = self
        while commit is not None:
            yield commit
            commit = commit.parent


@dataclass(frozen=True)
class Pull:
    """A pull request: `refs/pr/<num>` holds its commits."""

    num: int
    title: str
    description: str
    author: str


class Repo:
    """One repo; its methods may be called by many threads."""

    def __init__(self, repo_id: str, repo_type: str, *, private: bool = False) -> None:
        self.id, self.type, self.private = repo_id, repo_type, private
        first = Commit(None, {path: File(content, False) for path, content in FIRST_FILES.items()}, "initial commit")
        self.refs = {"refs/heads/main": first}
        self.commits = {first.oid: first}
        self.pulls: list[Pull] = []
        self.large: dict[str, bytes] = {}  # uploaded content by its SHA-256, committed or not
        self.lock = threading.RLock()  # held while a head is read and moved: a second commit on one parent is refused

    @property
    def owner(self) -> str:
        return self.id.split("/")[0]

    def ref(self, revision: str) -> str | None:
        """The full name of a branch, a tag or a pull request."""
        for name in (revision, f"refs/heads/{revision}", f"refs/tags/{revision}"):
            if name in self.refs:
                return name
        return None

    def head(self, revision: str = "main") -> Commit:
        """The commit that a branch, tag, pull request or commit oid names; HubError 404 where there is none."""
        ref = self.ref(revision)
        commit = self.refs[ref] if ref else self.commits.get(revision)
        if commit is None:
            raise HubError(404, f"Invalid rev id: {revision}", "RevisionNotFound")
        return commit

    def files(self, revision: str = "main") -> dict[str, bytes]:
        """Every file's content at a revision, by path."""
        return {path: file.content for path, file in sorted(self.head(revision).files.items())}

    def titles(self, revision: str = "main") -> list[str]:
        """The commits' titles, the newest first."""
        return [commit.title for commit in self.head(revision).ancestry()]

    def store_large(self, content: bytes, oid: str) -> None:
        """Keep an uploaded large file; HubError 400 where the content is not what its name says."""
        if hashlib.sha256(content).hexdigest() != oid:
            raise HubError(400, f"The content's SHA-256 is not {oid}")
        self.large[oid] = content

    def commit(self, changes: Mapping[str, bytes | None], title: str = "change", revision: str = "main") -> Commit:
        """Another person's commit, from the test itself: content by path, None to delete."""
        with self.lock:
            tree = dict(self.head(revision).files)
            for path, content in changes.items():
                if content is None:
                    del tree[path]
                else:
                    tree[path] = File(content, is_large=is_large(path, len(content), content))
                    if tree[path].is_large:
                        self.large[tree[path].sha256] = content
            return self.advance(revision, tree, title)

    def advance(
        self, revision: str, tree: Mapping[str, File], title: str, message: str = "", author: str = "hub"
    ) -> Commit:
        """Put one commit with this tree on a branch or a pull request; the caller holds `lock`."""
        ref = self.ref(revision)
        if ref is None or ref.startswith("refs/tags/"):
            raise HubError(404, f"Invalid rev id: {revision}", "RevisionNotFound")
        commit = Commit(self.refs[ref], dict(tree), title, message, author)
        self.commits[commit.oid] = commit
        self.refs[ref] = commit
        return commit

    def open_pull(self, base: Commit, title: str, description: str, author: str) -> str:
        """A new pull request that starts at `base`; the name of its ref."""
        pull = Pull(len(self.pulls) + 1, title, description, author)
        self.pulls.append(pull)
        self.refs[f"refs/pr/{pull.num}"] = base
        return f"refs/pr/{pull.num}"


LARGE_SUFFIXES = (".arrow", ".bin", ".npy", ".parquet", ".png", ".safetensors", ".zip")
LARGE_SIZE = 10_000_000


def is_large(path: str, size: int, sample: bytes) -> bool:
    """Whether a file goes to the large-file store rather than into git itself."""
    return path.endswith(LARGE_SUFFIXES) or size > LARGE_SIZE or b"\0" in sample[:512]
