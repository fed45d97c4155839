"""What recording costs: seconds, examples forward and backward through a model, counted as they happen.

Counts of a run that was killed are kept but for the last seconds, so that what is reported is what was spent in all.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from types import TracebackType
from typing import Any

from torch import Tensor
from torch.nn import Module
from torch.nn.modules import module as torch_module
from transformers import PreTrainedModel

from hf_datasel.storage import read_json, write_json

SECONDS_BETWEEN = 10.0  # counts are written so often


@dataclass
class Cost:
    """Of one kind of evidence.

    Args:
        seconds: by the clock.
        forwards: examples that went through a model, each as often as it did.
        backwards: examples whose loss was differentiated, each as often as it was.
        fine_tunes: trainings of a model, from its start to its end; of a game as many as it has measured coalitions.
    """

    seconds: float = 0.0
    forwards: int = 0
    backwards: int = 0
    fine_tunes: int = 0

    @classmethod
    def read(cls, path: Path) -> Cost:
        """What :meth:`write` wrote; raises as `read_json` does."""
        content = read_json(path, "cost")
        return cls(**{item.name: content[item.name] for item in fields(cls)})

    def write(self, path: Path) -> None:
        """As JSON, whole or not at all."""
        write_json(path, asdict(self))


class Meter:
    """Counts on this process while it is open, on top of what an earlier run left at ``path``.

    Training and scoring are as they would be without it: nothing is changed, neither values nor random numbers.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.cost = Cost.read(path) if path.is_file() else Cost()
        self._depth = 0

    def __enter__(self) -> Meter:
        self._handles = [
            torch_module.register_module_forward_pre_hook(self._enter_model),
            torch_module.register_module_forward_hook(self._count, with_kwargs=True),
            # Also of a model that raised; PyTorch then gives no keyword arguments.
            torch_module.register_module_forward_hook(self._leave_model, always_call=True),
        ]
        self._begun = self._written = time.monotonic()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for handle in self._handles:
            handle.remove()
        self._write()

    def _write(self) -> None:
        now = time.monotonic()
        self.cost.seconds += now - self._begun
        self._begun = self._written = now
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self.cost.write(self.path)

    def _enter_model(self, module: Module, args: Any) -> None:
        self._depth += isinstance(module, PreTrainedModel)

    def _leave_model(self, module: Module, args: Any, output: Any) -> None:
        self._depth -= isinstance(module, PreTrainedModel)

    def _count(self, module: Module, args: Any, kwargs: dict[str, Any], output: Any) -> None:
        if not isinstance(module, PreTrainedModel) or self._depth > 1:  # no model, or one within another
            return
        number = _num_examples(args, kwargs)
        self.cost.forwards += number
        self._count_backward(output, number)
        if time.monotonic() - self._written > SECONDS_BETWEEN:
            self._write()

    def _count_backward(self, output: Any, number: int) -> None:
        """Once, when a gradient comes back to any of the outputs."""
        waiting = [number]

        def count(gradient: Tensor) -> None:
            if waiting:
                self.cost.backwards += waiting.pop()

        for tensor in _tensors(output):
            if tensor.requires_grad:
                tensor.register_hook(count)


def _num_examples(args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> int:
    tokens, cache = kwargs.get("input_ids"), kwargs.get("past_key_values")
    if tokens is not None and cache is not None and cache.get_seq_length() > tokens.shape[1]:
        return 0  # one more token of an answer whose beginning was counted
    positions = kwargs.get("position_ids")
    if positions is not None and kwargs.get("attention_mask") is None:  # examples side by side in one row
        return int((positions == 0).sum())
    given = [tokens, kwargs.get("inputs_embeds"), *args]
    return next((len(tensor) for tensor in given if isinstance(tensor, Tensor)), 0)


def _tensors(output: Any) -> Iterator[Tensor]:
    values = output.values() if isinstance(output, Mapping) else output if isinstance(output, tuple) else [output]
    yield from (value for value in values if isinstance(value, Tensor))
