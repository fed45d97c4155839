"""Several coalitions in one training: their adapters on one frozen model, and how many of them fit into memory."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import torch
from datasets import Dataset
from numpy.typing import NDArray
from peft import get_peft_model_state_dict, set_peft_model_state_dict
from torch import Tensor
from transformers.utils import logging

from hf_datasel.training.utility.alone import alone
from hf_datasel.training.utility.coalition_rows import Ids
from hf_datasel.training.utility.coalition_training import CoalitionTraining, coalition_args, naming
from hf_datasel.training.utility.evaluation import Evaluation, Record
from hf_datasel.training.utility.exchange import work_together
from hf_datasel.training.utility.metrics import LogLikelihood
from hf_datasel.training.utility.stacked_batches import Collator
from hf_datasel.training.utility.stacked_memory import choose_num_stacked
from hf_datasel.training.utility.stacked_refusals import refuse_unstackable
from hf_datasel.training.utility.stacked_scoring import score_stacked
from hf_datasel.training.utility.stacked_training import train_stacked

logger = logging.get_logger(__name__)

MOST_AT_ONCE = 32  # a run that is killed loses as many
FREE_SHARE = 0.9  # of a GPU's free memory; an allocator keeps some for itself
CPU_BUDGET = 4 * 2**30  # bytes


def measure_at_once(
    training: CoalitionTraining, evaluation: Evaluation, coalitions: Sequence[Ids], tokens_per_batch: int
) -> Iterator[Record]:
    """Records of coalitions whose adapters are trained together.

    Args:
        training: what one of them would be trained by.
        evaluation: of each.
        coalitions: their ids.
        tokens_per_batch: padded tokens of a batch of dev rows, of all adapters together.
    """
    with naming(*coalitions):
        adapters, collator = _train(training, coalitions)
    if isinstance(evaluation.metric, LogLikelihood):
        with naming(*coalitions):
            values = _score(training, evaluation.dev, adapters, collator, tokens_per_batch)
        for members, row in zip(coalitions, values, strict=True):
            with naming(members):
                record = evaluation.of_rows(row)
            yield record
        return
    for members, adapter in zip(coalitions, adapters, strict=True):
        with naming(members), training.start(members) as trainer:
            set_peft_model_state_dict(trainer.model, adapter)
            record = evaluation.of_trainer(trainer)
        yield record


def _train(training: CoalitionTraining, coalitions: Sequence[Ids]) -> tuple[list[dict[str, Tensor]], Collator]:
    ids = np.unique(np.concatenate(coalitions))
    with training.start(ids) as trainer:
        state = get_peft_model_state_dict(trainer.model, save_embedding_layers=False)
        start = {name: value.detach().clone() for name, value in state.items()}
        collator = trainer.data_collator
    with alone():
        adapters = train_stacked(
            training.base,
            training.peft_config,
            coalition_args(training.args),
            training.rows.of(ids).to_list(),
            [np.searchsorted(ids, np.sort(members)).tolist() for members in coalitions],
            collator,
            start=start,
        )
    return adapters, collator


def _score(
    training: CoalitionTraining, dev: Dataset, adapters: list[dict[str, Tensor]], collator: Collator, tokens: int
) -> NDArray[np.float64]:
    rows = dev.select_columns(["input_ids", "labels"]).to_list()
    longest = max(len(row["input_ids"]) for row in rows)
    return score_stacked(
        training.base,
        training.peft_config,
        adapters,
        rows,
        collator,
        batch_size=max(1, tokens // (longest * len(adapters))),
        bf16=training.args.bf16,
    )


def choose_at_once(training: CoalitionTraining, ids: Ids, wanted: Any, memory_budget: int | None) -> int:
    """How many coalitions a process trains at once; all processes choose the same.

    Args:
        training: of one of them.
        ids: players.
        wanted: a number, or "auto" for as many as fit, but not more than 32; one by one where adapters cannot be
            trained together.
        memory_budget: bytes for "auto", beyond the model's weights.

    Raises:
        ValueError: several are wanted and cannot be trained together, or not even one fits.
    """
    if wanted == 1:
        return 1
    if training.peft_config is None:
        refusal = "coalitions_at_once trains adapters on one frozen model: give a peft_config, or leave it at 1."
        if wanted != "auto":
            raise ValueError(refusal)
        return 1
    args = coalition_args(training.args)
    try:
        refuse_unstackable(training.base, training.peft_config, args)
    except ValueError as error:
        if wanted != "auto":
            raise
        logger.warning(f"coalitions_at_once='auto' trains them one by one. {error}")
        return 1
    if wanted != "auto":
        return int(wanted)
    budget = memory_budget if memory_budget is not None else _free_memory(training.base.device)
    num_tokens = max(len(tokens) for tokens in training.rows.of(ids)["input_ids"])

    def choose() -> int:
        return choose_num_stacked(
            training.base, training.peft_config, args, budget, num_tokens=num_tokens, most=MOST_AT_ONCE
        )

    return min(work_together(choose))


def _free_memory(device: torch.device) -> int:
    if device.type != "cuda":
        return CPU_BUDGET
    unused = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
    return int(FREE_SHARE * (torch.cuda.mem_get_info(device)[0] + unused))
