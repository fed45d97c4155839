"""Leave a run as it was found: train modes, random states."""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch
from torch import nn


@contextmanager
def scoring_mode(model: nn.Module) -> Iterator[None]:
    """Run the body without gradients and with every module in eval mode, then restore each module's own mode.

    ``model.train()`` would not do: a model may hold modules the user froze in eval mode.
    """
    modes = [(module, module.training) for module in model.modules()]
    model.eval()
    try:
        with torch.no_grad():
            yield
    finally:
        for module, training in modes:
            module.training = training


@contextmanager
def preserved_rng(device: torch.device | None = None) -> Iterator[None]:
    """Run the body without disturbing the global generators of Python, NumPy and torch (CPU and ``device``)."""
    # A collator of the user's may draw from NumPy's legacy generator, which is the global one.
    python_state, numpy_state = random.getstate(), np.random.get_state()  # noqa: NPY002
    devices = [device] if device is not None and device.type not in ("cpu", "mps") else []
    kind = devices[0].type if devices else "cuda"
    try:
        with torch.random.fork_rng(devices=devices, device_type=kind):
            yield
    finally:
        random.setstate(python_state)
        np.random.set_state(numpy_state)  # noqa: NPY002
