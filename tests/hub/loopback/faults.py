"""What can go wrong on purpose: a refusal, a broken connection, a lost answer, a server that dies."""

import threading
from collections.abc import Callable
from dataclasses import dataclass


@dataclass
class Fault:
    """Something that befalls a route's requests number `first`, `first` + 1, ...: `times` of them, None for all.

    `status`: the request is refused with it, without effect; `message`, `code` and `retry_after` are that answer's.
    `cut_after`: the connection breaks when so many bytes of the request's body have arrived; no effect.
    `lose_answer`: the request takes effect, and the connection breaks instead of an answer.
    `die`: the server dies on the request: when its body has arrived, without effect; with `cut_after` or
    `lose_answer`, then. `LoopbackHub.start` brings it back.
    `before`: called when the body, or what `cut_after` wants of it, has arrived (another person's commit, the end of
    the client's process); then the request goes on as the rest of the fault says.
    """

    route: str
    first: int = 1
    times: int | None = 1
    method: str | None = None
    status: int | None = None
    message: str = "fault"
    code: str | None = None
    retry_after: int | None = None
    cut_after: int | None = None
    lose_answer: bool = False
    die: bool = False
    before: Callable[[], object] | None = None
    num_seen: int = 0
    num_befallen: int = 0

    def befalls(self, route: str, method: str) -> bool:
        """Count a request, and say whether it is one of those."""
        if route != self.route or self.method not in (None, method):
            return False
        self.num_seen += 1
        chosen = self.num_seen >= self.first and (self.times is None or self.num_seen < self.first + self.times)
        self.num_befallen += chosen
        return chosen


class Faults:
    """The faults that are set. A request that one of them befalls is not counted by those set after it."""

    def __init__(self) -> None:
        self._faults: list[Fault] = []
        self._lock = threading.Lock()

    def add(self, route: str, **what: object) -> Fault:
        """Set a fault; the fields of `Fault` say what can be asked. It counts requests from now on."""
        fault = Fault(route, **what)
        endings = [fault.status is not None, fault.cut_after is not None, fault.lose_answer]
        if sum(endings) > 1 or (fault.die and endings[0]):
            raise ValueError(
                "a request ends in one way: `status`, `cut_after` or `lose_answer`; `status` without `die`"
            )
        if not (any(endings) or fault.die or fault.before):
            raise ValueError("say what is to happen: `status`, `cut_after`, `lose_answer`, `die` or `before`")
        with self._lock:
            self._faults.append(fault)
        return fault

    def clear(self) -> None:
        """Nothing goes wrong any more."""
        with self._lock:
            self._faults.clear()

    def of(self, route: str, method: str) -> Fault | None:
        """The fault that befalls this request."""
        with self._lock:
            return next((fault for fault in self._faults if fault.befalls(route, method)), None)
