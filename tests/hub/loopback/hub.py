"""The Hub on loopback: what it remembers, what is to go wrong, what came in; it can die and come back."""

import itertools
import socket

from tests.hub.loopback.accounts import Tokens
from tests.hub.loopback.faults import Faults
from tests.hub.loopback.repos import Repo
from tests.hub.loopback.routing import Request
from tests.hub.loopback.server import Server


class LoopbackHub:
    """A Hub at `url` from `start` (or `with`) to `stop`; it needs no network and forgets all in the end.

    `repos` holds what it remembers, `faults` what is to go wrong, `requests` what came in, `tokens` who may ask.
    """

    tokens = Tokens()

    def __init__(self) -> None:
        self.repos: dict[tuple[str, str], Repo] = {}
        self.faults = Faults()
        self.requests: list[Request] = []
        self.crashes: list[str] = []
        self._server: Server | None = None
        self._numbers = itertools.count()
        # never listens: it keeps the port for this Hub while the server is dead
        self._reserved = socket.socket()
        self._reserved.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self._reserved.bind(("127.0.0.1", 0))
        self.port: int = self._reserved.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"

    def start(self) -> None:
        """Serve, for the first time or again; nothing to do where it does."""
        if self._server is None:
            self._server = Server(self)

    def stop(self) -> None:
        """Die: refuse connections and break those that are open; `start` brings the Hub back as it was."""
        server, self._server = self._server, None
        if server is not None:
            server.die()

    def __enter__(self) -> "LoopbackHub":
        self.start()
        return self

    def __exit__(self, *error: object) -> None:
        self.stop()
        self._reserved.close()

    def forget(self) -> None:
        """Remember no repo, no fault and no request any more."""
        self.repos.clear()
        self.faults.clear()
        self.requests.clear()

    def new_id(self, name: str = "set", owner: str = "alice") -> str:
        """A repo id that was never used on this Hub: clients cache by id."""
        return f"{owner}/{name}-{next(self._numbers)}"

    def create(self, repo_id: str, repo_type: str = "dataset", *, private: bool = False) -> Repo:
        """A new repo, made by the test itself."""
        repo = self.repos[repo_type, repo_id] = Repo(repo_id, repo_type, private=private)
        return repo

    def repo(self, repo_id: str, repo_type: str = "dataset") -> Repo:
        """The repo of this id; KeyError where there is none."""
        return self.repos[repo_type, repo_id]

    def seen(self, route: str, method: str | None = None) -> list[Request]:
        """The requests of one route, as they came."""
        return [one for one in self.requests if one.route == route and method in (None, one.method)]
