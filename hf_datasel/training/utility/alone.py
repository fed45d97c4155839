"""A process of a launch that works by itself for a while, as if it had been started without a launcher."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from accelerate import PartialState
from accelerate.state import AcceleratorState
from accelerate.utils import DistributedType

ONE_PROCESS: dict[str, Any] = {
    "distributed_type": DistributedType.NO,
    "num_processes": 1,
    "process_index": 0,
    "local_process_index": 0,
}


@contextmanager
def alone() -> Iterator[None]:
    """Within the body a Trainer of this process shares nothing with other processes: no DDP, no sharding, no waiting.

    The process group and the device stay; what accelerate says of them is as before when the body ends.
    """
    if PartialState().num_processes == 1:
        yield
        return
    # Every object of these classes reads this one dictionary, the arguments of a training too.
    shared = [PartialState._shared_state, AcceleratorState._shared_state]
    before = [dict(state) for state in shared]
    PartialState._shared_state.update(ONE_PROCESS)
    AcceleratorState._shared_state.clear()
    try:
        yield
    finally:
        for state, content in zip(shared, before, strict=True):
            state.clear()
            state.update(content)
