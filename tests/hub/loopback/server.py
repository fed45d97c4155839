"""HTTP for the Hub on loopback: one thread a connection; faults befall requests here."""

import contextlib
import socket
import struct
import sys
import threading
from collections.abc import Callable
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, NoReturn

from tests.hub.loopback.accounts import account_of
from tests.hub.loopback.answers import Answer, HubError
from tests.hub.loopback.faults import Fault
from tests.hub.loopback.reading import ROUTES as READING
from tests.hub.loopback.routing import Call, Request, Routes
from tests.hub.loopback.writing import ROUTES as WRITING

if TYPE_CHECKING:
    from tests.hub.loopback.hub import LoopbackHub

ROUTES = Routes(READING.rules + WRITING.rules)
RESET_ON_CLOSE = struct.pack("ii", 1, 0)  # SO_LINGER: on, zero seconds
NO_FAULT = Fault(route="none")


def refuse(fault: Fault) -> None:
    """Raise the refusal that the fault asks for, if it does."""
    if fault.status is not None:
        headers = {} if fault.retry_after is None else {"Retry-After": str(fault.retry_after)}
        raise HubError(fault.status, fault.message, fault.code, **headers)


class Broken(ConnectionError):
    """Raised to leave a request whose connection is broken on purpose."""


class Server(ThreadingHTTPServer):
    """Accepts in a thread of its own from construction to `die`."""

    daemon_threads = True

    def __init__(self, hub: "LoopbackHub") -> None:
        super().__init__(("127.0.0.1", hub.port), Connection)
        self.hub = hub
        self.connections: set[socket.socket] = set()
        self._accepting = threading.Thread(target=self.serve_forever, args=(0.02,), daemon=True)
        self._accepting.start()

    def die(self) -> None:
        """Accept no more, and break what is open."""
        self.shutdown()
        self._accepting.join()
        self.server_close()
        for connection in list(self.connections):
            with contextlib.suppress(OSError):  # the client was quicker
                connection.shutdown(socket.SHUT_RDWR)

    def process_request(self, request, client_address) -> None:
        self.connections.add(request)
        super().process_request(request, client_address)

    def shutdown_request(self, request) -> None:
        if request in self.connections:
            self.connections.discard(request)
            super().shutdown_request(request)
        else:
            self.close_request(request)  # broken on purpose: no orderly end before the reset

    def handle_error(self, request: object, client_address: object) -> None:
        """A connection that breaks is no fault of the Hub's; anything else is, and the tests hear of it."""
        error = sys.exception()
        if not isinstance(error, ConnectionError):
            self.hub.crashes.append(repr(error))


class Connection(BaseHTTPRequestHandler):
    """One client's connection: its requests, one after the other."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: Server

    def respond(self) -> None:
        hub = self.server.hub
        route, handler, names, query = ROUTES.find(self.command, self.path)
        fault = hub.faults.of(route, self.command) or NO_FAULT
        body = self._body(fault.cut_after)
        if fault.before is not None:
            fault.before()
        log = partial(self._log, route, len(body))
        if fault.cut_after is not None or (fault.die and not fault.lose_answer):
            self._break(fault, log)
        try:
            refuse(fault)
            headers = {key.lower(): value for key, value in self.headers.items()}
            account = account_of(headers.get("authorization"))
            answer = handler(Call(hub, account, names, query, headers, body))
        except HubError as error:
            answer = Answer.refusal(error)
        if fault.lose_answer:
            self._break(fault, log)
        log(answer.status)
        self._send(answer)

    do_GET = do_HEAD = do_POST = do_PUT = do_DELETE = respond

    def _log(self, route: str, num_bytes: int, status: int | None) -> None:
        """Before the client hears anything, so that a test that goes on when the client does finds it here."""
        self.server.hub.requests.append(Request(route, self.command, self.path, num_bytes, status))

    def _break(self, fault: Fault, log: Callable[[int | None], None]) -> NoReturn:
        """Leave the connection such that the client reads a reset, as from a machine that is gone."""
        log(None)
        self.server.connections.discard(self.connection)
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET_ON_CLOSE)
        if fault.die:
            self.server.hub.stop()
        raise Broken

    def _body(self, limit: int | None) -> bytes:
        """The request's body, of known length or in chunks; with a limit, at least its first `limit` bytes."""
        if self.headers.get("Transfer-Encoding", "").lower() != "chunked":
            length = int(self.headers.get("Content-Length", 0))
            return self._exactly(length if limit is None else min(length, limit))
        body = b""
        while limit is None or len(body) < limit:
            size = int(self._line(), 16)
            body += self._exactly(size)
            self._line()
            if size == 0:
                break
        return body

    def _line(self) -> bytes:
        line = self.rfile.readline()
        if not line:
            raise Broken  # the client went away in the middle
        return line

    def _exactly(self, size: int) -> bytes:
        data = self.rfile.read(size)
        if len(data) < size:
            raise Broken  # the client went away in the middle
        return data

    def _send(self, answer: Answer) -> None:
        self.send_response(answer.status)
        for key, value in {**answer.headers, "Content-Length": str(len(answer.body))}.items():
            self.send_header(key, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(answer.body)

    def log_message(self, *args: object) -> None:
        """Say nothing: `LoopbackHub.requests` has it all."""
