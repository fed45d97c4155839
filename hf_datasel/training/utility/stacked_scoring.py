"""Score the rows of a dev set under several LoRA adapters in one forward."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from peft import LoraConfig
from torch import Tensor
from transformers import PreTrainedModel

from hf_datasel.functional.losses import IGNORE_INDEX
from hf_datasel.training.lending import lend
from hf_datasel.training.state import preserved_rng
from hf_datasel.training.utility.stacked_batches import Collator, Row, collate, join, require_rows
from hf_datasel.training.utility.stacked_forward import row_log_likelihoods
from hf_datasel.training.utility.stacked_lora import StackedLora
from hf_datasel.training.utility.stacked_refusals import refuse_unstackable
from hf_datasel.training.utility.stacked_sites import lora_sites


def score_stacked(
    model: PreTrainedModel,
    peft_config: LoraConfig,
    adapters: Sequence[Mapping[str, Tensor]],
    dev_rows: Sequence[Row],
    collator: Collator,
    *,
    batch_size: int,
    bf16: bool = False,
) -> NDArray[np.float64]:
    """Mean log-probability of each row's label tokens under each adapter, in nats.

    Args:
        model: the base model without adapters; left as it was.
        peft_config: a LoraConfig.
        adapters: K state dicts, as ``train_stacked`` returns them.
        dev_rows: tokenised.
        collator: pads a list of rows.
        batch_size: dev rows of a forward, each of which all K adapters score: it holds ``K * batch_size`` rows.
        bf16: score under autocast to bfloat16.

    Returns:
        float64 ``[K, len(dev_rows)]``.

    Raises:
        ValueError: an option stands in the way, a state dict is no adapter of this model, a row has no label, or a
            log-probability is not finite (names adapter and row).
    """
    refuse_unstackable(model, peft_config)
    require_rows(dict(enumerate(dev_rows)), "Dev rows")
    found = np.full((len(adapters), len(dev_rows)), np.nan)
    if batch_size < 1:
        raise ValueError(f"batch_size={batch_size} must be at least 1.")
    if found.size == 0:
        return found
    sites, twin = lora_sites(model, peft_config), lend(model).eval()
    stack = StackedLora(twin, sites, adapters)
    order = sorted(range(len(dev_rows)), key=lambda row: -len(dev_rows[row]["input_ids"]))
    numbers = range(len(adapters))
    with preserved_rng(model.device), torch.no_grad():
        for begin in range(0, len(order), batch_size):
            picked = order[begin : begin + batch_size]
            batch = collate([dev_rows[row] for row in picked], collator)
            (joined,) = join(dict.fromkeys(numbers, batch), model.device)
            stack.route(joined.adapters, joined.num_rows)
            autocast = torch.autocast(model.device.type, torch.bfloat16, enabled=bf16)
            sums = row_log_likelihoods(twin, joined.inputs, fused=False, autocast=autocast)
            lengths = (batch["labels"][:, 1:] != IGNORE_INDEX).sum(-1)
            found[:, picked] = (sums.double().cpu().view(len(adapters), -1) / lengths).numpy()
    if not np.isfinite(found).all():
        adapter, row = (int(where[0]) for where in np.nonzero(~np.isfinite(found)))
        raise ValueError(f"Adapter {adapter} gives dev row {row} the log-probability {found[adapter, row]}.")
    return found
