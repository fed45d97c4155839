"""value_clusters: who plays, what is asked, and what is kept of it."""

import io
import sys
from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np
import pytest

from hf_datasel import SHEDSelector, Valuation, cluster_examples, value_clusters
from hf_datasel.embeddings import Embeddings
from hf_datasel.fingerprint import DatasetFingerprint
from hf_datasel.functional.valuation.exact import ExactEstimator

EMBEDDER = {"name": "bag", "hash": "0f3a"}
FINGERPRINT = DatasetFingerprint("0f", 60, ("text",))
WHICH = np.random.default_rng(1).integers(0, 4, 60)


@dataclass
class Worth:
    """A synthetic utility: every example has a worth of its own, and a set is worth the sum."""

    worth: dict[int, float]
    key: str = "worth-1"
    asked: list[np.ndarray] = field(default_factory=list)

    def game(self, ids):
        def play(coalitions):
            assert coalitions.dtype == bool
            self.asked.append(coalitions)
            return coalitions @ np.array([self.worth[example] for example in ids.tolist()])

        return play


@dataclass(frozen=True, kw_only=True)
class Noting(ExactEstimator):
    """Exact, and it remembers what it was given."""

    given: ClassVar[dict[str, Any]] = {}

    def estimate(self, game, num_players, *, features=None, seed, progress=None):
        self.given.update(features=features, seed=seed)
        return super().estimate(game, num_players, features=features, seed=seed, progress=progress)


@pytest.fixture
def embeddings():
    vectors = 40 * np.eye(4, 3)[WHICH] + np.random.default_rng(2).normal(size=(60, 3))
    return Embeddings.from_arrays(np.arange(60) * 3, vectors, embedder=EMBEDDER, fingerprint=FINGERPRINT)


@pytest.fixture
def utility(embeddings):
    return Worth({example: [0.1, 0.4, -0.2, 0.3][which] for example, which in zip(embeddings.ids, WHICH, strict=True)})


@pytest.mark.parametrize("method", ["kmeans", "agglomerative"])
def test_every_row_gets_the_worth_of_the_proxy_of_its_cluster(embeddings, utility, method, tmp_path):
    made = value_clusters(embeddings, utility, num_clusters=4, method=method, estimator=Noting(), seed=7)
    np.testing.assert_allclose(made.values[made.clusters], np.array([0.1, 0.4, -0.2, 0.3])[WHICH], rtol=1e-12)
    clusters = cluster_examples(embeddings, num_clusters=4, method=method, seed=7)
    assert np.array_equal(made.proxies, clusters.proxies)
    assert np.array_equal(Noting.given["features"], clusters.centroids)
    assert Noting.given["seed"] == 7
    assert sum(len(coalitions) for coalitions in utility.asked) == 16
    made.save(tmp_path / "v")
    selection = SHEDSelector(budget=int((WHICH == 1).sum()), sampling="qocs").select(Valuation.load(tmp_path / "v"))
    assert selection.ids.tolist() == embeddings.ids[WHICH == 1].tolist()
    assert selection.fingerprint == FINGERPRINT


def test_it_says_how_it_came_about(embeddings, utility):
    made = value_clusters(
        embeddings, utility, num_clusters=4, estimator=ExactEstimator(value="banzhaf", batch_size=4), seed=7
    )
    info = dict(made.info)
    assert set(info.pop("versions")) == {"hf_datasel", "numpy"}
    assert info == {
        "estimator": "exact",
        "estimator_config": {"value": "banzhaf", "batch_size": 4},
        "seed": 7,
        "utility": "worth-1",
        "num_evaluations": 16,
        "embedder": EMBEDDER,
        "clustering": {"method": "kmeans", "num_clusters": 4, "seed": 7, "num_iterations": 20},
        "details": {"value": "banzhaf"},
    }
    assert made.num_evaluations.tolist() == [16] * 4
    assert made.standard_errors.tolist() == [0.0] * 4


def test_the_values_are_those_of_the_game_in_closed_form(embeddings):
    """One of the proxies 0 and 1 is enough, and both need 2: phi = (1/6, 1/6, 2/3), and nothing for the last."""
    clusters = cluster_examples(embeddings, num_clusters=4)
    first, second, third, _ = clusters.proxies.tolist()

    class Either:
        key = "either"

        def game(self, ids):
            assert ids.tolist() == clusters.proxies.tolist()
            column = {example: number for number, example in enumerate(ids.tolist())}
            return lambda coalitions: np.float64(
                (coalitions[:, column[first]] | coalitions[:, column[second]]) & coalitions[:, column[third]]
            )

    made = value_clusters(clusters, Either(), estimator=ExactEstimator())
    np.testing.assert_allclose(made.values, [1 / 6, 1 / 6, 2 / 3, 0], atol=1e-15)


def test_clusters_that_are_there_already_are_taken(embeddings, utility):
    clusters = cluster_examples(embeddings, num_clusters=3, method="agglomerative")
    made = value_clusters(clusters, utility, estimator=ExactEstimator())
    assert np.array_equal(made.clusters, clusters.labels)
    assert made.info["clustering"] == {"method": "agglomerative", "num_clusters": 3}
    with pytest.raises(ValueError, match="num_clusters=4 was asked of 3 Clusters"):
        value_clusters(clusters, utility, num_clusters=4, estimator=ExactEstimator())


def test_what_cannot_be_clustered_is_refused_before_anything_is_asked(embeddings, utility):
    with pytest.raises(TypeError, match="needs Embeddings or Clusters, not list"):
        value_clusters([[0.0]], utility, num_clusters=1, estimator=ExactEstimator())
    with pytest.raises(ValueError, match="needs num_clusters="):
        value_clusters(embeddings, utility, estimator=ExactEstimator())
    with pytest.raises(ValueError, match="num_clusters=61 exceeds the 60 examples"):
        value_clusters(embeddings, utility, num_clusters=61, estimator=ExactEstimator())
    utility.key = object()
    with pytest.raises(TypeError, match="not JSON serializable"):
        value_clusters(embeddings, utility, num_clusters=4, estimator=ExactEstimator())
    assert utility.asked == []


class Terminal(io.StringIO):
    def isatty(self):
        return True


@pytest.mark.parametrize(
    ("stream", "rank", "shown"), [(Terminal, "0", True), (Terminal, "1", False), (io.StringIO, "0", False)]
)
def test_a_terminal_sees_one_bar_with_the_time_left(embeddings, utility, monkeypatch, stream, rank, shown):
    monkeypatch.setenv("LOCAL_RANK", rank)
    monkeypatch.setattr(sys, "stderr", stream())
    value_clusters(embeddings, utility, num_clusters=4, estimator=ExactEstimator())
    written = sys.stderr.getvalue()
    assert ("Valuing 4 clusters" in written) is shown
    assert ("16/16" in written) is shown
