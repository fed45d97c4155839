"""What a Trace says of the run it was recorded in: nothing that changes when the run is resumed or spread."""

from __future__ import annotations

from typing import Any

import datasets
import torch
import transformers
import trl
from transformers import Trainer

from hf_datasel import __version__


def describe_run(trainer: Trainer) -> dict[str, Any]:
    """Model, tokenizer, schedule and versions of a run, as plain JSON values."""
    args, config = trainer.args, getattr(trainer.model, "config", None)
    return {
        "trainer": type(trainer).__name__,
        "model": getattr(config, "_name_or_path", "") or None,
        "model_type": getattr(config, "model_type", None),
        "num_parameters": sum(parameter.numel() for parameter in trainer.model.parameters()),
        "tokenizer": getattr(trainer.processing_class, "name_or_path", "") or None,
        "max_length": getattr(args, "max_length", None),
        "seed": args.seed,
        "versions": versions(),
    }


def versions() -> dict[str, str]:
    """Versions of the libraries that decide what is recorded."""
    return {
        "hf_datasel": __version__,
        "torch": str(torch.__version__),
        "transformers": transformers.__version__,
        "trl": trl.__version__,
        "datasets": datasets.__version__,
    }
