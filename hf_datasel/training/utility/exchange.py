"""What every process has, to every process: JSON, without pickle."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import torch
from accelerate import PartialState
from accelerate.utils import gather


def work_together(work: Callable[[], Any]) -> list[Any]:
    """Let every process do its own work, and give all of them what each one's returned, in the order of their numbers.

    Args:
        work: returns a JSON value. It may take long, but about as long everywhere: who is ready waits.

    Raises:
        RuntimeError: on the other processes, where the work of one has failed; it says whose and why. There the error
            itself is raised.
    """
    if PartialState().num_processes == 1:
        return [work()]
    result, failure = None, None
    try:
        result = work()
    except Exception as error:  # told to the other processes below, then raised: they would wait for ever
        failure = error
    told = _gather({"result": result, "failure": failure and f"{failure}"})
    if failure is not None:
        raise failure
    for number, part in enumerate(told):
        if part["failure"] is not None:
            raise RuntimeError(f"On process {number}: {part['failure']}")
    return [part["result"] for part in told]


def _gather(content: Any) -> list[Any]:
    state = PartialState()
    payload = json.dumps(content).encode()
    lengths = gather(torch.tensor([len(payload)], device=state.device)).tolist()
    buffer = torch.zeros(max(lengths), dtype=torch.uint8, device=state.device)
    buffer[: len(payload)] = torch.frombuffer(bytearray(payload), dtype=torch.uint8)
    parts = gather(buffer).view(state.num_processes, -1).cpu().numpy()
    return [json.loads(part[:length].tobytes()) for part, length in zip(parts, lengths, strict=True)]
