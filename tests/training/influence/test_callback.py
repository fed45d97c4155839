"""What GradientTraceCallback writes is what the oracle saw, in every setting of a Trainer."""

from pathlib import Path
from typing import Any

import pytest

from tests.training.influence.runs import SHORT, check_in_run, check_probe, run
from tests.training.influence.zoo import build

FORMATS: dict[str, dict[str, Any]] = {
    "padded": {},
    "packed": {"packing": True, "max_length": 40, "per_device_train_batch_size": 1},
    "padding_free": {"padding_free": True, "max_length": None},
    "accumulated": {"per_device_train_batch_size": 2, "gradient_accumulation_steps": 2},
    "reentrant": {"gradient_checkpointing": True, "gradient_checkpointing_kwargs": {"use_reentrant": True}},
    "non_reentrant": {"gradient_checkpointing": True, "gradient_checkpointing_kwargs": {"use_reentrant": False}},
    "truncated": {"max_length": SHORT},
}
BF16 = 2e-2  # a rounding is 2**-9; some tens of them, of random sign


@pytest.mark.parametrize("adapter", [None, "linears"])
@pytest.mark.parametrize("name", list(FORMATS))
def test_sft_in_run(tmp_path: Path, name: str, adapter: str | None) -> None:
    trace, watcher = run(tmp_path, "in_run", build("llama_untied", adapter=adapter), **FORMATS[name])
    check_in_run(trace, watcher)


@pytest.mark.parametrize("adapter", [None, "qv"])
@pytest.mark.parametrize("name", list(FORMATS))
def test_sft_probe(tmp_path: Path, name: str, adapter: str | None) -> None:
    trace, watcher = run(tmp_path, "probe", build("llama_tied", adapter=adapter), **FORMATS[name])
    check_probe(trace, watcher)
