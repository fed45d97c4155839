"""LoRA adapters between a model, a message and a directory that PEFT reads."""

from __future__ import annotations

import copy
import dataclasses
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import safetensors.numpy
import torch
from peft import LoraConfig, PeftModel, get_peft_model, get_peft_model_state_dict, set_peft_model_state_dict
from transformers import PreTrainedModel

from hf_datasel.collaborative.messages import Adapter
from hf_datasel.storage import atomic_directory, write_atomic
from hf_datasel.training.describe import NOT_THE_ADAPTER
from hf_datasel.training.lending import PLAIN_INITS, lend
from hf_datasel.training.state import preserved_rng

# What a receiver needs to use the matrices. Names of models, paths and the rest stay at home.
SHARED = (
    "task_type",
    "r",
    "lora_alpha",
    "lora_dropout",
    "target_modules",
    "exclude_modules",
    "layers_to_transform",
    "layers_pattern",
    "rank_pattern",
    "alpha_pattern",
    "use_rslora",
    "fan_in_fan_out",
    "init_lora_weights",
)
# Neither here nor there: they change nothing that is trained.
IRRELEVANT = ("peft_type", *NOT_THE_ADAPTER)
MATRIX = re.compile(r"\.lora_(embedding_)?[AB](\.weight)?$")


def check_config(config: Any, whose: str) -> None:
    """Refuse what parties cannot share: they send the matrices A and B, and nothing of the model around them.

    Args:
        config: what was given as peft_config.
        whose: for messages, as in ``"party 'north'"``.

    Raises:
        TypeError: no LoraConfig.
        ValueError: an option that trains something beside A and B, or changes the model's own weights; named.
    """
    if not isinstance(config, LoraConfig):
        raise TypeError(f"{whose}: peft_config must be a peft.LoraConfig, not {type(config).__name__}.")
    plain = LoraConfig()
    for field in dataclasses.fields(LoraConfig):
        value = getattr(config, field.name)
        if field.name not in (*SHARED, *IRRELEVANT) and value != getattr(plain, field.name):
            raise ValueError(
                f"{whose}: LoraConfig({field.name}={value!r}) cannot be shared between parties, who exchange the LoRA "
                f"matrices A and B only. Leave {field.name} at {getattr(plain, field.name)!r}."
            )
    if config.init_lora_weights not in PLAIN_INITS:
        raise ValueError(
            f"{whose}: LoraConfig(init_lora_weights={config.init_lora_weights!r}) changes the model's own weights, so "
            f"parties would not start from the same model. Choose one of {PLAIN_INITS}."
        )


def draw_adapter(model: PreTrainedModel, config: LoraConfig, seed: int) -> Adapter:
    """A fresh adapter, the common starting point theta_0.

    Args:
        model: what it is for; left as it is.
        config: of the adapter; left as it is.
        seed: of the random A; global generators are not moved.
    """
    with preserved_rng(model.device):
        torch.manual_seed(seed)
        return read_adapter(get_peft_model(lend(model), copy.deepcopy(config)))


def read_adapter(model: PeftModel, name: str = "default") -> Adapter:
    """A model's adapter, its matrices as float32 whatever their type was.

    Raises:
        ValueError: it holds more than LoRA matrices; names one.
    """
    state = get_peft_model_state_dict(model, adapter_name=name, save_embedding_layers=False)
    other = next((key for key in state if not MATRIX.search(key)), None)
    if other is not None:
        raise ValueError(f"The adapter holds {other}, which is no LoRA matrix: parties exchange A and B only.")
    weights = {key: value.detach().to("cpu", torch.float32).numpy().copy() for key, value in state.items()}
    return Adapter(shared_config(model.peft_config[name]), weights)


def write_adapter(model: PeftModel, adapter: Adapter, name: str = "default") -> None:
    """Put an adapter into a model that has one of the same shapes under that name.

    Raises:
        ValueError: a matrix is missing, unknown, or of another shape; names it.
    """
    state = get_peft_model_state_dict(model, adapter_name=name, save_embedding_layers=False)
    here, there = _shapes(state), _shapes(adapter.weights)
    if here != there:
        odd = next(key for key in sorted(here | there) if here.get(key) != there.get(key))
        raise ValueError(
            f"The adapter does not fit the model: {odd} is {there.get(odd, 'missing')} in the adapter and "
            f"{here.get(odd, 'missing')} in the model."
        )
    set_peft_model_state_dict(model, {key: torch.tensor(value) for key, value in adapter.weights.items()}, name)


def shared_config(config: LoraConfig) -> dict[str, Any]:
    """The shared fields of a configuration as JSON values; sets in alphabetical order."""
    values = {name: getattr(config, name) for name in SHARED}
    return {key: sorted(value) if isinstance(value, (set, frozenset)) else value for key, value in values.items()}


def make_config(adapter: Adapter) -> LoraConfig:
    """The ``peft.LoraConfig`` of an adapter.

    Raises:
        ValueError: the adapter's configuration names a field that is not shared.
    """
    unknown = sorted(adapter.config.keys() - set(SHARED))
    if unknown:
        raise ValueError(f"An adapter's configuration holds {unknown[0]!r}; only {SHARED} are shared.")
    return LoraConfig(**copy.deepcopy(dict(adapter.config)))


def require_finite(adapter: Adapter, party: str) -> None:
    """Refuse an adapter that would spoil every other one in a merge.

    Raises:
        ValueError: a matrix holds NaN or an infinity; names the party and the matrix.
    """
    for key, value in adapter.weights.items():
        if not np.isfinite(value).all():
            raise ValueError(
                f"The adapter of party {party!r} is not finite in {key}: its training diverged. Lower the learning "
                "rate, or leave the party out."
            )


def save_adapter(adapter: Adapter, path: Path, base_model: str | None, *, overwrite: bool = False) -> None:
    """Write a directory that ``PeftModel.from_pretrained(model, path)`` reads, whole or not at all.

    Args:
        adapter: what to write.
        path: the directory.
        base_model: name or path of the model it belongs to, where it has one.
        overwrite: replace an adapter that is there.
    """
    config = make_config(adapter)
    config.base_model_name_or_path = base_model
    config.inference_mode = True
    payload = safetensors.numpy.save(dict(adapter.weights), metadata={"format": "pt"})
    with atomic_directory(path, what="adapter", marker="adapter_config.json", overwrite=overwrite) as building:
        config.save_pretrained(building)
        write_atomic(building / "adapter_model.safetensors", lambda file: file.write(payload), len(payload))


def _shapes(state: Mapping[str, Any]) -> dict[str, str]:
    return {key: str(list(value.shape)) for key, value in state.items()}
