"""How messages get to the parties: a protocol, and the one that needs no network."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, Protocol

from hf_datasel.collaborative.wire import decode


class Transport(Protocol):
    """Brings messages to parties and their answers back."""

    @property
    def parties(self) -> tuple[str, ...]:
        """The parties that can be reached, by name."""
        ...

    def exchange(self, requests: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
        """Send each party its request; yield party and answer as the answers come, in any order.

        Raises:
            ValueError: a party that is not there.
            Exception: whatever kept a party from answering; the party is named.
        """
        ...


class InProcess:
    """Parties in this process, one after another. Still nothing but bytes passes from one side to the other.

    Args:
        handlers: by party, what answers its requests.

    Attributes:
        traffic: (party, kind of message, bytes) of every message that has crossed, in order.
    """

    def __init__(self, handlers: Mapping[str, Callable[[Any], Any]]) -> None:
        self._handlers = dict(handlers)
        self.traffic: list[tuple[str, str, int]] = []

    @property
    def parties(self) -> tuple[str, ...]:
        """The parties, in the order given."""
        return tuple(self._handlers)

    def exchange(self, requests: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
        """As in :class:`Transport`; a party starts on its request when the answer before has been taken."""
        unknown = sorted(requests.keys() - self._handlers.keys())
        if unknown:
            raise ValueError(f"There is no party {unknown[0]!r}, only {list(self._handlers)}.")
        for party, request in requests.items():
            try:
                reply = self._handlers[party](self._carry(party, request))
            except Exception as error:
                error.add_note(f"This was party {party!r}, answering a {type(request).__name__}.")
                raise
            yield party, self._carry(party, reply)

    def _carry(self, party: str, message: Any) -> Any:
        payload = message.to_bytes()
        self.traffic.append((party, type(message).__name__, len(payload)))
        return decode(payload)
