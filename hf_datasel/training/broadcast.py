"""What one process decides, to all, as plain bytes: a Selection's arrays without pickle, and JSON."""

from __future__ import annotations

import io
import json
from collections.abc import Callable

import numpy as np
import torch
from accelerate import Accelerator, PartialState
from accelerate.utils import broadcast

from hf_datasel.fingerprint import DatasetFingerprint
from hf_datasel.selection import ARRAYS, Selection

DECIDED, FAILED = b"+", b"-"


def select_once(accelerator: Accelerator, select: Callable[[], Selection]) -> Selection:
    """Run ``select`` on the main process and give its Selection to all; raises as :func:`decide_once`."""
    if accelerator.num_processes == 1:
        return select()
    return from_bytes(decide_once(accelerator, lambda: to_bytes(select()), "Selecting"))


def decide_once(accelerator: Accelerator | PartialState, decide: Callable[[], bytes], what: str) -> bytes:
    """Run ``decide`` on the main process and give what it returns to all.

    Raises:
        RuntimeError: on the other processes, where the main process failed; it says why. There the error itself is
            raised.
    """
    payload, failure = b"", None
    if accelerator.is_main_process:
        try:
            payload = DECIDED + decide()
        except Exception as error:  # told to the other processes below, then raised: they would wait for ever
            failure = error
            payload = FAILED + f"{type(error).__name__}: {error}".encode()
    received = _broadcast_bytes(accelerator, payload) if accelerator.num_processes > 1 else payload
    if failure is not None:
        raise failure
    if received.startswith(FAILED):
        raise RuntimeError(f"{what} failed on the main process: {received[1:].decode()}")
    return received[1:]


def to_bytes(selection: Selection) -> bytes:
    """A Selection as the bytes of an ``.npz`` file without objects."""
    about = {
        "fingerprint": None if selection.fingerprint is None else selection.fingerprint.to_dict(),
        "provenance": list(selection.provenance),
    }
    arrays = {name: getattr(selection, name) for name in ARRAYS if getattr(selection, name) is not None}
    file = io.BytesIO()
    np.savez(file, about=np.frombuffer(json.dumps(about).encode(), dtype=np.uint8), **arrays)
    return file.getvalue()


def from_bytes(payload: bytes) -> Selection:
    """The inverse of :func:`to_bytes`."""
    with np.load(io.BytesIO(payload), allow_pickle=False) as stored:
        about = json.loads(stored["about"].tobytes())
        arrays = {name: stored[name] for name in ARRAYS if name in stored}
    source = about["fingerprint"]
    return Selection(
        **arrays,
        fingerprint=None if source is None else DatasetFingerprint.from_dict(source),
        provenance=tuple(about["provenance"]),
    )


def _broadcast_bytes(accelerator: Accelerator | PartialState, payload: bytes) -> bytes:
    length = broadcast(torch.tensor([len(payload)], device=accelerator.device))
    buffer = torch.zeros(int(length), dtype=torch.uint8, device=accelerator.device)
    if accelerator.is_main_process:
        buffer.copy_(torch.frombuffer(bytearray(payload), dtype=torch.uint8))
    return broadcast(buffer).cpu().numpy().tobytes()
