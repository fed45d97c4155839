"""One cell: a world, a pattern of damage and a seed. Rows are valued and chosen, then each choice is trained on."""

from __future__ import annotations

import shutil
import time
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hf_datasel import (
    DatasetQuantizationSelector,
    DSIRSelector,
    Embeddings,
    RandomSelector,
    Selection,
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
# By fine-tunes: the options of the estimator.
BY_FINE_TUNES: dict[str, dict[str, Any]] = {"regression": {}, "Banzhaf": {"value": "banzhaf", "max_share": 0.2}}
# Choices by values: the Valuation that each step reads, the share of all rows that it keeps among those of the step
# before, and how. Where that is more than a tenth, a tenth is drawn at random: values clean, and do not narrow.
Step = tuple[str, float, dict[str, Any]]
QOCS, QWCS, SHARP = {"sampling": "qocs"}, {"sampling": "qwcs"}, {"sampling": "qwcs", "sharpness": 3.0}
CHOICES: dict[str, tuple[Step, ...]] = {
    "regression, QOCS": (("regression", BUDGET, QOCS),),
    "regression, QWCS": (("regression", BUDGET, QWCS),),
    "regression, QWCS, f=3": (("regression", BUDGET, SHARP),),
    "Banzhaf, QWCS": (("Banzhaf", BUDGET, QWCS),),
    "Banzhaf, QWCS, f=3": (("Banzhaf", BUDGET, SHARP),),
    "in-run clusters, QWCS": (("in-run clusters", BUDGET, QWCS),),
    "in-run rows, QOCS": (("in-run rows", BUDGET, QOCS),),
    "in-run rows, cosine, QOCS": (("in-run rows, cosine", BUDGET, QOCS),),
    "in-run rows, cosine, QWCS": (("in-run rows, cosine", BUDGET, QWCS),),
    "in-run rows, cosine, QWCS, f=3": (("in-run rows, cosine", BUDGET, SHARP),),
    "regression, half, random": (("regression", 0.5, QOCS),),
    "Banzhaf, half, random": (("Banzhaf", 0.5, QOCS),),
    "in-run rows, cosine, half, random": (("in-run rows, cosine", 0.5, QOCS),),
    "Banzhaf and in-run rows, cosine, random": (("Banzhaf", 0.75, QOCS), ("in-run rows, cosine", 0.5, QOCS)),
}

DECLARED = "in-run rows, cosine, half, random"  # before any seed beyond 2 of the evaluation pool was run


def value_rows(lab: Lab) -> dict[str, Any]:
    """Values by every estimator, how they tell clean rows, what they cost, and the rows that each arm keeps."""
    clean, seed = is_clean(lab.roles.train), lab.seed
    embeddings = lab.embeddings()
    clusters = lab.clusters(embeddings)
    shutil.rmtree(lab.directory / LEDGER, ignore_errors=True)  # what it knew would cost nothing
    num_evaluations, seconds = lab.setting.num_evaluations, [time.process_time()]
    valuations = {}
    for name, options in BY_FINE_TUNES.items():
        estimator = RegressionEstimator(num_evaluations=num_evaluations, **options)
        valuations[name] = value_clusters(clusters, lab.utility(LEDGER), estimator=estimator, seed=seed)
        seconds.append(time.process_time())
    trace = lab.in_run()
    seconds.append(time.process_time())
    valuations |= {
        "in-run clusters": Valuation.from_trace(trace, clusters=clusters),
        "in-run rows": Valuation.from_trace(trace),
        "in-run rows, cosine": Valuation.from_trace(trace, score="cosine", weighting="uniform"),
    }
    scores = {name: valuation.values[valuation.clusters] for name, valuation in valuations.items()}
    dsir = record_dsir(as_text(lab.roles.train), as_text(lab.roles.dev))
    scores["DSIR"] = dsir.column(0)
    kept = baselines(lab, embeddings, dsir, clean)
    kept |= {name: choose(valuations, steps, seed) for name, steps in CHOICES.items()}
    topics = np.array([row.party for row in lab.roles.train])
    return {
        "num_rows": len(clean),
        "corrupted": float(1 - clean.mean()),
        "num_clusters": clusters.num_clusters,
        "cluster_ceiling": auroc(cluster_truth(clusters, clean), clean),
        "auroc": {name: auroc(values, clean) for name, values in scores.items()},
        "costs": {
            name: {"fine_tunes": fine_tunes, "seconds": seconds[i + 1] - seconds[i]}
            for i, (name, fine_tunes) in enumerate(
                {**dict.fromkeys(BY_FINE_TUNES, num_evaluations), "in-run rows": 1}.items()
            )
        },
        "kept": {name: ids.tolist() for name, ids in kept.items()},
        "kept_corrupted": {name: float(1 - clean[ids].mean()) for name, ids in kept.items()},
        "kept_topics": {name: len(set(topics[ids].tolist())) for name, ids in kept.items()},
    }


def choose(valuations: dict[str, Valuation], steps: Sequence[Step], seed: int) -> NDArray[np.int64]:
    """Ids of the tenth of the rows that the steps keep."""
    kept: Selection | None = None
    for name, share, options in steps:
        num_kept = round(share * len(valuations[name].ids))
        kept = SHEDSelector(budget=num_kept, seed=seed, **options).select(valuations[name], within=kept)
    assert kept is not None
    tenth = round(BUDGET * len(valuations[name].ids))
    return RandomSelector(budget=tenth, seed=seed).select(valuations[name], within=kept).ids


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
