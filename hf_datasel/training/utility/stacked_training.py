"""Train the LoRA adapters of several coalitions at once on one frozen base.

The coalitions of a Shapley estimate are many small fine-tunings of one model from one start, each too small to fill
the machine. Here they share every forward and backward: in step t each coalition brings the micro-batches that its own
Trainer would take in its step t, their rows stand side by side in one batch, and each row passes through its own
adapter. Rows do not see each other, the base has no gradients, and so the loss, summed over coalitions with each one's
own normalisation, gives every adapter the gradient it would have alone. Clipping, learning rate and weight decay are
each adapter's own. A coalition whose steps are done drops out.

What differs from training one by one is the order in which floating-point numbers are summed, nothing else.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import torch
from peft import LoraConfig
from torch import Tensor
from tqdm.auto import tqdm
from transformers import PreTrainedModel, TrainingArguments
from transformers.loss.loss_utils import LOSS_MAPPING, ForCausalLMLoss

from hf_datasel.functional.losses import IGNORE_INDEX
from hf_datasel.functional.stacked_adamw import adamw_rows_, clip_rows_
from hf_datasel.training.lending import lend
from hf_datasel.training.state import preserved_rng
from hf_datasel.training.utility.stacked_batches import Collator, Row, collate, join, require_rows
from hf_datasel.training.utility.stacked_forward import autocast_of, prepare_training, row_log_likelihoods
from hf_datasel.training.utility.stacked_lora import StackedLora
from hf_datasel.training.utility.stacked_refusals import refuse_unstackable
from hf_datasel.training.utility.stacked_schedule import Batches, count_steps, learning_rates, steps_of
from hf_datasel.training.utility.stacked_sites import lora_sites

Adapter = dict[str, Tensor]


@dataclass(frozen=True, eq=False)
class _Run:
    """What one coalition's own Trainer would do."""

    position: int  # in the list of coalitions
    rows: list[Row]
    rates: list[float]
    steps: Iterator[Batches]


def train_stacked(
    model: PreTrainedModel,
    peft_config: LoraConfig,
    args: TrainingArguments,
    rows: Sequence[Row],
    coalitions: Sequence[Sequence[int]],
    collator: Collator,
    *,
    start: Mapping[str, Tensor],
    seed: int | None = None,
    fused_head: bool | None = None,
) -> list[Adapter]:
    """The adapters that SFTTrainer would make of each coalition alone, trained all at once.

    Args:
        model: the base model without adapters, on the device to train on; left as it was, bit for bit.
        peft_config: a LoraConfig without dropout.
        args: of the training, as SFTTrainer takes them; what concerns logging, saving and evaluation is not looked at.
        rows: tokenised: ``input_ids`` and ``labels``, as in ``SFTTrainer.train_dataset``.
        coalitions: positions in ``rows``, in the order that the coalition's own dataset would have. One without rows
            stays at ``start``.
        collator: pads a list of rows, as ``SFTTrainer.data_collator``.
        start: state dict of the adapter that every coalition starts from.
        seed: of the order of the rows; by default ``args.data_seed``, or ``args.seed``, as the Trainer has it.
        fused_head: whether TRL's fused head makes the log-probabilities; by default where there is a GPU, where it
            saves the memory of the logits.

    Returns:
        Of each coalition a state dict with the keys of ``peft.get_peft_model_state_dict``, on the CPU.

    Raises:
        ValueError: an option stands in the way, ``start`` is no adapter of this model, a row has no label, or an
            adapter came out with numbers that are not finite (names its coalition).

    Example:
        >>> from peft import get_peft_model, get_peft_model_state_dict
        >>> from transformers import LlamaConfig, LlamaForCausalLM
        >>> from trl.trainer.sft_trainer import DataCollatorForLanguageModeling
        >>> sizes = {"hidden_size": 8, "intermediate_size": 8, "num_hidden_layers": 1, "num_attention_heads": 1}
        >>> model = LlamaForCausalLM(LlamaConfig(vocab_size=9, **sizes))
        >>> config = LoraConfig(r=2, target_modules=["q_proj", "v_proj"], task_type="CAUSAL_LM")
        >>> start = get_peft_model_state_dict(get_peft_model(lend(model), config), save_embedding_layers=False)
        >>> rows = [{"input_ids": [1, token], "labels": [-100, token]} for token in range(5)]
        >>> trained = train_stacked(model, config, TrainingArguments("out", use_cpu=True), rows, [[0, 1, 2], [3], []],
        ...                         DataCollatorForLanguageModeling(pad_token_id=0), start=start)
        >>> [bool((one[min(start)] == start[min(start)]).all()) for one in trained]
        [True, True, True]
    """
    refuse_unstackable(model, peft_config, args)
    _require_positions(coalitions, len(rows))
    used = {row: rows[row] for row in sorted({int(row) for coalition in coalitions for row in coalition})}
    require_rows(used, "Training rows", getattr(args, "max_length", None))
    order_seed = seed if seed is not None else args.seed if args.data_seed is None else args.data_seed
    runs = [_run(number, [used[int(row)] for row in one], args, order_seed) for number, one in enumerate(coalitions)]
    runs.sort(key=lambda run: -len(run.rates))  # so that those still running are the first
    if not runs:
        return []
    sites, twin = lora_sites(model, peft_config), lend(model)
    stack = StackedLora(twin, sites, [start] * len(runs))
    update = Update(twin, stack, args, model.device.type == "cuda" if fused_head is None else fused_head)
    total = sum(len(run.rates) for run in runs)
    bar = tqdm(total=total, desc="Training coalitions", unit="step", leave=False, disable=args.disable_tqdm or None)
    with bar, preserved_rng(model.device):
        for step in range(len(runs[0].rates)):
            active = [run for run in runs if step < len(run.rates)]
            batches = [
                [collate([run.rows[place] for place in batch], collator) for batch in next(run.steps)]
                for run in active
            ]
            update(batches, [run.rates[step] for run in active], step + 1)
            bar.update(len(active))
    trained = dict(zip((run.position for run in runs), stack.state_dicts(), strict=True))
    _require_finite(trained, coalitions)
    return [trained[position] for position in range(len(coalitions))]


class Update:
    """One optimiser step of all adapters that still run.

    Args:
        model: the twin that ``stack`` is attached to; it is made ready to train.
        stack: the adapters.
        args: of the training.
        fused: whether TRL's fused head makes the log-probabilities.
    """

    def __init__(self, model: PreTrainedModel, stack: StackedLora, args: TrainingArguments, fused: bool) -> None:
        self._model, self._stack, self._args, self._fused = model, stack, args, fused
        prepare_training(model, args, fused=fused)
        self._first, self._second, self._gradients = (torch.zeros_like(stack.parameters) for _ in range(3))
        self._decay = stack.weight_decay(args.weight_decay)
        # As the Trainer counts: the first label is none only where it knows the loss to shift.
        self._from = 1 if LOSS_MAPPING.get(getattr(model, "loss_type", None)) is ForCausalLMLoss else 0

    def __call__(self, batches: Sequence[Sequence[dict[str, Tensor]]], rates: Sequence[float], step: int) -> None:
        """Forward, backward, clip and step.

        Args:
            batches: collated micro-batches of each running adapter.
            rates: its learning rate.
            step: number of this step, from 1.
        """
        running = len(batches)
        if running < len(self._gradients):
            self._gradients = self._gradients[:running]
            self._stack.keep(running)
        gradients = self._gradients.zero_()
        counts = [max(1, sum(self._num_labels(batch) for batch in own)) for own in batches]
        for turn in range(max(map(len, batches))):
            self._backward({number: own[turn] for number, own in enumerate(batches) if turn < len(own)}, counts)
        if self._args.max_grad_norm > 0:
            clip_rows_(gradients, self._args.max_grad_norm)
        adamw_rows_(
            self._stack.parameters[:running],
            gradients,
            self._first[:running],
            self._second[:running],
            steps=[step] * running,
            learning_rates=rates,
            betas=(self._args.adam_beta1, self._args.adam_beta2),
            epsilon=self._args.adam_epsilon,
            weight_decay=self._decay,
        )

    def _backward(self, batches: Mapping[int, dict[str, Tensor]], counts: Sequence[int]) -> None:
        device = self._stack.parameters.device
        for joined in join(batches, device):
            self._stack.route(joined.adapters, joined.num_rows)
            sums = row_log_likelihoods(
                self._model, joined.inputs, fused=self._fused, autocast=autocast_of(self._args, device)
            )
            shares = [1 / counts[number] for number in joined.adapters]
            weights = torch.tensor(shares, dtype=torch.float64).repeat_interleave(torch.tensor(joined.num_rows))
            self._stack.add_gradients(-(sums * weights.to(sums)).sum(), self._gradients)

    def _num_labels(self, batch: dict[str, Tensor]) -> int:
        return int((batch["labels"][:, self._from :] != IGNORE_INDEX).sum())


def _run(position: int, rows: list[Row], args: TrainingArguments, seed: int) -> _Run:
    return _Run(position, rows, learning_rates(args, count_steps(len(rows), args)), steps_of(len(rows), args, seed))


def _require_positions(coalitions: Sequence[Sequence[int]], num_rows: int) -> None:
    for number, coalition in enumerate(coalitions):
        for row in coalition:
            if not 0 <= row < num_rows:
                raise ValueError(f"Coalition {number} names row {row}, but rows are 0 to {num_rows - 1}.")


def _require_finite(trained: Mapping[int, Adapter], coalitions: Sequence[Sequence[int]]) -> None:
    broken = [
        position
        for position, adapter in sorted(trained.items())
        if not all(bool(torch.isfinite(tensor).all()) for tensor in adapter.values())
    ]
    if broken:
        raise ValueError(
            f"Training of {len(broken)} of {len(coalitions)} coalitions came out with numbers that are not finite, "
            f"first of coalition {broken[0]} ({len(coalitions[broken[0]])} rows): lower the learning rate, or clip "
            "gradients."
        )
