"""Random LoRA adapters for tiny models, and what they mean: the oracle of every merge."""

from __future__ import annotations

import numpy as np
from peft import LoraConfig
from transformers import PreTrainedModel

from hf_datasel.collaborative.adapters import draw_adapter
from hf_datasel.collaborative.messages import Adapter


def random_adapter(model: PreTrainedModel, seed: int, **options: object) -> Adapter:
    """A and B both random normal."""
    config = LoraConfig(**{"r": 4, "lora_alpha": 8, "target_modules": ["q_proj", "v_proj"], **options})
    generator = np.random.default_rng(seed)
    blank = draw_adapter(model, config, seed)
    return Adapter(blank.config, {k: generator.standard_normal(v.shape, np.float32) for k, v in blank.weights.items()})


def updates(adapter: Adapter) -> dict[str, np.ndarray]:
    """What an adapter adds to each weight, scaling B A in float64, by the name of its A."""
    config = adapter.config
    found = {}
    for key, a in adapter.weights.items():
        if "lora_A" in key or "lora_embedding_A" in key:
            b = adapter.weights[key.replace("lora_A", "lora_B").replace("lora_embedding_A", "lora_embedding_B")]
            module = key.split(".lora_")[0]
            rank = next((r for name, r in config["rank_pattern"].items() if module.endswith(name)), config["r"])
            alpha = next((r for n, r in config["alpha_pattern"].items() if module.endswith(n)), config["lora_alpha"])
            scaling = alpha / (rank**0.5 if config["use_rslora"] else rank)
            found[module] = scaling * b.astype(np.float64) @ a.astype(np.float64)
    return found


def mean_update(adapters: dict[str, Adapter], weights: dict[str, float]) -> dict[str, np.ndarray]:
    """Σ w_i scaling_i B_i A_i."""
    parts = {party: updates(adapter) for party, adapter in adapters.items()}
    modules = {module for part in parts.values() for module in part}
    return {
        module: sum(weights[party] * part[module] for party, part in parts.items() if module in part)
        for module in modules
    }


def distance(ours: dict[str, np.ndarray], theirs: dict[str, np.ndarray]) -> float:
    """|ours - theirs| / |theirs| over all modules."""
    assert ours.keys() == theirs.keys()
    off = sum(np.square(ours[module] - theirs[module]).sum() for module in ours)
    return float(np.sqrt(off / sum(np.square(theirs[module]).sum() for module in ours)))
