"""What selecting costs by the number of rows: every selector that scales, on generated evidence of N rows.

Evidence is in memory, a tenth (0.11) is kept, and what made the evidence is not timed. A case that ends before a
million rows says why. Where a published code computes the same in another way, its loop (`growth_loops.py`) runs in
the same rounds.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from datasets import Dataset

from hf_datasel import (
    CLUESSelector,
    DatasetQuantizationSelector,
    DSIRSelector,
    Embeddings,
    FacilityLocationSelector,
    HighLearnabilitySelector,
    MiddlePerplexitySelector,
    PerplexitySelector,
    RandomSelector,
    S2LSelector,
    SHEDSelector,
    Trace,
    add_example_ids,
    record_dsir,
)
from hf_datasel.functional.cluster_sampling import softmax_logits
from hf_datasel.functional.similarities import Space
from hf_datasel.functional.valuation import OfficialEstimator
from hf_datasel.functional.valuation.games import SaturatingGame
from hf_datasel.valuation import Valuation
from recipes.benchmarks import growth_loops as loops
from recipes.benchmarks.s2l_scale import BUDGET, NUM_CLUSTERS, record

Work = Callable[[], object]
Prepare = Callable[[int, int], Work]  # from N and a seed to what is timed

SIZES = (10_000, 100_000, 1_000_000)
NUM_ANCHORS, NUM_STEPS = 1_000, 4
NUM_SHED_CLUSTERS, ROWS_OF_A_CLUSTER = 1_000, 4  # at most so many clusters, at least so many rows in each
NUM_TOPICS, DIMENSION, CHUNK_SIZE, NEIGHBOURS = 50, 64, 10_000, 64
NUM_WORDS, WORDS_OF_A_ROW = 20_000, 20
NUM_GROUPS, NUM_PERMUTATIONS = 50, 2


@dataclass(frozen=True)
class Case:
    """What is timed at which sizes, and the loop it is held against."""

    what: str
    prepare: Prepare
    sizes: tuple[int, ...] = SIZES
    rounds: int = 9
    ends: str = ""  # why there are no more rows
    loop: Prepare | None = None
    loop_is: str = ""
    loop_sizes: tuple[int, ...] = field(default=SIZES)
    unit: str = "rows"


def losses(num_rows: int, seed: int) -> Trace:
    """Falling losses at 12 checkpoints, in memory."""
    with tempfile.TemporaryDirectory() as folder:
        trace = record(Path(folder) / "trace", num_rows, seed)
        return Trace.from_arrays(trace.ids, trace.values)


def selecting(selector: Any, evidence: Callable[[int, int], Any]) -> Prepare:
    """Selecting from evidence that is made beforehand."""

    def prepare(num_rows: int, seed: int) -> Work:
        found = evidence(num_rows, seed)
        return lambda: selector.select(found)

    return prepare


def influence(num_rows: int, seed: int) -> Trace:
    """What CLUES' default reads, with 1,000 anchors; a third of the rows is lower by two deviations."""
    generator = np.random.default_rng(seed)

    def made(count: int, bad: float, **also: Trace) -> Trace:
        goodness = np.where(generator.random(count) < bad, -2.0, 0.0)[:, None]

        def along(sign: int, num_columns: int = NUM_STEPS, **companions: Trace) -> Trace:
            return Trace.from_arrays(
                np.arange(count),
                sign * (goodness + generator.normal(size=(count, num_columns))),
                learning_rates=np.linspace(1.0, 0.25, num_columns),
                metric="influence",
                companions=companions,
            )

        return along(1, contrast_truncated=along(1), loss=along(-1), pairing=along(1, 1), **also)

    return made(num_rows, 1 / 3, anchors=made(NUM_ANCHORS, 0.0))


def valuation(num_rows: int, seed: int) -> Valuation:
    """Clusters of uneven size, each of a normal value."""
    generator = np.random.default_rng(seed)
    count = min(NUM_SHED_CLUSTERS, num_rows // ROWS_OF_A_CLUSTER)
    shares = generator.dirichlet(np.ones(count))
    labels = generator.choice(count, size=num_rows, p=shares).astype(np.int32)
    unknown = np.full(count, np.nan)
    return Valuation(
        ids=np.arange(num_rows),
        clusters=labels,
        values=generator.normal(size=count),
        standard_errors=unknown,
        num_evaluations=np.ones(count, np.int64),
    )


def weights(num_rows: int, seed: int) -> Trace:
    """Log importance weights, as of texts of some dozens of words."""
    values = np.random.default_rng(seed).normal(scale=20.0, size=(num_rows, 1))
    return Trace.from_arrays(range(num_rows), values, metric="dsir")


def texts(num_rows: int, seed: int) -> Dataset:
    """Rows of 20 words, of which few are frequent."""
    generator = np.random.default_rng(seed)
    ranks = np.minimum(generator.zipf(1.3, size=(num_rows, WORDS_OF_A_ROW)), NUM_WORDS)
    words = np.array([f"w{rank}" for rank in range(NUM_WORDS + 1)], object)
    return add_example_ids(Dataset.from_dict({"text": [" ".join(row) for row in words[ranks].tolist()]}))


def hashing(num_rows: int, seed: int) -> Work:
    """DSIR's features: every row hashed, and its weight."""
    dataset, target = texts(num_rows, seed), texts(NUM_ANCHORS, seed + 1)
    return lambda: record_dsir(dataset, target)


def embeddings(num_rows: int, seed: int) -> Embeddings:
    """Vectors of unit length around 50 topics."""
    generator = np.random.default_rng(seed)
    topics = generator.normal(size=(NUM_TOPICS, DIMENSION)).astype(np.float32)
    vectors = topics[generator.integers(NUM_TOPICS, size=num_rows)]
    vectors += generator.standard_normal(vectors.shape, np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    return Embeddings.from_arrays(np.arange(num_rows), vectors, embedder={"name": "generated"})


def released_s2l(num_rows: int, seed: int) -> Work:
    """S2L's loop on the same trajectories; K as the selector lowers it."""
    values, count = losses(num_rows, seed).values, min(NUM_CLUSTERS, num_rows)
    return lambda: loops.s2l(values, round(BUDGET * num_rows), count, np.random.default_rng(seed))


def released_draw(num_rows: int, seed: int) -> Work:
    """SHED's loop on the same clusters and values."""
    found = valuation(num_rows, seed)
    logits = softmax_logits(found.values, 1.0, standardise=True)
    return lambda: loops.shed_draw(found.clusters, logits, round(BUDGET * num_rows), np.random.default_rng(seed))


def plain_greedy(num_rows: int, seed: int) -> Work:
    """The loop; all similarities are computed inside the time, as the selector does."""
    vectors = embeddings(num_rows, seed).vectors

    def work() -> object:
        similarities = Space.of(vectors, "cosine").columns(np.arange(num_rows))
        return loops.facility_location(similarities, round(BUDGET * num_rows), np.random.default_rng(seed))

    return work


def game_of(num_players: int, seed: int) -> SaturatingGame:
    """What stands for fine-tuning: utility that saturates, in closed form."""
    return SaturatingGame(0.5 + np.random.default_rng(seed).normal(size=num_players), 0.30, 0.38, 2.0)


def official_values(num_players: int, seed: int) -> Work:
    """The released arithmetic, as the library does it."""
    game, size = game_of(num_players, seed), max(1, num_players // NUM_GROUPS)
    estimator = OfficialEstimator(group_size=size, num_permutations=NUM_PERMUTATIONS)
    return lambda: estimator.estimate(game, num_players, seed=seed)


def released_values(num_players: int, seed: int) -> Work:
    """The same as a loop over coalitions and members."""
    game, size = game_of(num_players, seed), max(1, num_players // NUM_GROUPS)
    return lambda: loops.shed_values(game, num_players, size, NUM_PERMUTATIONS, np.random.default_rng(seed))


CASES = {
    "random": Case("RandomSelector", selecting(RandomSelector(budget=BUDGET), losses)),
    "s2l": Case(
        "S2LSelector(variant='official')",
        selecting(S2LSelector(budget=BUDGET, num_clusters=NUM_CLUSTERS, variant="official"), losses),
        loop=released_s2l,
        loop_is="faiss on all rows, then a loop over clusters",
    ),
    "perplexity": Case("PerplexitySelector", selecting(PerplexitySelector(budget=BUDGET), losses)),
    "middle_perplexity": Case("MiddlePerplexitySelector", selecting(MiddlePerplexitySelector(budget=BUDGET), losses)),
    "high_learnability": Case("HighLearnabilitySelector", selecting(HighLearnabilitySelector(budget=BUDGET), losses)),
    "clues": Case("CLUESSelector()", selecting(CLUESSelector(), influence)),
    "clues_paper": Case(
        "CLUESSelector(score='dot', threshold='mean')",
        selecting(CLUESSelector(score="dot", threshold="mean"), influence),
    ),
    "clues_f1": Case("CLUESSelector(threshold='f1')", selecting(CLUESSelector(threshold="f1"), influence)),
    "shed_qwcs": Case(
        "SHEDSelector (QWCS)",
        selecting(SHEDSelector(budget=BUDGET), valuation),
        loop=released_draw,
        loop_is="a loop over draws",
    ),
    "shed_qocs": Case(
        "SHEDSelector(sampling='qocs')", selecting(SHEDSelector(budget=BUDGET, sampling="qocs"), valuation)
    ),
    "dsir": Case("DSIRSelector", selecting(DSIRSelector(budget=BUDGET), weights)),
    "dsir_hashing": Case("record_dsir, rows of 20 words", hashing, rounds=3),
    "quantization": Case(
        "DatasetQuantizationSelector",
        selecting(DatasetQuantizationSelector(budget=BUDGET), embeddings),
        sizes=(2_500, 5_000, 10_000, 20_000),
        rounds=5,
        ends="at worst every pair of rows is compared; for more rows there is chunk_size",
    ),
    "quantization_chunks": Case(
        "DatasetQuantizationSelector(chunk_size=10000)",
        selecting(DatasetQuantizationSelector(budget=BUDGET, chunk_size=CHUNK_SIZE), embeddings),
        rounds=3,
    ),
    "facility_exact": Case(
        "FacilityLocationSelector",
        selecting(FacilityLocationSelector(budget=BUDGET), embeddings),
        sizes=(1_000, 2_000, 5_000, 10_000),
        rounds=5,
        ends="every pair of rows is compared, and beyond 10,000 rows the selector takes neighbours",
        loop=plain_greedy,
        loop_is="a loop that computes every gain in every step",
        loop_sizes=(1_000, 2_000),
    ),
    "facility_neighbours": Case(
        f"FacilityLocationSelector(num_neighbours={NEIGHBOURS})",
        selecting(FacilityLocationSelector(budget=BUDGET, num_neighbours=NEIGHBOURS), embeddings),
        sizes=(10_000, 20_000, 50_000),
        rounds=3,
        ends="above 20,000 rows an index finds the neighbours; more rows were left out to keep the run short",
    ),
    "shed_values": Case(
        f"OfficialEstimator, {NUM_GROUPS} groups, {NUM_PERMUTATIONS} permutations of a game in closed form",
        official_values,
        sizes=(300, 3_000, 30_000),
        loop=released_values,
        loop_is="a loop over coalitions and players",
        loop_sizes=(300, 3_000, 30_000),
        unit="players",
    ),
}
