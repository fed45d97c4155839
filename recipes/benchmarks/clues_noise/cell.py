"""One cell: a world, a pattern of noise and a seed. Five clients are scored, filtered and, in some cells, trained."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hf_datasel.functional.thresholds import find_threshold
from recipes.benchmarks.clues_noise.corrupt import CLEAN, KINDS, Row, corrupt
from recipes.benchmarks.clues_noise.data import Roles, World, deal
from recipes.benchmarks.clues_noise.lab import BATCH_SIZE, Lab
from recipes.benchmarks.clues_noise.metrics import best_f1, per_kind
from recipes.benchmarks.clues_noise.scores import Score, all_scores

ALPHA = 0.1  # of the conformal threshold
RATIO, SCORE_CUT = 0.6, -1.0  # the fixed ratio of the paper's baselines; a fixed score, in anchors' deviations
RULES = ("mean", "conformal", "f1")
MAIN_RECORDINGS = ("plain",)
ABLATION_RECORDINGS = ("plain", "adam", "first_layer", "last_layer", "qv", "five checkpoints", "own_validation")


@dataclass(frozen=True)
class Pattern:
    """How much noise of which kinds each of the five clients gets, and what is done with it.

    Args:
        shares: by client, in the order of the parties.
        kinds: of noise, in turn.
        recordings: of `lab.RECORDINGS`.
        baselines: whether IFD and DataInf are computed by the trained model.
        trains: whether merged models are trained and tested too.
    """

    shares: tuple[float, ...]
    kinds: tuple[str, ...] = KINDS
    recordings: tuple[str, ...] = MAIN_RECORDINGS
    baselines: bool = False
    trains: bool = False


PATTERNS = {
    "mismatched-50": Pattern((0.5,) * 5, ("mismatched",), baselines=True),
    "mixed-50": Pattern((0.5,) * 5, baselines=True, trains=True),
    "uneven": Pattern((0.8, 0.2, 0.1, 0.5, 0.3)),
    "ablation": Pattern((0.5,) * 5, recordings=ABLATION_RECORDINGS),
    "mixed-80": Pattern((0.8,) * 5),
    "mixed-20": Pattern((0.2,) * 5),
}
# What is trained on: a score's name and a rule, or what needs neither.
ARMS: dict[str, tuple[str, str]] = {
    "CLUES as published": ("plain dot, learning-rate weights", "mean"),
    "CLUES, cosine, conformal": ("plain cosine", "conformal"),
    "weakest link of four, conformal": ("weakest link of four", "conformal"),
    "weakest link of three, conformal": ("weakest link of three", "conformal"),
    "perplexity, conformal": ("perplexity", "conformal"),
}


def deal_rows(world: World, pattern: Pattern, seed: int) -> tuple[Roles, dict[str, list[Row]]]:
    """The roles of a seed, and the clients' rows with their damage."""
    roles = deal(world, seed)
    damaged = {}
    for place, (party, share) in enumerate(zip(roles.client, pattern.shares, strict=True)):
        rng = np.random.default_rng([seed, place, 1])
        damaged[party] = corrupt(roles.client[party], share, pattern.kinds, world.foreign, rng)
    return roles, damaged


def detect(world: World, pattern: Pattern, seed: int, lab: Lab) -> dict[str, Any]:
    """What every score and every rule makes of the clients' rows, and what each arm would train on, as JSON values."""
    roles, damaged = deal_rows(world, pattern, seed)
    validation = [row for rows in roles.validation.values() for row in rows]
    anchors = [row for rows in roles.anchors.values() for row in rows]
    clients: dict[str, Any] = {}
    kept: dict[str, dict[str, list[bool]]] = {arm: {} for arm in ARMS}
    for party, rows in damaged.items():
        evidence = lab.measure(rows, validation, anchors, pattern.recordings, baselines=pattern.baselines)
        scores = all_scores(evidence, seed)
        clients[party] = {name: judge(score, evidence.kinds) for name, score in scores.items()}
        for arm, (name, rule) in ARMS.items():
            kept[arm][party] = keep(scores[name], rule).tolist()
    return {"clients": clients, "kept": kept}


def keep(score: Score, rule: str) -> NDArray[np.bool_]:
    """Rows kept, bool [n], by a rule of the library, by "ratio" or by "score"."""
    if rule == "ratio":
        order = np.argsort(-score.rows, kind="stable")
        kept = np.zeros(len(order), bool)
        kept[order[: round(RATIO * len(order))]] = True
        return kept
    assert score.anchors is not None
    if rule == "score":
        return score.rows >= score.anchors.mean() + SCORE_CUT * score.anchors.std()
    return score.rows >= find_threshold(rule, score.anchors, score.rows, ALPHA).value


def judge(score: Score, kinds: NDArray[np.str_]) -> dict[str, Any]:
    """AUROC by kind, the best F1 there is, and what each rule keeps."""
    ranked = per_kind(score.rows, None, kinds)
    rules = ("ratio", *((*RULES, "score") if score.anchors is not None else ()))
    return {
        "auroc": {kind: round(measures["auroc"], 4) for kind, measures in ranked.items()},
        "best_f1": round(best_f1(score.rows, kinds == CLEAN), 4),
        "rules": {
            rule: {kind: _rounded(measures) for kind, measures in per_kind(None, keep(score, rule), kinds).items()}
            for rule in rules
        },
    }


def train_arms(
    world: World, pattern: Pattern, seed: int, lab: Lab, kept: dict[str, dict[str, list[bool]]]
) -> dict[str, dict[str, Any]]:
    """Test losses of the merged model of every arm, and how many rows each was trained on.

    Every client of every arm trains for the same number of steps from the same start. A client that keeps fewer rows
    than a batch has takes no part.

    Args:
        world, pattern, seed, lab: as `detect`.
        kept: by arm and party, as `detect` returns it.
    """
    roles, rows = deal_rows(world, pattern, seed)
    test = roles.test
    everything = {party: [True] * len(own) for party, own in rows.items()}
    oracle = {party: [row.kind == CLEAN for row in own] for party, own in rows.items()}
    found: dict[str, dict[str, Any]] = {"base": {"loss": lab.held_out_losses({}, test), "num_kept": 0}}
    for arm, flags in {"mixed": everything, "oracle": oracle, **kept}.items():
        chosen = {
            party: [row for row, is_kept in zip(rows[party], of_party, strict=True) if is_kept]
            for party, of_party in flags.items()
        }
        adapters = {party: lab.train(own) for party, own in chosen.items() if len(own) >= BATCH_SIZE}
        found[arm] = {
            "loss": lab.held_out_losses(adapters, test),
            "num_kept": sum(map(len, chosen.values())),
            "num_clients": len(adapters),
        }
    return found


def _rounded(measures: dict[str, float]) -> dict[str, float | None]:
    return {name: round(value, 4) if np.isfinite(value) else None for name, value in measures.items()}
