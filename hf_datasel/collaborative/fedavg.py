"""FedAvg: rounds of local steps from one adapter that everybody shares.

McMahan et al., AISTATS 2017, arXiv 1602.05629: in round t every party trains k steps from the global adapter of round
t - 1, and the new one is their mean, weighted by the number of rows. The CLUES paper runs 300 rounds of 10 steps.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from peft import LoraConfig

from hf_datasel.collaborative.adapters import require_finite, shared_config
from hf_datasel.collaborative.averaging import average_factors, average_products
from hf_datasel.collaborative.messages import Adapter
from hf_datasel.collaborative.weights import Weights, check_weights, resolve_weights


@dataclass(frozen=True, kw_only=True)
class FedAvg:
    """Federated rounds.

    Every round starts with a fresh optimizer; the learning rate follows one schedule over all rounds.

    Args:
        num_rounds: of them.
        num_steps: optimiser steps of a party in each.
        average: "factors", the mean of A and the mean of B, as frameworks do it, whose product is not the mean of the
            products; or "product", the adapter of the same rank that is nearest to the mean of the products BA.
        weights: "num_kept" (parties then tell how many rows they kept), "uniform", or a number for each party. They
            are scaled to add up to 1.
    """

    num_rounds: int
    num_steps: int
    average: Literal["factors", "product"] = "factors"
    weights: Weights = "num_kept"

    def check(self) -> None:
        """Raise ValueError for an option that is out of range."""
        for name, value in (("num_rounds", self.num_rounds), ("num_steps", self.num_steps)):
            if isinstance(value, bool) or not isinstance(value, int) or value < 1:
                raise ValueError(f"FedAvg({name}={value!r}) must be a whole number, at least 1.")
        if self.average not in ("factors", "product"):
            raise ValueError(f"FedAvg(average={self.average!r}) must be 'factors' or 'product'.")
        check_weights(self.weights, "FedAvg")
        if isinstance(self.weights, Mapping) and min(self.weights.values(), default=0) < 0:
            raise ValueError(f"FedAvg(weights={dict(self.weights)}): a weight of a mean cannot be negative.")

    def check_ranks(self, configs: Mapping[str, LoraConfig]) -> None:
        """Refuse parties with LoRA configurations of their own, as all train the same adapter.

        Args:
            configs: by party.

        Raises:
            ValueError: names the parties and their ranks.
        """
        (first, config), *others = configs.items()
        for party, other in others:
            if shared_config(other) != shared_config(config):
                raise ValueError(
                    f"FedAvg trains one adapter, but party {first!r} has LoRA rank {config.r} and party {party!r} has "
                    f"rank {other.r} or other modules: give all parties the same peft_config, or use merge='cat'."
                )

    def mean(self, adapters: Mapping[str, Adapter], num_kept: Mapping[str, int]) -> tuple[Adapter, float]:
        """The global adapter of a round, and the share of the mean product's squared norm that its rank left out.

        Args:
            adapters: by party.
            num_kept: by party, for ``weights="num_kept"``.

        Raises:
            ValueError: a matrix that is not finite (party named), adapters of other shapes, or weights that are all 0.
        """
        for party, adapter in adapters.items():
            require_finite(adapter, party)
        weights = resolve_weights(self.weights, list(adapters), num_kept)
        total = sum(weights.values())
        if total <= 0:
            raise ValueError(f"FedAvg: the weights of {sorted(weights)} add up to {total}.")
        weights = {party: weight / total for party, weight in weights.items()}
        if self.average == "product":
            return average_products(adapters, weights)
        return average_factors(adapters, weights), 0.0

    def to_dict(self) -> dict[str, Any]:
        """The options as JSON values, for a report."""
        weights = dict(self.weights) if isinstance(self.weights, Mapping) else self.weights
        return {
            "method": "fedavg",
            "num_rounds": self.num_rounds,
            "num_steps": self.num_steps,
            "average": self.average,
            "weights": weights,
        }
