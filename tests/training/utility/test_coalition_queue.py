"""Every coalition that is asked for and not known is measured exactly once, and answers come in the order asked."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hf_datasel.ledger import Ledger
from hf_datasel.training.utility.coalition_queue import CoalitionQueue

COALITIONS = st.lists(st.sets(st.integers(0, 4)), max_size=9)


def worth(ids):
    return float(np.sum(2.0 ** np.asarray(ids))) / 7


class Measure:
    """Stands in for trainings, and keeps the coalitions of each call."""

    def __init__(self):
        self.calls = []

    def __call__(self, coalitions):
        self.calls.append([frozenset(ids.tolist()) for ids in coalitions])
        for ids in coalitions:
            yield {"value": worth(ids)}


@pytest.fixture(autouse=True)
def quick_disk(monkeypatch):
    monkeypatch.setattr("os.fsync", lambda descriptor: None)


@given(known=COALITIONS, asked=COALITIONS, at_once=st.integers(1, 4))
def test_what_is_missing_is_measured_once_and_the_largest_first(tmp_path_factory, known, asked, at_once):
    folder, key = tmp_path_factory.mktemp("ledger"), {"seed": 0}
    before = CoalitionQueue(Ledger.open(folder, key), Measure())
    before.values([np.array(sorted(ids), dtype=np.int64) for ids in known])
    ledger, measure = Ledger.open(folder, key), Measure()
    queue = CoalitionQueue(ledger, measure)
    coalitions = [np.array(list(ids), dtype=np.int64) for ids in asked]
    for _ in range(2):
        assert queue.values(coalitions, at_once).tolist() == [worth(ids) for ids in coalitions]
    measured = [ids for call in measure.calls for ids in call]
    assert len(measured) == len(set(measured))
    assert set(measured) == set(map(frozenset, asked)) - set(map(frozenset, known))
    assert [len(ids) for ids in measured] == sorted((len(ids) for ids in measured), reverse=True)
    full, rest = divmod(len(measured), at_once)
    assert [len(call) for call in measure.calls] == [at_once] * full + [rest] * (rest > 0)
    record = {name: ledger.get(name) for name in map(ledger.coalition_key, coalitions)}
    assert all(record[ledger.coalition_key(ids)]["num_examples"] == len(ids) for ids in coalitions)


def test_each_value_is_on_the_disk_before_the_next_is_begun(tmp_path):
    def measure(coalitions):
        for number, ids in enumerate(coalitions):
            assert len(Ledger.open(tmp_path, {})) == number
            if number == 3:
                raise ValueError("no value")
            yield {"value": worth(ids)}

    coalitions = [np.arange(size) for size in (4, 3, 2, 1)]
    with pytest.raises(ValueError, match="no value"):
        CoalitionQueue(Ledger.open(tmp_path, {}), measure).values(coalitions, at_once=4)
    assert len(Ledger.open(tmp_path, {})) == 3


def test_a_value_that_is_not_finite_is_refused(tmp_path):
    queue = CoalitionQueue(Ledger.open(tmp_path, {}), lambda coalitions: [{"value": float("nan")}])
    with pytest.raises(ValueError, match="is nan, not a finite number"):
        queue.values([np.array([1])])
