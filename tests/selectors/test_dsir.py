"""DSIRSelector: largest noisy weights, whole or stratum by stratum."""

import math

import numpy as np
import pytest

from hf_datasel import DSIRSelector, Strata, Trace

IDS = np.arange(30) * 2 + 1
LOG_WEIGHTS = np.random.default_rng(0).normal(size=30).astype(np.float32) * 2


def weighed(values=LOG_WEIGHTS, ids=IDS):
    return Trace.from_arrays(ids, np.reshape(values, (-1, 1)), metric="dsir")


def test_with_noise_it_keeps_what_seeded_gumbel_noise_puts_first():
    selection = DSIRSelector(budget=8, seed=5).select(weighed())
    noisy = LOG_WEIGHTS + np.random.default_rng(5).gumbel(size=30)
    assert selection.ids.tolist() == sorted(IDS[np.argsort(-noisy)[:8]].tolist())
    assert np.array_equal(selection.scores, LOG_WEIGHTS)


def test_without_noise_it_keeps_the_largest_and_the_seed_breaks_ties():
    best = sorted(IDS[np.argsort(-LOG_WEIGHTS)[:8]].tolist())
    kept = {tuple(DSIRSelector(budget=8, noise="none", seed=seed).select(weighed()).ids.tolist()) for seed in range(5)}
    assert kept == {tuple(best)}
    tied = weighed([3, 1, 1, 1, 0], range(5))
    kept = {tuple(DSIRSelector(budget=2, noise="none", seed=seed).select(tied).ids.tolist()) for seed in range(40)}
    assert kept == {(0, 1), (0, 2), (0, 3)}


def test_a_row_is_first_in_proportion_to_its_weight():
    trace, num_seeds = weighed(np.log([1.0, 2.0, 5.0]), range(3)), 3000
    counts = np.bincount(
        [int(DSIRSelector(budget=1, seed=seed).select(trace).ids[0]) for seed in range(num_seeds)], minlength=3
    )
    for count, share in zip(counts, (1 / 8, 2 / 8, 5 / 8), strict=True):
        assert abs(count - num_seeds * share) < 5 * math.sqrt(num_seeds * share * (1 - share))


def test_every_stratum_keeps_the_best_of_its_own():
    labels = ["a" if row < 10 else "b" for row in range(30)]
    selection = DSIRSelector(budget=8, noise="none").select(weighed(), strata=Strata(IDS, labels))
    for rows in (np.arange(10), np.arange(10, 30)):
        best = rows[np.argsort(-LOG_WEIGHTS[rows])[:4]]
        assert np.flatnonzero(selection.kept[rows]).tolist() == sorted((best - rows[0]).tolist())
    assert selection.provenance[0]["details"] == {"strata": {"a": 4, "b": 4}}


def test_large_weights_keep_their_noise():
    # at 2**20 float32 holds nothing finer than 1/16, which would leave most of the noise out
    trace = weighed(np.full(200, 2.0**20), range(200))
    noisy = np.random.default_rng(3).gumbel(size=200)
    assert DSIRSelector(budget=20, seed=3).select(trace).ids.tolist() == sorted(np.argsort(-noisy)[:20].tolist())


def test_another_metric_and_an_unknown_noise_are_refused():
    with pytest.raises(
        ValueError, match="reads a Trace of the metric 'dsir', recorded by record_dsir, not one of 'loss'"
    ):
        DSIRSelector(budget=1).select(Trace.from_arrays(IDS, LOG_WEIGHTS[:, None]))
    with pytest.raises(ValueError, match=r"noise='normal' of DSIRSelector must be one of"):
        DSIRSelector(budget=1, noise="normal").check(5)
