"""Trainings side by side: one process a core, each on one thread.

So small a model gains nothing from a second thread, but two models train at once on two cores. On one thread the
numbers are also the same however many processes there are.
"""

import os
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from contextlib import contextmanager
from multiprocessing import get_context, parent_process
from multiprocessing.sharedctypes import Synchronized
from typing import Any

import torch

from hf_datasel.quickstart.progress import quiet_libraries

MOST_WORKERS = 4  # each takes most of a gigabyte
_WAIT_S = 0.25

Advance = Callable[[float], None]
_work_done: "Synchronized[float] | None" = None


def usable_workers(num_workers: int) -> int:
    """`num_workers`, or where it is 0 the number of cores this process may use, at most 4."""
    return num_workers or min(MOST_WORKERS, len(os.sched_getaffinity(0)) if _HAS_AFFINITY else os.cpu_count() or 1)


_HAS_AFFINITY = hasattr(os, "sched_getaffinity")  # not on macOS and Windows


@contextmanager
def one_thread() -> Iterator[None]:
    """Let torch use a single thread for a while."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


class Workers:
    """Runs functions `function(*args, advance)`, in other processes if there are several workers, else right here.

    A context manager: leaving it with an error drops what has not begun.
    """

    def __init__(self, num_workers: int, advance: Advance) -> None:
        self._advance = advance
        self._seen = 0.0
        self._pool: ProcessPoolExecutor | None = None
        if num_workers > 1:
            # A forked child would inherit torch's threads in an undefined state.
            context = get_context("spawn")
            self._done = context.Value("d", 0.0)
            self._pool = ProcessPoolExecutor(num_workers, context, _start_worker, (self._done,))

    def __enter__(self) -> "Workers":
        return self

    def __exit__(self, kind: Any, error: Any, trace: Any) -> None:
        if self._pool is not None:
            self._pool.shutdown(wait=True, cancel_futures=True)

    def submit(self, function: Callable[..., Any], *args: Any) -> "Future[Any]":
        """Begin `function`; a single worker has done it when this returns."""
        if self._pool is not None:
            return self._pool.submit(_in_worker, function, *args)
        future: Future[Any] = Future()
        future.set_result(function(*args, self._advance))
        return future

    def wait_for(self, future: "Future[Any]") -> Any:
        """The result of what was submitted, or what it raised."""
        return next(iter(self._as_completed([future]))).result()

    def run_all(self, function: Callable[..., Any], calls: Sequence[tuple[Any, ...]]) -> Iterator[Any]:
        """The results of `function(*call, advance)` for all calls, as they come in. Raises what a call raised."""
        if self._pool is None:
            yield from (function(*call, self._advance) for call in calls)
        else:
            for future in self._as_completed([self.submit(function, *call) for call in calls]):
                yield future.result()

    def _as_completed(self, futures: Iterable["Future[Any]"]) -> Iterator["Future[Any]"]:
        """Futures as they are done; meanwhile the work done by other processes is counted."""
        pending = set(futures)
        while pending:
            done, pending = wait(pending, timeout=_WAIT_S, return_when=FIRST_COMPLETED)
            self._count()
            yield from done

    def _count(self) -> None:
        if self._pool is not None:
            now = self._done.value
            self._advance(now - self._seen)
            self._seen = now


def _start_worker(done: "Synchronized[float]") -> None:
    global _work_done
    _work_done = done
    torch.set_num_threads(1)
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    """A worker whose parent was killed would wait for work for ever."""
    parent = parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


def _in_worker(function: Callable[..., Any], *args: Any) -> Any:
    with quiet_libraries():
        return function(*args, _count_here)


def _count_here(amount: float) -> None:
    if _work_done is not None:
        with _work_done.get_lock():
            _work_done.value += amount
