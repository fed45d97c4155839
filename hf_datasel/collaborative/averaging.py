"""FedAvg's mean of adapters: of the factors, or of the products.

A LoRA update is the product BA. The mean of factors, (Σ w_i B_i)(Σ w_i A_i), is what frameworks average, and is not
the mean Σ w_i B_i A_i of the updates: the cross terms B_i A_j come with it. The mean of products has a rank of up to
the sum of the ranks; the nearest matrix of rank r to it (Eckart-Young) is what is kept.

Legend: r rank, A [r, in], B [out, r]; n parties, whose weights add up to 1.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from hf_datasel.collaborative.messages import Adapter

Matrix = NDArray[np.float32]


def average_factors(adapters: Mapping[str, Adapter], weights: Mapping[str, float]) -> Adapter:
    """The mean of all A, and the mean of all B.

    Args:
        adapters: by party, of equal configuration.
        weights: by party.

    Raises:
        ValueError: configurations or shapes differ; names the party.
    """
    first = _require_alike(adapters)
    means = {
        key: sum(weights[party] * adapter.weights[key].astype(np.float64) for party, adapter in adapters.items())
        for key in first.weights
    }
    return Adapter(first.config, {key: np.asarray(mean, np.float32) for key, mean in means.items()})


def average_products(adapters: Mapping[str, Adapter], weights: Mapping[str, float]) -> tuple[Adapter, float]:
    """The adapter of the same ranks that is nearest to the mean of all products BA.

    Args:
        adapters: by party, of equal configuration.
        weights: by party.

    Returns:
        The adapter, and the share of the mean's squared norm that did not fit into the rank, over all modules.

    Raises:
        ValueError: configurations or shapes differ; names the party.
    """
    first = _require_alike(adapters)
    averaged: dict[str, Matrix] = {}
    whole = lost = 0.0
    for key_a in (key for key in first.weights if _is_a(key)):
        key_b = _partner(key_a)
        stacked_a = np.concatenate([adapter.weights[key_a] for adapter in adapters.values()])
        stacked_b = np.concatenate([w * adapters[party].weights[key_b] for party, w in weights.items()], axis=1)
        rank = first.weights[key_a].shape[0]
        averaged[key_a], averaged[key_b], energy = nearest_of_rank(stacked_a, stacked_b, rank)
        whole, lost = whole + energy.sum(), lost + energy[rank:].sum()
    return Adapter(first.config, {key: averaged[key] for key in first.weights}), float(lost / whole) if whole else 0.0


def nearest_of_rank(a: Matrix, b: Matrix, rank: int) -> tuple[Matrix, Matrix, NDArray[np.float64]]:
    """Factors of the matrix of a rank that is nearest to BA in the Frobenius norm; BA itself is never formed.

    Args:
        a: ``[k, in]``.
        b: ``[out, k]``.
        rank: r.

    Returns:
        A float32 ``[r, in]`` with orthonormal rows, B float32 ``[out, r]``, and the squared singular values of BA,
        float64, largest first. Where BA has fewer than r singular values the rest is 0.

    Example:
        >>> new_a, new_b, energy = nearest_of_rank(np.eye(2, dtype=np.float32), np.diag([3.0, 4.0]), rank=1)
        >>> (new_b @ new_a).round(3).tolist(), energy.tolist()
        ([[0.0, 0.0], [0.0, 4.0]], [16.0, 9.0])
    """
    basis_b, upper_b = np.linalg.qr(b.astype(np.float64))
    basis_a, upper_a = np.linalg.qr(a.astype(np.float64).T)
    left, values, right = np.linalg.svd(upper_b @ upper_a.T)
    found = min(rank, len(values))
    new_a, new_b = np.zeros((rank, a.shape[1]), np.float32), np.zeros((b.shape[0], rank), np.float32)
    new_b[:, :found] = basis_b @ left[:, :found] * values[:found]
    new_a[:found] = right[:found] @ basis_a.T
    return new_a, new_b, values**2


def _require_alike(adapters: Mapping[str, Adapter]) -> Adapter:
    first_party, *others = adapters
    first = adapters[first_party]
    shapes = {key: value.shape for key, value in first.weights.items()}
    for party in others:
        other = adapters[party]
        if dict(other.config) != dict(first.config) or shapes != {k: v.shape for k, v in other.weights.items()}:
            raise ValueError(
                f"FedAvg averages adapters of one configuration, but that of party {party!r} (rank "
                f"{other.config.get('r')}) is not that of party {first_party!r} (rank {first.config.get('r')})."
            )
    return first


def _is_a(key: str) -> bool:
    return ".lora_A" in key or ".lora_embedding_A" in key


def _partner(key_a: str) -> str:
    return key_a.replace(".lora_A", ".lora_B").replace(".lora_embedding_A", ".lora_embedding_B")
