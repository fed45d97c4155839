"""A request as the routes see it, and the table that finds a route by method and path."""

import json
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol
from urllib.parse import parse_qs, unquote, urlsplit

from tests.hub.loopback.accounts import Account, may_read, require_write
from tests.hub.loopback.answers import Answer, HubError
from tests.hub.loopback.repos import Repo


class Hub(Protocol):
    """What the routes need of the Hub."""

    @property
    def url(self) -> str: ...
    @property
    def repos(self) -> dict[tuple[str, str], Repo]: ...


@dataclass(frozen=True)
class Request:
    """One request that came in; `status` is None where its connection was broken instead of answered."""

    route: str
    method: str
    target: str
    num_bytes: int
    status: int | None


@dataclass
class Call:
    """One request: what its path named, who asks, its headers and its whole body."""

    hub: Hub
    account: Account | None
    names: dict[str, str]
    query: dict[str, list[str]]
    headers: dict[str, str]
    body: bytes

    @property
    def revision(self) -> str:
        return self.names["revision"]

    @property
    def repo_type(self) -> str:
        return (self.names["type"] or "models/").removesuffix("/").removesuffix("s")

    def json(self) -> dict:
        return json.loads(self.body or b"{}")

    def flag(self, name: str) -> bool:
        return self.query.get(name, ["false"])[0].lower() in ("1", "true")

    def find(self, repo_id: str, repo_type: str) -> Repo:
        """A repo that this account may see; 404 as well for one that it may not."""
        repo = self.hub.repos.get((repo_type, repo_id))
        if repo is None or not may_read(self.account, repo):
            raise HubError(404, "Repository not found", "RepoNotFound")
        return repo

    def repo(self) -> Repo:
        """The repo that the path names, for reading."""
        return self.find(self.names["id"], self.repo_type)

    def repo_to_write(self, *, as_pull: bool = False) -> Repo:
        """The repo that the path names, for a write that this account is allowed."""
        repo = self.repo()
        require_write(self.account, repo.owner, as_pull=as_pull)
        return repo


Handler = Callable[[Call], Answer]


@dataclass
class Routes:
    """Handlers by method and path; a path's named groups are unquoted, so `refs%2Fpr%2F1` is one name."""

    rules: list[tuple[str, re.Pattern[str], str, Handler]] = field(default_factory=list)

    def add(self, method: str, path: str, name: str) -> Callable[[Handler], Handler]:
        """Decorate the handler of a route; `{repo}`, `{files}` and `{x}` in the path stand for their patterns."""
        pattern = path.replace("{repo}", r"/api/(?P<type>models|datasets)/(?P<id>[^/]+/[^/]+)")
        pattern = pattern.replace("{files}", r"/(?P<type>datasets/)?(?P<id>[^/]+/[^/]+?)")
        pattern = re.sub(r"{(\w+)}", r"(?P<\1>[^/]+)", pattern)

        def register(handler: Handler) -> Handler:
            self.rules.append((method, re.compile(pattern), name, handler))
            return handler

        return register

    def find(self, method: str, target: str) -> tuple[str, Handler, dict[str, str], dict[str, list[str]]]:
        """The name and handler of a request's route, what its path names, and its query; "unknown" where none fits."""
        url = urlsplit(target)
        query = parse_qs(url.query)
        for known_method, pattern, name, handler in self.rules:
            found = pattern.fullmatch(url.path)
            if known_method == method and found:
                return name, handler, {key: unquote(value or "") for key, value in found.groupdict().items()}, query
        return "unknown", no_such_route, {}, query


def no_such_route(call: Call) -> Answer:
    raise HubError(404, "Not Found")
