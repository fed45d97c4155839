"""RandomSelector: uniform, and content with any evidence that has ids."""

import numpy as np
import pytest
from datasets import Dataset

from hf_datasel import RandomSelector, Trace, add_example_ids, dataset_fingerprint, rows
from hf_datasel.selectors import Strata


def test_every_example_is_as_likely_as_any_other():
    trace = Trace.from_arrays(range(30), np.ones((30, 1)))
    counts = sum(RandomSelector(budget=10, seed=seed).select(trace).kept.astype(int) for seed in range(1500))
    # each count is binomial with mean 500 and standard deviation 18.3
    assert np.abs(counts - 500).max() < 5 * 18.3


def test_a_trace_a_dataset_and_its_rows_give_the_same_answer():
    dataset = add_example_ids(Dataset.from_dict({"text": [str(i) for i in range(50)]}))
    trace = Trace.from_arrays(range(50), np.full((50, 2), np.nan), fingerprint=dataset_fingerprint(dataset))
    selections = [RandomSelector(budget=7).select(each) for each in (trace, dataset.shuffle(seed=0), rows(dataset))]
    assert len({tuple(selection.ids.tolist()) for selection in selections}) == 1
    assert {selection.fingerprint for selection in selections} == {dataset_fingerprint(dataset)}
    assert selections[0].scores is None
    assert selections[0].clusters is None


def test_a_stream_cannot_be_sampled():
    stream = add_example_ids(Dataset.from_dict({"text": ["a"]}).to_iterable_dataset())
    with pytest.raises(TypeError, match=r"cannot number the rows of a stream"):
        RandomSelector(budget=1).select(stream)


def test_strata_are_named_in_the_provenance():
    trace = Trace.from_arrays(range(10), np.ones((10, 1)))
    step = RandomSelector(budget=6).select(trace, strata=Strata(range(10), ["a"] * 2 + ["b"] * 8)).provenance[0]
    assert step["details"] == {"strata": {"a": 2, "b": 4}}
