"""A SelectingSFTTrainer in one line, for tests."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from hf_datasel import SelectingSFTConfig, SelectingSFTTrainer
from tests.training.tiny import base_options, make_dataset, tiny_model, word_tokenizer

SMALL = {"selection_budget": 0.5, "selection_num_clusters": 4, "selection_num_checkpoints": 3}


def weights(trainer: Any) -> torch.Tensor:
    return torch.cat([parameter.detach().flatten() for parameter in trainer.model.parameters()])


def config(output_dir: Path, **options: Any) -> SelectingSFTConfig:
    return SelectingSFTConfig(**{**base_options(output_dir), **SMALL, **options})


def selecting(output_dir: Path, dataset: Any = None, model: Any = None, **options: Any) -> SelectingSFTTrainer:
    names = (
        "proxy_peft_config",
        "peft_config",
        "proxy_processing_class",
        "selection",
        "eval_dataset",
        "processing_class",
    )
    extra = {name: options.pop(name) for name in names if name in options}
    proxy = options.pop("proxy", None)
    return SelectingSFTTrainer(
        model=tiny_model() if model is None else model,
        args=config(output_dir, **options),
        train_dataset=make_dataset() if dataset is None else dataset,
        proxy_model=proxy,
        **{"processing_class": word_tokenizer(), **extra},
    )
