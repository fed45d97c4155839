"""One cell: a world, a pattern of damage and a seed. Rows are valued and chosen, then each choice is trained on."""

from __future__ import annotations

import shutil
import time
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hf_datasel import (
    DatasetQuantizationSelector,
    DSIRSelector,
    Embeddings,
    RandomSelector,
    SHEDSelector,
    Trace,
    Valuation,
    record_dsir,
)
from hf_datasel.cluster_values import value_clusters
from hf_datasel.clusters import Clusters
from hf_datasel.functional.valuation import RegressionEstimator
from recipes.benchmarks.clues_noise.metrics import auroc
from recipes.benchmarks.clues_noise.model import to_dataset
from recipes.benchmarks.shed.lab import Lab, as_text, is_clean
from recipes.benchmarks.shed.model import Tested, evaluate, train

BUDGET = 0.1
LEDGER = "ledger"
BASE, RANDOM, FULL, ORACLE, CLEAN_SHARE = "base", "random", "full", "all clean rows", "random clean rows"
# Of a kind of values: how SHED draws rows by them.
SAMPLED = {
    "regression": ("qocs", "qwcs"),
    "in-run clusters": ("qwcs",),
    "in-run rows": ("qocs",),
    "in-run rows, cosine": ("qocs",),
}
# Of a kind of values: the best half, of which rows are drawn at random, so that values clean and do not narrow.
CHAINED = ("regression", "in-run rows, cosine")


def value_rows(lab: Lab) -> dict[str, Any]:
    """Values by every estimator, how they tell clean rows, what they cost, and the rows that each arm keeps."""
    clean, seed = is_clean(lab.roles.train), lab.seed
    embeddings = lab.embeddings()
    clusters = lab.clusters(embeddings)
    shutil.rmtree(lab.directory / LEDGER, ignore_errors=True)  # what it knew would cost nothing
    begun = time.process_time()
    by_fine_tunes = value_clusters(
        clusters,
        lab.utility(LEDGER),
        estimator=RegressionEstimator(num_evaluations=lab.setting.num_evaluations),
        seed=seed,
    )
    tuned = time.process_time()
    trace = lab.in_run()
    watched = time.process_time()
    valuations = {
        "regression": by_fine_tunes,
        "in-run clusters": Valuation.from_trace(trace, clusters=clusters),
        "in-run rows": Valuation.from_trace(trace),
        "in-run rows, cosine": by_cosine(trace),
    }
    scores = {name: valuation.values[valuation.clusters] for name, valuation in valuations.items()}
    dsir = record_dsir(as_text(lab.roles.train), as_text(lab.roles.dev))
    scores["DSIR"] = dsir.column(0)
    kept = baselines(lab, embeddings, dsir, clean)
    for name, samplings in SAMPLED.items():
        for sampling in samplings:
            selector = SHEDSelector(budget=BUDGET, sampling=sampling, seed=seed)
            kept[f"{name}, {sampling.upper()}"] = selector.select(valuations[name]).ids
    for name in CHAINED:
        best = SHEDSelector(budget=0.5, seed=seed).select(valuations[name])
        drawn = RandomSelector(budget=round(BUDGET * len(clean)), seed=seed).select(valuations[name], within=best)
        kept[f"{name}, half, random"] = drawn.ids
    topics = np.array([row.party for row in lab.roles.train])
    return {
        "num_rows": len(clean),
        "corrupted": float(1 - clean.mean()),
        "num_clusters": clusters.num_clusters,
        "cluster_ceiling": auroc(cluster_truth(clusters, clean), clean),
        "auroc": {name: auroc(values, clean) for name, values in scores.items()},
        "costs": {
            "regression": {"fine_tunes": lab.setting.num_evaluations, "seconds": tuned - begun},
            "in-run rows": {"fine_tunes": 1, "seconds": watched - tuned},
        },
        "kept": {name: ids.tolist() for name, ids in kept.items()},
        "kept_corrupted": {name: float(1 - clean[ids].mean()) for name, ids in kept.items()},
        "kept_topics": {name: len(set(topics[ids].tolist())) for name, ids in kept.items()},
    }


def by_cosine(trace: Trace) -> Valuation:
    """Every row by the mean of its gradient's cosines, not inner products: no large gradient counts for more."""
    worth = trace.companion("cosine").values[:].mean(axis=1, dtype=np.float64)
    rows = np.arange(len(worth))
    return Valuation(
        ids=trace.ids,
        clusters=rows.astype(np.int32),
        values=worth,
        standard_errors=np.full(len(rows), np.nan),
        num_evaluations=np.full(len(rows), trace.num_checkpoints),
        fingerprint=trace.fingerprint,
    )


def cluster_truth(clusters: Clusters, clean: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Of each row the share of clean rows in its cluster: the best that any cluster's value could know."""
    return (np.bincount(clusters.labels, clean) / np.bincount(clusters.labels))[clusters.labels]


def baselines(lab: Lab, embeddings: Embeddings, dsir: Trace, clean: NDArray[np.bool_]) -> dict[str, NDArray[np.int64]]:
    """Rows of the arms without values of SHED; ids are row numbers."""
    num_kept, order = round(BUDGET * len(clean)), np.random.default_rng([lab.seed, 9]).permutation(len(clean))
    return {
        RANDOM: np.sort(order[:num_kept]),
        FULL: np.arange(len(clean)),
        ORACLE: np.flatnonzero(clean),
        CLEAN_SHARE: np.sort(order[clean[order]][:num_kept]),
        "DSIR": DSIRSelector(budget=BUDGET, seed=lab.seed).select(dsir).ids,
        "DQ": DatasetQuantizationSelector(budget=BUDGET, seed=lab.seed).select(embeddings).ids,
    }


def held_out(lab: Lab, kept: list[int] | None) -> dict[str, float]:
    """Test loss and exact match of the base trained on the rows kept, or as it is for None, and the time it took."""
    start, model = time.process_time(), lab.model
    if kept is not None:
        rows = lab.train_rows.select(kept)
        output_dir = lab.directory / "training"
        model = train(model, rows, lab.tokenizer, lab.setting.training, seed=lab.seed, output_dir=output_dir)
    seconds = time.process_time() - start
    found: Tested = evaluate(model, to_dataset(lab.roles.test, lab.tokenizer))
    topics = [row.party for row in lab.roles.test]
    return {"loss": found.loss(topics), "exact_match": found.exact_match(topics), "seconds": seconds}
