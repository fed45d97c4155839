"""Groups of dev rows: every row is in one, and the objective is what its definition says."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hf_datasel.training.utility.metrics import row_means
from hf_datasel.training.utility.objective import Groups

ROWS = st.lists(st.tuples(st.sampled_from("abc"), st.floats(-5, 5)), min_size=1, max_size=12)
WEIGHTS = st.fixed_dictionaries({name: st.floats(0.1, 9) for name in "abc"})


@given(ROWS, WEIGHTS)
def test_objectives_are_those_of_their_definitions(rows, weights):
    labels, values = [label for label, _ in rows], np.array([value for _, value in rows])
    means = {
        name: math.fsum(value for label, value in rows if label == name) / labels.count(name)
        for name in sorted(set(labels))
    }
    present = {name: weights[name] for name in means}
    expected = {
        "mean": sum(means.values()) / len(means),
        "worst_group": min(means.values()),
        "weights": sum(present[name] * means[name] for name in means) / sum(present.values()),
    }
    for objective, value in expected.items():
        groups = Groups(labels, "topic", present if objective == "weights" else objective)
        parts = groups.rows(len(rows))
        assert sorted(np.concatenate(parts).tolist()) == list(range(len(rows)))
        metrics = row_means(values, parts)
        assert metrics == list(means.values())
        assert groups.combine(metrics) == pytest.approx(value, abs=1e-12)


@given(st.lists(st.floats(-5, 5), min_size=1, max_size=9))
def test_without_groups_it_is_the_mean_of_all_rows(values):
    groups = Groups(None, None, "mean")
    (metric,) = row_means(np.array(values), groups.rows(len(values)))
    assert groups.combine([metric]) == metric == math.fsum(values) / len(values)


@pytest.mark.parametrize(
    ("objective", "words"),
    [
        ("median", "objective='median' must be 'mean', 'worst_group', or a weight for each group"),
        ({"a": 1.0}, r"group 'b' has no weight; the groups are \['a', 'b'\]"),
        ({"a": 1.0, "b": 1.0, "c": 1.0}, "group 'c' is not in column 'topic' of validation_dataset"),
        ({"a": 1.0, "b": -1.0}, "weights must be numbers from 0 on"),
        ({"a": 0.0, "b": 0.0}, "not all of them 0"),
        ({"a": math.nan, "b": 1.0}, "weights must be numbers from 0 on"),
    ],
)
def test_an_objective_that_does_not_fit_is_refused(objective, words):
    with pytest.raises(ValueError, match=words):
        Groups(["a", "b"], "topic", objective)


@pytest.mark.parametrize("objective", ["worst_group", {"a": 1.0}])
def test_an_objective_over_groups_needs_groups(objective):
    with pytest.raises(ValueError, match="needs groups: name a column of validation_dataset"):
        Groups(None, None, objective)
