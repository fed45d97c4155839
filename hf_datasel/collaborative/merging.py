"""Merging the adapters of several parties through ``peft.add_weighted_adapter``.

Four random adapters that have nothing in common, as relative error against the mean of the products BA: ``cat`` and
``svd`` of full rank 0; ``svd`` of one adapter's rank about .6; ``linear``, which mixes A and B apart, 1.7; ``ties``
3.8 with every weight 1 (it then adds up what the parties do not share), 1.1 with weights that add up to 1. The paper's
main experiments use ``ties`` (official code: density 0.2, every weight 1), which is the default here.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, get_args

import numpy as np
import torch
from peft import LoraConfig, PeftModel, get_peft_model
from transformers import PreTrainedModel

from hf_datasel.collaborative.adapters import make_config, read_adapter, require_finite, write_adapter
from hf_datasel.collaborative.messages import Adapter
from hf_datasel.collaborative.weights import Weights, check_weights, resolve_weights
from hf_datasel.training.lending import lend
from hf_datasel.training.state import preserved_rng

EqualRank = Literal["linear", "ties", "dare_linear", "dare_ties", "magnitude_prune"]
AnyRank = Literal["cat", "svd", "ties_svd", "dare_linear_svd", "dare_ties_svd", "magnitude_prune_svd"]
NEEDS_EQUAL_RANKS = get_args(EqualRank)
METHODS = (*NEEDS_EQUAL_RANKS, *get_args(AnyRank))
PUBLISHED_DENSITY = 0.2
MERGED = "merged"


@dataclass(frozen=True, kw_only=True)
class Merge:
    """One merge at the end.

    Args:
        method: a ``combination_type`` of PEFT. Those without svd in their name, ``cat`` apart, need equal LoRA ranks.
        weights: "uniform", "num_kept" (parties then tell how many rows they kept), or a number for each party.
            Methods that divide by the number of parties themselves (``ties``, ``dare_ties``) are given weights of
            mean 1, the others weights that add up to 1; numbers of your own are passed on as they are.
        density: share of values that pruning leaves, in (0, 1); 0.2 by default. Methods that do not prune take none.
        majority_sign_method: "total" or "frequency", of ``ties`` and ``dare_ties``.
        svd_rank: rank of the merged adapter, of the methods with svd; by default the largest of the parties' ranks.
    """

    method: EqualRank | AnyRank = "ties"
    weights: Weights = "uniform"
    density: float | None = None
    majority_sign_method: Literal["total", "frequency"] = "total"
    svd_rank: int | None = None

    @property
    def _prunes(self) -> bool:
        return self.method not in ("linear", "cat", "svd")

    def check(self) -> None:
        """Raise ValueError for an option that is out of range, or that the method does not have."""
        if self.method not in METHODS:
            raise ValueError(f"merge method {self.method!r} is not known; choose one of {METHODS}.")
        check_weights(self.weights, f"Merge({self.method!r})")
        if self.density is not None and not self._prunes:
            raise ValueError(f"merge method {self.method!r} prunes nothing, so density={self.density} has no meaning.")
        if self.density is not None and not 0 < self.density < 1:
            raise ValueError(f"density={self.density!r} must lie between 0 and 1, as in {PUBLISHED_DENSITY}.")
        if self.majority_sign_method not in ("total", "frequency"):
            raise ValueError(f"majority_sign_method={self.majority_sign_method!r} must be 'total' or 'frequency'.")
        if self.svd_rank is not None and (not self.method.endswith("svd") or self.svd_rank < 1):
            raise ValueError(f"svd_rank={self.svd_rank} is for methods with svd, and at least 1; not {self.method!r}.")

    def check_ranks(self, configs: Mapping[str, LoraConfig]) -> None:
        """Refuse unequal ranks where the method needs equal ones.

        Args:
            configs: by party.

        Raises:
            ValueError: names the parties and their ranks.
        """
        ranks = {party: (config.r, dict(config.rank_pattern or {})) for party, config in configs.items()}
        (first, rank), *others = ranks.items()
        odd = next((party for party, other in others if other != rank), None)
        if self.method in NEEDS_EQUAL_RANKS and odd is not None:
            raise ValueError(
                f"merge method {self.method!r} needs equal LoRA ranks, but party {first!r} has {_rank_text(rank)} and "
                f"party {odd!r} has {_rank_text(ranks[odd])}. Give them the same rank, or merge with 'cat', 'svd' or "
                "another method that ends in svd."
            )

    def to_dict(self) -> dict[str, Any]:
        """The options as JSON values, for a report."""
        weights = dict(self.weights) if isinstance(self.weights, Mapping) else self.weights
        return {
            "method": self.method,
            "weights": weights,
            "density": (self.density or PUBLISHED_DENSITY) if self._prunes else None,
            "majority_sign_method": self.majority_sign_method if "ties" in self.method else None,
            "svd_rank": self.svd_rank,
        }


def merge_adapters(
    model: PreTrainedModel,
    adapters: Mapping[str, Adapter],
    merge: Merge,
    *,
    num_kept: Mapping[str, int] | None = None,
    seed: int = 42,
) -> Adapter:
    """One adapter of several.

    Args:
        model: what they are for; left as it is.
        adapters: by party.
        merge: how.
        num_kept: rows kept by party, for ``weights="num_kept"``.
        seed: of the random pruning of ``dare``; global generators are not moved.

    Returns:
        The merged adapter. It has plain scaling: what ``use_rslora`` or patterns of ranks and alphas said is inside
        the matrices (PEFT 0.21 itself keeps ``use_rslora`` on the merged adapter and so scales it twice).

    Raises:
        ValueError: an option out of range, unequal ranks where equal ones are needed, a matrix that is not finite
            (party named), or an adapter that does not fit the model.
    """
    merge.check()
    for party, adapter in adapters.items():
        require_finite(adapter, party)
    merge.check_ranks({party: make_config(adapter) for party, adapter in adapters.items()})
    weights = resolve_weights(merge.weights, list(adapters), num_kept or {})
    if "ties" in merge.method and not isinstance(merge.weights, Mapping):
        weights = {party: weight * len(adapters) for party, weight in weights.items()}
    options = {"density": merge.to_dict()["density"], "svd_rank": merge.svd_rank, "svd_full_matrices": False}
    with preserved_rng(model.device):
        torch.manual_seed(seed)
        host, names = _load_all(model, adapters)
        host.add_weighted_adapter(
            list(names.values()),
            [weights[party] for party in names],
            MERGED,
            combination_type=merge.method,
            majority_sign_method=merge.majority_sign_method,
            **options,
        )
    return _fill_up(read_adapter(host, MERGED))


def _load_all(model: PreTrainedModel, adapters: Mapping[str, Adapter]) -> tuple[PeftModel, dict[str, str]]:
    """A twin of the model with every adapter, and their names in it by party.

    PEFT returns in silence where the merged adapter's name is taken, so parties go by number and not by name.
    """
    names = {party: f"party_{number}" for number, party in enumerate(adapters)}
    host: PeftModel | None = None
    for party, name in names.items():
        config = _plainly_scaled(make_config(adapters[party]))
        if host is None:
            host = get_peft_model(lend(model), config, adapter_name=name)
        else:
            host.add_adapter(name, config)
        write_adapter(host, adapters[party], name)
    if host is None:
        raise ValueError("There is no adapter to merge.")
    return host, names


def _plainly_scaled(config: LoraConfig) -> LoraConfig:
    """The same scaling without rank-stabilised LoRA: alpha / sqrt(r) as alpha' / r."""
    if config.use_rslora:
        if config.rank_pattern:
            raise ValueError("use_rslora with a rank_pattern cannot be merged: use one rank for all modules.")
        config.use_rslora = False
        config.lora_alpha = config.lora_alpha * config.r**0.5
        config.alpha_pattern = {key: alpha * config.r**0.5 for key, alpha in config.alpha_pattern.items()}
    return config


def _fill_up(adapter: Adapter) -> Adapter:
    """Zeros up to the adapter's rank where PEFT left a module with fewer: its files could not be read otherwise."""
    rank = adapter.config["r"]
    filled = {}
    for key, value in adapter.weights.items():
        axis = 0 if ".lora_A" in key or ".lora_embedding_A" in key else 1
        missing = rank - value.shape[axis]
        filled[key] = np.pad(value, [(0, missing), (0, 0)] if axis == 0 else [(0, 0), (0, missing)])
    return Adapter(adapter.config, filled)


def _rank_text(rank: tuple[int, dict[str, int]]) -> str:
    return f"rank {rank[0]}" + (f" with the pattern {rank[1]}" if rank[1] else "")
