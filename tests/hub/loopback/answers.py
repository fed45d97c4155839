"""What the Hub on loopback says: an answer, or the error that takes its place."""

import json
from dataclasses import dataclass, field


class HubError(Exception):
    """A request the Hub refuses: the status, a sentence, and the code by which clients choose their exception."""

    def __init__(self, status: int, message: str, code: str | None = None, **headers: str) -> None:
        super().__init__(message)
        self.status, self.message, self.code, self.headers = status, message, code, headers


@dataclass(frozen=True)
class Answer:
    """Status, body and headers of one response."""

    status: int = 200
    body: bytes = b""
    headers: dict[str, str] = field(default_factory=dict)

    @classmethod
    def of(cls, value: object, status: int = 200, **headers: str) -> "Answer":
        """An answer in JSON."""
        return cls(status, json.dumps(value).encode(), {"Content-Type": "application/json", **headers})

    @classmethod
    def refusal(cls, error: HubError) -> "Answer":
        """The answer that tells a client of an error: in the headers, as HEAD has no body, and in the body."""
        one_line = " ".join(error.message.split()).encode("ascii", "backslashreplace").decode()
        headers = {"X-Error-Message": one_line, **error.headers}
        if error.code:
            headers["X-Error-Code"] = error.code
        return cls.of({"error": error.message}, error.status, **headers)
