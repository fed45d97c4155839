"""Rank correlation of estimators with the true Shapley values, at 500 evaluations, on games of closed form.

    python -m recipes.benchmarks.shapley_games

Utility rises from 0.30 to 0.38 and saturates (`functional/valuation/games.py`, rate 2). Weights have mean 1/2 and
variance 1, so that a third of the players does harm. Each evaluation has noise of its own, of 0, 0.3 or 1 point of a
hundred. Weights are, by game,

- independent: normal, drawn player by player;
- smooth: a smooth function of 16 features of unit length, as centroids' embeddings may be;
- topics: normal for each of 20 topics and log-normal within them, of one sign; each topic saturates by itself, and
  the features tell topics apart.

All arms get 500 evaluations, groups are a fiftieth of the players. Intervals are 95%, of Student's t over seeds.
"""

from __future__ import annotations

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")  # read when numpy is imported; the processes take a core each

import argparse
import time
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np

from hf_datasel.functional.statistics import spread, t_quantile
from hf_datasel.functional.valuation import Estimator, OfficialEstimator, PaperEstimator, RegressionEstimator
from hf_datasel.functional.valuation.games import SaturatingGame
from recipes.benchmarks.common import print_table, spearman, summary, write_result

BUDGET, GROUPS, RATE, LOW, HIGH = 500, 50, 2.0, 0.30, 0.38
NUM_FEATURES, NUM_TOPICS, NUM_WAVES = 16, 20, 400
NOISES = (0.0, 0.003, 0.01)
GAMES = {"independent": (300, 3000), "smooth": (300, 3000), "topics": (300,)}
FEW = {"value": "banzhaf", "max_share": 0.2}
SMOOTH = {"gaussian_process": True}
RATIOS = (("regression", 300, 0.003), ("banzhaf, at most 20%", 300, 0.003), ("banzhaf, at most 20%", 3000, 0.0))


def arms(num_players: int) -> dict[str, Estimator]:
    """Every estimator that is compared; those with features come last."""
    walks: dict[str, Any] = {
        "group_size": num_players // GROUPS,
        "num_permutations": 2 * BUDGET,
        "num_evaluations": BUDGET,
    }

    def regression(**options: Any) -> RegressionEstimator:
        return RegressionEstimator(num_evaluations=BUDGET, **options)

    return {
        "official": OfficialEstimator(**walks),
        "paper": PaperEstimator(**walks),
        "antithetic": PaperEstimator(antithetic=True, **walks),
        "regression": regression(),
        "banzhaf": regression(value="banzhaf"),
        "shapley, at most 30%": regression(max_share=0.3),
        "banzhaf, at most 20%": regression(**FEW),
        "regression, features": regression(**SMOOTH),
        "banzhaf, at most 20%, features": regression(**FEW, **SMOOTH),
        "banzhaf, at most 20%, features, aligned": regression(**FEW, **SMOOTH, alignment=0.5),
    }


@dataclass(frozen=True)
class Topics:
    """A sum of saturating games, one for each topic's players."""

    games: list[SaturatingGame]
    members: list[np.ndarray]

    def __call__(self, coalitions: np.ndarray) -> np.ndarray:
        return LOW + sum(game(coalitions[:, some]) for game, some in zip(self.games, self.members, strict=True))

    def exact_values(self, value: str) -> np.ndarray:
        values = np.empty(sum(map(len, self.members)))
        for game, some in zip(self.games, self.members, strict=True):
            values[some] = game.exact_values(value)
        return values


def make_game(kind: str, num_players: int, generator: np.random.Generator) -> tuple[Any, np.ndarray]:
    """A game and its players' features, float32 [n, 16]."""
    features = generator.normal(size=(num_players, NUM_FEATURES))
    if kind == "topics":
        topics = np.arange(num_players) % NUM_TOPICS
        features = 0.7 * features + generator.normal(size=(NUM_TOPICS, NUM_FEATURES))[topics]
    features = (features / np.linalg.norm(features, axis=1, keepdims=True)).astype(np.float32)
    if kind == "independent":
        weights = generator.normal(size=num_players)
    elif kind == "smooth":
        phases = generator.uniform(0, 2 * np.pi, NUM_WAVES)
        waves = np.cos(features @ generator.normal(size=(NUM_FEATURES, NUM_WAVES)) + phases)
        weights = waves @ generator.normal(size=NUM_WAVES)
        weights = (weights - weights.mean()) / weights.std()
    else:
        worth = 0.5 + generator.normal(size=NUM_TOPICS)
        worth *= (HIGH - LOW) / worth.sum()
        members = [np.flatnonzero(topics == topic) for topic in range(NUM_TOPICS)]
        games = [
            SaturatingGame(np.exp(0.5 * generator.normal(size=len(some))), 0.0, part, RATE)
            for some, part in zip(members, worth.tolist(), strict=True)
        ]
        return Topics(games, members), features
    return SaturatingGame(0.5 + weights, LOW, HIGH, RATE), features


def measure(cell: tuple[str, int, float, int]) -> dict[str, dict[str, float]]:
    """Every arm on one game: correlation, mean share of the players in a coalition, seconds beside the evaluations."""
    kind, num_players, noise, seed = cell
    game, features = make_game(kind, num_players, np.random.default_rng([seed, num_players]))
    truth, found = game.exact_values("shapley"), {}
    for name, estimator in arms(num_players).items():
        if kind == "independent" and "features" in name:
            continue  # they would be features of nothing
        generator, sizes = np.random.default_rng([seed, 1]), []

        def evaluate(coalitions: np.ndarray, generator: Any = generator, sizes: list[Any] = sizes) -> np.ndarray:
            sizes.append(coalitions.mean(axis=1))
            return game(coalitions) + noise * generator.normal(size=len(coalitions))

        start = time.perf_counter()
        estimate = estimator.estimate(evaluate, num_players, features=features, seed=seed)
        seconds = time.perf_counter() - start
        assert BUDGET - 50 < estimate.total_evaluations <= BUDGET
        share = float(np.concatenate(sizes).mean())
        found[name] = {"spearman": spearman(estimate.values, truth), "share": share, "seconds": seconds}
    return found


def with_interval(values: list[float]) -> dict[str, Any]:
    """Mean over seeds with its 95% interval."""
    mean = spread(values)
    width = t_quantile(len(values) - 1) * mean.standard_error
    return {"mean": round(mean.mean, 3), "interval": [round(mean.mean - width, 3), round(mean.mean + width, 3)]}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--num-seeds", type=int, default=10, help="games of 300 players, at least 3; half as many of 3000"
    )
    num_seeds = parser.parse_args().num_seeds
    seeds = {300: list(range(num_seeds)), 3000: list(range((num_seeds + 1) // 2))}
    cells = [
        (kind, size, noise, seed)
        for kind, sizes in GAMES.items()
        for size in sorted(sizes, reverse=True)
        for noise in NOISES
        for seed in seeds[size]
    ]
    cells.sort(key=lambda cell: -cell[1])  # the long ones first
    with ProcessPoolExecutor(len(os.sched_getaffinity(0))) as pool:
        measured = dict(zip(cells, pool.map(measure, cells), strict=True))

    results, shares, rows = [], {}, []
    for kind, size in ((kind, size) for kind, sizes in GAMES.items() for size in sizes):
        for arm in measured[kind, size, NOISES[0], 0]:
            runs = {noise: [measured[kind, size, noise, seed][arm] for seed in seeds[size]] for noise in NOISES}
            found = {str(noise): with_interval([run["spearman"] for run in runs[noise]]) for noise in NOISES}
            results.append({"game": kind, "num_players": size, "arm": arm, "spearman": found})
            shares[arm] = round(float(np.mean([run["share"] for run in runs[NOISES[0]]])), 3)
            rows.append([kind, size, arm, *(f"{one['mean']:.2f} {one['interval']}" for one in found.values())])

    ratios = {}
    for arm, size, noise in RATIOS:
        cell = [measured["independent", size, noise, seed] for seed in seeds[size]]
        ratios[f"{arm}, {size} players, noise {noise}"] = {
            "measured": f"Spearman with the true Shapley values, {BUDGET} evaluations, noise {noise}: {arm}",
            "reference": "the released code's arithmetic",
            "shape": [size],
            **summary([one[arm]["spearman"] / one["official"]["spearman"] for one in cell]),
        }
    settings = {
        "num_evaluations": BUDGET,
        "num_groups": GROUPS,
        "utility": [LOW, HIGH],
        "rate": RATE,
        "noises": list(NOISES),
        "seeds": {str(size): some for size, some in seeds.items()},
    }
    content = {"settings": settings, **ratios, "mean_share_of_players_in_a_coalition": shares, "results": results}
    path = write_result("shapley_games", content, packages=["numpy"])
    print_table(["game", "players", "estimator", *(f"noise {noise}" for noise in NOISES)], rows)
    slowest = max(run["seconds"] for cell in measured.values() for run in cell.values())
    print(f"written to {path}; the slowest estimate took {slowest:.1f} s beside its evaluations")


if __name__ == "__main__":
    main()
