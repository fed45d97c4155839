"""Coalitions trained one by one: the real SFTTrainer, "obviously correct, but slow"."""

from __future__ import annotations

import copy
import random
from collections.abc import Sequence
from typing import Any

import torch
from datasets import Dataset
from peft import LoraConfig, get_peft_model, get_peft_model_state_dict, set_peft_model_state_dict
from torch import Tensor
from transformers import PreTrainedModel, PrinterCallback
from transformers.models.auto.modeling_auto import AutoModelForCausalLM
from trl import SFTTrainer
from trl.trainer.sft_trainer import DataCollatorForLanguageModeling

from tests.training.influence.zoo import LINEARS, MODELS
from tests.training.tiny import sft_args, word_tokenizer

Adapter = dict[str, Tensor]
COLLATOR = DataCollatorForLanguageModeling(pad_token_id=0)


def family_of(name: str) -> str:
    return name.rsplit("_", 1)[0] if name.startswith(("gpt2", "gpt_neox")) else "llama"


def base_model(name: str = "llama_untied", dtype: torch.dtype = torch.float64) -> PreTrainedModel:
    """A seeded tiny model of the zoo, none of whose parameters is trivial."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = AutoModelForCausalLM.from_config(MODELS[name]())
        with torch.no_grad():
            for parameter in model.parameters():
                parameter.add_(0.1 * torch.randn_like(parameter))
    return model.to(dtype)


def lora(name: str = "llama_untied", **options: Any) -> LoraConfig:
    family = family_of(name)
    defaults = {"r": 3, "lora_alpha": 6, "target_modules": LINEARS[family], "task_type": "CAUSAL_LM"}
    return LoraConfig(**{**defaults, **options}, fan_in_fan_out=family == "gpt2")


def start_of(model: PreTrainedModel, config: LoraConfig, seed: int = 1) -> Adapter:
    """An adapter of which nothing is zero."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        adapted = get_peft_model(copy.deepcopy(model), copy.deepcopy(config))
        state = get_peft_model_state_dict(adapted, save_embedding_layers=False)
        return {key: value + 0.1 * torch.randn_like(value) for key, value in state.items()}


def token_rows(num_rows: int = 24, seed: int = 0, low: int = 3, high: int = 14) -> list[dict[str, list[int]]]:
    """Rows of uneven length; of some the prompt has no label, of some every token has one."""
    rng = random.Random(seed)
    rows = []
    for _ in range(num_rows):
        tokens = [rng.randrange(6, 66) for _ in range(rng.randint(low, high))]
        prompt = rng.randrange(0, len(tokens) - 1)
        rows.append({"input_ids": tokens, "labels": [-100] * prompt + tokens[prompt:]})
    return rows


def one_by_one(
    model: PreTrainedModel,
    config: LoraConfig,
    folder: Any,
    rows: Sequence[dict[str, list[int]]],
    coalition: Sequence[int],
    start: Adapter,
    **options: Any,
) -> tuple[Adapter, SFTTrainer]:
    """The adapter that SFTTrainer makes of one coalition, and the trainer."""
    trainer = SFTTrainer(
        model=copy.deepcopy(model),
        args=sft_args(folder, **{"dataset_kwargs": {"skip_prepare_dataset": True}, **options}),
        train_dataset=Dataset.from_list([rows[row] for row in coalition]),
        processing_class=word_tokenizer(),
        peft_config=copy.deepcopy(config),
    )
    trainer.remove_callback(PrinterCallback)
    set_peft_model_state_dict(trainer.model, start)
    trainer.train()
    return get_peft_model_state_dict(trainer.model, save_embedding_layers=False), trainer


def largest_difference(found: Adapter, wanted: Adapter) -> float:
    assert list(found) == list(wanted)
    return max(float((found[key] - wanted[key]).abs().max()) for key in wanted)
