"""A small dataset with everything that can be known of its rows, shared by the tests of a room."""

import csv
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
from datasets import Dataset

from hf_datasel import Embeddings, S2LSelector, Selection, SHEDSelector, Trace, Valuation, add_example_ids
from hf_datasel.data import dataset_fingerprint

NUM_ROWS = 300
RESULTS = {
    "metric": "accuracy",
    "higher_is_better": True,
    "arms": {
        "S2L": [{"budget": 0.5, "values": [0.7, 0.8]}, {"budget": 0.1, "values": [0.6]}],
        "random": [{"budget": 0.1, "values": [0.5, 0.4, 0.6]}],
        "full": [{"budget": 1.0, "values": [0.9, 0.8]}],
    },
}


class World(NamedTuple):
    """One dataset and all that goes with it."""

    dataset: Dataset
    losses: Trace
    influence: Trace  # with the companions "loss" and "num_labels"
    embeddings: Embeddings
    valuation: Valuation
    s2l: Selection
    shed: Selection


def read_csv(path: Path) -> list[dict[str, str]]:
    with open(path, newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


@pytest.fixture(scope="session")
def world() -> World:
    rng = np.random.default_rng(0)
    kind = rng.integers(0, 6, NUM_ROWS)
    rows = {
        "prompt": ["<b>?</b>" + "x" * int(n) for n in rng.integers(1, 40, NUM_ROWS)],
        "completion": ["é" * int(n) for n in rng.integers(1, 20, NUM_ROWS)],
        "skill": [f"skill {k}" for k in kind],
        "source": [None if k % 7 == 0 else f"source {k % 20}" for k in range(NUM_ROWS)],
    }
    dataset = add_example_ids(Dataset.from_dict(rows))
    fingerprint, ids, steps = dataset_fingerprint(dataset), np.arange(NUM_ROWS), [10, 20, 30]
    values = np.abs(kind[:, None] + np.array([3.0, 2.0, 1.0]) + 0.1 * rng.normal(size=(NUM_ROWS, 3)))
    losses = Trace.from_arrays(ids, values, steps=steps, fingerprint=fingerprint)
    num_labels = Trace.from_arrays(ids, rng.integers(1, 30, (NUM_ROWS, 1)))
    influence = Trace.from_arrays(
        ids,
        rng.normal(size=(NUM_ROWS, 3)),
        steps=steps,
        learning_rates=[0.3, 0.2, 0.1],
        metric="influence",
        fingerprint=fingerprint,
        companions={"loss": losses, "num_labels": num_labels},
    )
    vectors = rng.normal(size=(NUM_ROWS, 5)) + kind[:, None]
    embeddings = Embeddings.from_arrays(ids, vectors, embedder={"name": "mine"}, fingerprint=fingerprint)
    clusters = rng.integers(0, 30, NUM_ROWS).astype(np.int32)
    valuation = Valuation(
        ids=ids,
        clusters=clusters,
        values=rng.normal(size=30),
        standard_errors=np.where(np.arange(30) % 3 == 0, np.nan, 0.2),
        num_evaluations=np.arange(30),
        info={"estimator": "paper"},
        fingerprint=fingerprint,
    )
    return World(
        dataset=dataset,
        losses=losses,
        influence=influence,
        embeddings=embeddings,
        valuation=valuation,
        s2l=S2LSelector(budget=60, num_clusters=8).select(losses),
        shed=SHEDSelector(budget=45, sampling="qocs").select(valuation),
    )
