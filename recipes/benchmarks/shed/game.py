"""A real game of ten players: v of all 1,024 coalitions, and how near each estimator comes with few of them."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from hf_datasel.functional.valuation import (
    Estimator,
    ExactEstimator,
    Game,
    OfficialEstimator,
    PaperEstimator,
    RegressionEstimator,
)
from hf_datasel.functional.valuation.exact import all_coalitions
from recipes.benchmarks.common import spearman
from recipes.benchmarks.shed.lab import Lab

NUM_PLAYERS = 10
NUM_FINE_TUNES = (20, 40, 60, 120, 240)
NUM_REPEATS = 50  # of each estimator, over the table of values


def play(lab: Lab) -> list[float]:
    """v of every coalition of proxies of ten clusters, in the order of `all_coalitions`."""
    clusters = lab.clusters(lab.embeddings())
    chosen = np.random.default_rng([lab.seed, 8]).permutation(clusters.num_clusters)[:NUM_PLAYERS]
    return (
        lab.utility(f"game-{lab.seed}").game(clusters.proxies[np.sort(chosen)])(all_coalitions(NUM_PLAYERS)).tolist()
    )


def look_up(values: NDArray[np.float64]) -> Game:
    """The game of known values.

    Example:
        >>> look_up(np.array([0.0, 1.0, 2.0, 4.0]))(np.array([[True, True], [False, True]])).tolist()
        [4.0, 2.0]
    """
    return lambda coalitions: values[coalitions @ (1 << np.arange(coalitions.shape[1]))]


def correlations(values: list[float]) -> dict[str, dict[str, float]]:
    """By estimator and number of fine-tunes: Spearman's correlation with exact Shapley values, mean over repeats.

    Permutations that do not fit whole are left out, as the estimators do.
    """
    table = np.array(values)
    game, num_players = look_up(table), len(table).bit_length() - 1
    truth = ExactEstimator().estimate(game, num_players, seed=0).values
    found: dict[str, dict[str, float]] = {}
    for budget in NUM_FINE_TUNES:
        for name, estimator in estimators(budget, float(table[0])).items():
            ranks = [
                spearman(estimator.estimate(game, num_players, seed=seed).values, truth) for seed in range(NUM_REPEATS)
            ]
            found.setdefault(name, {})[str(budget)] = float(np.mean(ranks))
    return found


def estimators(budget: int, empty_value: float) -> dict[str, Estimator]:
    """Those that are compared; groups of two players are a fifth of them, where the paper's are a fiftieth."""
    found: dict[str, Estimator] = {"regression": RegressionEstimator(num_evaluations=budget)}
    for group_size in (1, 2):
        options: dict[str, Any] = {"group_size": group_size, "num_permutations": 200, "num_evaluations": budget}
        found |= {
            f"official, groups of {group_size}": OfficialEstimator(**options),
            f"official, v(empty) measured, groups of {group_size}": OfficialEstimator(
                **options, empty_value=empty_value
            ),
            f"paper, groups of {group_size}": PaperEstimator(**options),
        }
    return found
