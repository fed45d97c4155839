"""What the tests of pushing push; imported by the tests and, in the client's process, by their snippets."""

import warnings
from typing import Any

import numpy as np
from datasets import ClassLabel, Dataset, Features, Value

from hf_datasel import PerplexitySelector, RandomSelector, S2LSelector, Selection, Trace, add_example_ids, strata
from hf_datasel.example_ids import stamped_fingerprint
from hf_datasel.hub import Retry, push_selection_to_hub

NUM_ROWS = 40
IMPATIENT = Retry(max_attempts=4, first_wait=0.0)
OURS = {"README.md", "data/selected-00000-of-00001.parquet", "scores/scores-00000-of-00001.parquet"} | {
    "selection/manifest.json",
    "selection/recipe.yaml",
}


def source(num_rows: int = NUM_ROWS) -> Dataset:
    """Texts of two kinds, numbered and stamped."""
    columns = {"text": [f"row {row}" for row in range(num_rows)], "kind": [row % 3 == 0 for row in range(num_rows)]}
    features = Features({"text": Value("string"), "kind": ClassLabel(names=["common", "rare"])})
    return add_example_ids(Dataset.from_dict(columns, features=features))


def trace(dataset: Dataset) -> Trace:
    """Losses of every row at three checkpoints."""
    losses = np.random.default_rng(0).gamma(2, 1, (len(dataset), 3))
    return Trace.from_arrays(np.arange(len(dataset)), losses, fingerprint=stamped_fingerprint(dataset))


def random_selection(dataset: Dataset, budget: int = 10, seed: int = 0) -> Selection:
    return RandomSelector(budget=budget, seed=seed).select(dataset)


def clustered_selection(dataset: Dataset) -> Selection:
    return S2LSelector(budget=10, num_clusters=3).select(trace(dataset))


def scored_selection(dataset: Dataset) -> Selection:
    """With scores and strata, among all rows but the first three."""
    among = Selection(candidate_ids=np.arange(len(dataset)), kept=np.arange(len(dataset)) >= 3)
    groups = strata(dataset, "kind")
    return PerplexitySelector(budget=10).select(trace(dataset), within=among, strata=groups)


def push(repo_id: str, *, budget: int = 10, seed: int = 0, num_rows: int = NUM_ROWS, **options: Any) -> dict[str, Any]:
    """Push a random selection; what came of it, as JSON can hold it."""
    dataset = source(num_rows)
    selection = random_selection(dataset, budget, seed)
    options = {"pictures": (), "retry": IMPATIENT, **options}
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        commit = push_selection_to_hub(repo_id, dataset, selection, **options)
    said = [str(one.message) for one in caught if one.category is UserWarning]
    return {
        "url": str(commit),
        "oid": commit.oid,
        "pr_url": commit.pr_url,
        "warnings": said,
        "ids": selection.ids.tolist(),
    }
