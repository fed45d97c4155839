"""How many coalitions fit into memory at once, from one measured step of one and of two."""

from __future__ import annotations

import weakref
from collections.abc import Mapping
from typing import Any

import torch
from peft import LoraConfig
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from transformers import PreTrainedModel, TrainingArguments

from hf_datasel.training.lending import lend
from hf_datasel.training.state import preserved_rng
from hf_datasel.training.utility.stacked_lora import StackedLora
from hf_datasel.training.utility.stacked_refusals import refuse_unstackable
from hf_datasel.training.utility.stacked_sites import LoraSite, lora_sites
from hf_datasel.training.utility.stacked_training import Update


def choose_num_stacked(
    model: PreTrainedModel,
    peft_config: LoraConfig,
    args: TrainingArguments,
    memory_budget: int,
    *,
    num_tokens: int,
    most: int | None = None,
) -> int:
    """The largest number of coalitions whose training at once stays within ``memory_budget``.

    One step of one adapter and one of two are taken on a batch of the largest size, and what their tensors occupy at
    the worst moment is counted; every further adapter costs what the second did.

    Args:
        model: the base model, on the device to train on; left as it was.
        peft_config: of the adapters.
        args: of the training; batch size, precision and checkpointing count.
        memory_budget: bytes beyond the weights of ``model``: adapters, optimizer states, gradients and activations.
            What an allocator keeps for itself comes on top, so leave it a tenth.
        num_tokens: of the longest row.
        most: never more than these, such as the number of coalitions.

    Raises:
        ValueError: not even one coalition fits; says what it takes. Or an option stands in the way.
    """
    refuse_unstackable(model, peft_config, args)
    if num_tokens < 2:
        raise ValueError(f"num_tokens={num_tokens}: a row needs 2 tokens for one to be predicted.")
    sites = lora_sites(model, peft_config)
    one, two = (step_bytes(model, sites, args, num_stacked, num_tokens) for num_stacked in (1, 2))
    if one > memory_budget:
        raise ValueError(
            f"memory_budget={memory_budget} bytes hold not even one coalition: a step of "
            f"{args.per_device_train_batch_size} rows of {num_tokens} tokens takes {one} bytes beyond the model's "
            "weights. Take a smaller per_device_train_batch_size with more gradient_accumulation_steps, shorter rows, "
            "or gradient_checkpointing=True."
        )
    fitting = 1 + (memory_budget - one) // max(1, two - one)
    return fitting if most is None else max(1, min(fitting, most))


def step_bytes(
    model: PreTrainedModel, sites: list[LoraSite], args: TrainingArguments, num_stacked: int, num_tokens: int
) -> int:
    """Bytes that ``num_stacked`` adapters need at the worst moment of a step, beyond the model's weights.

    Args:
        model: left as it was.
        sites: where it is adapted.
        args: of the training.
        num_stacked: K.
        num_tokens: of every row of a full batch, each with a label.
    """
    fused = model.device.type == "cuda"
    dtype = torch.float64 if model.dtype == torch.float64 else torch.float32
    tokens = torch.zeros(args.per_device_train_batch_size, num_tokens, dtype=torch.int64)
    batch = {"input_ids": tokens, "attention_mask": torch.ones_like(tokens), "labels": tokens}
    start = {
        key: torch.zeros(shape, dtype=dtype)
        for site in sites
        for key, shape in zip(site.keys, site.shapes, strict=True)
    }
    twin = lend(model)
    with preserved_rng(model.device), PeakBytes() as peak:
        stack = StackedLora(twin, sites, [start] * num_stacked)
        Update(twin, stack, args, fused)([[batch]] * num_stacked, [0.0] * num_stacked, 1)
    return peak.most


class PeakBytes(TorchDispatchMode):
    """Count the bytes of tensors made within the body, on any device.

    Attributes:
        now: bytes of those that still live.
        most: the largest ``now``.
    """

    def __init__(self) -> None:
        super().__init__()
        self.now = self.most = 0
        self._known: set[int] = set()

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        """Run the operation and look at what it returns."""
        known = {leaf.untyped_storage()._cdata for leaf in tree_leaves((args, kwargs)) if isinstance(leaf, Tensor)}
        made = func(*args, **(kwargs or {}))
        for leaf in tree_leaves(made):
            if isinstance(leaf, Tensor) and leaf.untyped_storage()._cdata not in known:
                self._add(leaf.untyped_storage())
        return made

    def _add(self, storage: torch.UntypedStorage) -> None:
        key = storage._cdata
        if key in self._known:
            return
        self._known.add(key)
        self.now += storage.nbytes()
        self.most = max(self.most, self.now)
        weakref.finalize(storage, self._remove, key, storage.nbytes())

    def _remove(self, key: int, num_bytes: int) -> None:
        self._known.discard(key)
        self.now -= num_bytes
