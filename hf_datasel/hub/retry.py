"""Trying again what a Hub refused for the moment: huggingface_hub sends a commit once and no more."""

from __future__ import annotations

import logging
import random
import re
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import TypeVar

from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError

BUSY = frozenset({429, 500, 502, 503, 504})
MOVED = frozenset({409, 412})  # somebody else's commit came first
# The HTTP library's base class; huggingface_hub has changed libraries, and always derives its own error from it.
HTTPError: type[Exception] = next(base for base in HfHubHTTPError.__bases__ if base.__name__ == "HTTPError")

_Result = TypeVar("_Result")
_log = logging.getLogger(__name__)
_jitter = random.SystemRandom()  # processes that failed together must not come back together


@dataclass(frozen=True)
class Retry:
    """How often a request to the Hub is tried, and how long is waited in between.

    Args:
        max_attempts: at least 1.
        first_wait: seconds before the second attempt; doubles with every further one, less up to a half by chance.
        longest_wait: seconds; a Hub that asks for a longer pause is not waited for.

    Example:
        >>> Retry(max_attempts=3).call(lambda: 7, "Counting")
        7
    """

    max_attempts: int = 6
    first_wait: float = 1.0
    longest_wait: float = 300.0

    def call(self, work: Callable[[], _Result], what: str) -> _Result:
        """What `work` returns, tried again where the Hub was busy, the connection broke, or the head has moved.

        Raises:
            ConnectionError: it failed `max_attempts` times, or the Hub asked for too long a pause; `what` is named.
            ValueError: not even one attempt, or a negative wait.
            Exception: whatever else `work` raised.
        """
        if self.max_attempts < 1 or self.first_wait < 0 or self.longest_wait < 0:
            raise ValueError(f"{self} makes no sense: at least one attempt is needed, and no wait is negative.")
        attempt = 1
        while True:
            try:
                return work()
            except (HTTPError, RuntimeError, LocalEntryNotFoundError) as error:
                cause = http_error(error)
                if cause is None or not passes(cause):
                    raise
                asked = pause_asked_for(cause)
                if attempt >= self.max_attempts or asked > self.longest_wait:
                    raise ConnectionError(_given_up(what, attempt, asked, cause)) from error
                backoff = min(self.longest_wait, self.first_wait * 2 ** (attempt - 1)) * _jitter.uniform(0.5, 1)
                wait = max(asked, backoff)
                _log.warning("%s: %s; attempt %d follows in %.1f s.", what, told(cause), attempt + 1, wait)
                time.sleep(wait)
                attempt += 1


def http_error(error: BaseException | None) -> BaseException | None:
    """The HTTP error that an exception is, or that huggingface_hub has wrapped in it; None where there is none."""
    if error is None or isinstance(error, HTTPError):
        return error
    wraps = isinstance(error, (RuntimeError, LocalEntryNotFoundError))
    return http_error(error.__cause__) if wraps else None


def status_of(error: BaseException | None) -> int | None:
    """The status that the Hub answered with; None where no answer came."""
    return error.response.status_code if isinstance(error, HfHubHTTPError) else None


def passes(error: BaseException) -> bool:
    """Whether another attempt may do better: busy, moved, or no answer at all."""
    status = status_of(error)
    return status is None or status in BUSY | MOVED


def pause_asked_for(error: BaseException) -> float:
    """Seconds that the Hub asked to wait, by `Retry-After` or by its rate limit; 0 where it did not."""
    if not isinstance(error, HfHubHTTPError):
        return 0.0
    headers = error.response.headers
    value = headers.get("retry-after", "").strip()
    if value.isdigit():
        return float(value)
    if value:
        try:
            return max(0.0, (parsedate_to_datetime(value) - datetime.now(UTC)).total_seconds())
        except (ValueError, TypeError):  # no date, or one without a zone
            return 0.0
    until_reset = re.search(r";\s*r=0\s*;\s*t=(\d+)", headers.get("ratelimit", ""))
    return float(until_reset[1]) if until_reset and error.response.status_code == 429 else 0.0


def told(error: BaseException) -> str:
    """An HTTP error in one line."""
    status = status_of(error)
    if status is None:
        return f"the connection failed ({' '.join(str(error).split()) or type(error).__name__})"
    if status in MOVED:
        return f"another commit came first ({status})"
    return f"the Hub answered {status}"


def _given_up(what: str, attempts: int, asked: float, cause: BaseException) -> str:
    tries = "once" if attempts == 1 else f"{attempts} times"
    pause = f", and asks to wait {asked:.0f} s" if asked else ""
    return f"{what} was tried {tries}, and {told(cause)}{pause}. Try again later: what has arrived is not sent twice."
