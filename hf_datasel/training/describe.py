"""What a Trace says of the run it was recorded in: nothing that changes when the run is resumed or spread."""

from __future__ import annotations

import json
from typing import Any

import datasets
import numpy as np
import torch
import transformers
import trl
from peft import PeftConfig
from transformers import Trainer, TrainingArguments

from hf_datasel import __version__
from hf_datasel.content import content_digest
from hf_datasel.fingerprint import EXAMPLE_ID
from hf_datasel.training.identity import config_text, digest_of
from hf_datasel.training.seen_trainer import SeenTrainer

# Where files go, and what is shown: a run may be taken up with others.
NOT_SETTINGS = (
    "output_dir",
    "logging_dir",
    "run_name",
    "report_to",
    "disable_tqdm",
    "logging_",
    "log_",
    "hub_",
    "push_",
)
# Of an adapter's configuration: where it came from and how it was kept, which changes nothing that is trained.
NOT_THE_ADAPTER = (
    "peft_version",
    "auto_mapping",
    "base_model_name_or_path",
    "revision",
    "inference_mode",
    "runtime_config",
)


def describe_run(trainer: Trainer) -> dict[str, Any]:
    """Model, tokenizer, schedule and versions of a run, as plain JSON values."""
    args, config = trainer.args, getattr(trainer.model, "config", None)
    return {
        "trainer": None if isinstance(trainer, SeenTrainer) else type(trainer).__name__,
        "model": getattr(config, "_name_or_path", "") or None,
        "model_type": getattr(config, "model_type", None),
        "num_parameters": sum(parameter.numel() for parameter in trainer.model.parameters()),
        "tokenizer": getattr(trainer.processing_class, "name_or_path", "") or None,
        "max_length": getattr(args, "max_length", None),
        "seed": args.seed,
        "versions": versions(),
    }


def describe_rows(dataset: datasets.Dataset) -> dict[str, Any]:
    """The content of held-out rows, in their order, as plain JSON values.

    They need no ids, and a stamp would not do: rows picked from one dataset all carry that dataset's.
    """
    columns = tuple(sorted(name for name in dataset.column_names if name != EXAMPLE_ID))
    numbers = np.arange(len(dataset), dtype=np.int64)
    return {"digest": content_digest(dataset, numbers, columns), "num_rows": len(dataset)}


def describe_adapter(config: PeftConfig | None) -> dict[str, Any] | None:
    """An adapter's configuration as plain JSON values, its sets in order."""
    if config is None:
        return None
    plain: dict[str, Any] = json.loads(
        json.dumps(config.to_dict(), default=lambda value: sorted(value) if isinstance(value, set) else str(value))
    )
    return plain


def training_settings(args: TrainingArguments) -> dict[str, Any]:
    """The arguments that decide what training does, as JSON values."""
    values = {key: value for key, value in args.to_dict().items() if not key.startswith(NOT_SETTINGS)}
    plain: dict[str, Any] = json.loads(json.dumps(values, default=str))
    return plain


def describe_weights(model: torch.nn.Module) -> dict[str, Any]:
    """What a model computes: its kind, its configuration and a digest of everything it holds, as JSON values."""
    config = getattr(model, "config", None)
    digest = digest_of("" if config is None else config_text(config), tensors=model.state_dict())
    return {"type": type(model).__name__, "digest": digest}


def versions() -> dict[str, str]:
    """Versions of the libraries that decide what is recorded."""
    return {
        "hf_datasel": __version__,
        "torch": str(torch.__version__),
        "transformers": transformers.__version__,
        "trl": trl.__version__,
        "datasets": datasets.__version__,
    }
