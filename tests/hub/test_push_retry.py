"""Waiting and trying again: how often, how long, and for what."""

from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from types import SimpleNamespace
from typing import Any

import pytest
from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError

from hf_datasel.hub import Retry
from hf_datasel.hub.retry import HTTPError, http_error, pause_asked_for


def refusal(status: int, **headers: str) -> HfHubHTTPError:
    named = {key.replace("_", "-"): value for key, value in headers.items()}
    return HfHubHTTPError("no", response=SimpleNamespace(status_code=status, headers=named, request=None))


class Work:
    """Fails with each of the errors in turn, then gives 7."""

    def __init__(self, *errors: BaseException) -> None:
        self.errors, self.num_calls = list(errors), 0

    def __call__(self) -> int:
        self.num_calls += 1
        if self.errors:
            raise self.errors.pop(0)
        return 7


@pytest.fixture
def waited(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    seconds: list[float] = []
    monkeypatch.setattr("hf_datasel.hub.retry.time.sleep", seconds.append)
    return seconds


@pytest.mark.parametrize("status", [409, 412, 429, 500, 502, 503, 504])
def test_waits_double_and_vary(waited: list[float], status: int) -> None:
    work = Work(*[refusal(status)] * 5)
    assert Retry(max_attempts=6, first_wait=2.0, longest_wait=20.0).call(work, "Work") == 7
    assert work.num_calls == 6
    for seconds, most in zip(waited, (2, 4, 8, 16, 20), strict=True):
        assert most / 2 <= seconds <= most
    assert len({seconds / most for seconds, most in zip(waited, (2, 4, 8, 16, 20), strict=True)}) > 1


def test_the_hubs_own_wish_counts(waited: list[float]) -> None:
    assert Retry(first_wait=1.0).call(Work(refusal(503, retry_after="30"), refusal(429)), "Work") == 7
    assert waited[0] == 30
    assert waited[1] <= 2


def test_as_often_as_it_may(waited: list[float]) -> None:
    work = Work(*[refusal(503)] * 9)
    with pytest.raises(ConnectionError, match=r"Work was tried 3 times, and the Hub answered 503\. Try again later"):
        Retry(max_attempts=3).call(work, "Work")
    assert (work.num_calls, len(waited)) == (3, 2)


def test_a_pause_that_is_too_long(waited: list[float]) -> None:
    with pytest.raises(ConnectionError, match=r"tried once.*asks to wait 301 s"):
        Retry().call(Work(refusal(429, retry_after="301")), "Work")
    assert waited == []


@pytest.mark.parametrize("status", [400, 401, 403, 404, 413, 422])
def test_a_refusal_is_no_reason_to_try_again(waited: list[float], status: int) -> None:
    work = Work(refusal(status))
    with pytest.raises(HfHubHTTPError):
        Retry().call(work, "Work")
    assert (work.num_calls, waited) == (1, [])


@pytest.mark.parametrize("error", [ValueError("x"), RuntimeError("x"), FileExistsError("x"), ConnectionError("x")])
def test_other_errors_pass_through(waited: list[float], error: Exception) -> None:
    with pytest.raises(type(error), match="x"):
        Retry().call(Work(error), "Work")
    assert waited == []


def wrapped(kind: type[Exception], cause: Exception) -> Exception:
    error = kind("Error while uploading")
    error.__cause__ = cause
    return error


@pytest.mark.parametrize("kind", [RuntimeError, LocalEntryNotFoundError])
def test_what_huggingface_hub_wraps_is_seen_through(waited: list[float], kind: type[Exception]) -> None:
    cut = HTTPError("connection reset")
    assert http_error(wrapped(kind, cut)) is cut
    assert Retry().call(Work(wrapped(kind, cut), wrapped(RuntimeError, refusal(503))), "Work") == 7
    with pytest.raises(kind):
        Retry().call(Work(wrapped(kind, refusal(403))), "Work")


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({}, 0),
        ({"retry_after": "17"}, 17),
        ({"retry_after": "soon"}, 0),
        ({"retry_after": "Wed, 21 Oct 2015 07:28:00 GMT"}, 0),
        ({"ratelimit": '"api";r=0;t=55'}, 55),
        ({"ratelimit": '"api";r=3;t=55'}, 0),
    ],
)
def test_how_a_pause_is_asked_for(headers: dict[str, str], seconds: float) -> None:
    assert pause_asked_for(refusal(429, **headers)) == seconds


def test_a_pause_until_a_date() -> None:
    date = format_datetime(datetime.now(UTC) + timedelta(seconds=100), usegmt=True)
    assert 90 < pause_asked_for(refusal(503, retry_after=date)) <= 100


def test_no_answer_asks_for_nothing() -> None:
    error: Any = HTTPError("reset")
    assert pause_asked_for(error) == 0
