"""FullSelector: everything that can be chosen, and no budget to speak of."""

import numpy as np
import pytest
from datasets import Dataset

from hf_datasel import FullSelector, RandomSelector, Strata, Trace, add_example_ids
from hf_datasel.selectors import SELECTORS

TRACE = Trace.from_arrays(range(0, 60, 2), np.full((30, 2), np.nan))


@pytest.mark.parametrize("budget", [None, 1.0, np.float32(1)])
def test_it_keeps_everything(budget):
    selection = FullSelector(budget=budget).select(TRACE)
    assert selection.ids.tolist() == list(range(0, 60, 2))
    assert selection.provenance[0]["num_kept"] == 30
    assert SELECTORS[selection.provenance[0]["selector"]] is FullSelector
    FullSelector(budget=budget).check(7)


@pytest.mark.parametrize("budget", [0.5, 30, 1, True, "all", float("nan")])
def test_any_other_budget_is_refused(budget):
    for refuse in (FullSelector(budget=budget).select, lambda _: FullSelector(budget=budget).check(30)):
        with pytest.raises(ValueError, match=r"budget=.* FullSelector, which keeps everything"):
            refuse(TRACE)


def test_everything_is_what_can_be_chosen(tmp_path):
    trace = Trace.create(tmp_path / "trace", range(6))
    trace.mark_unmeasurable([1, 4], "every label is masked")
    assert FullSelector().select(trace).ids.tolist() == [0, 2, 3, 5]
    first = RandomSelector(budget=9, seed=0).select(TRACE)
    second = FullSelector().select(TRACE, within=first, strata=Strata(range(0, 60, 2), ["a", "b"] * 15))
    assert second.ids.tolist() == first.ids.tolist()
    assert [step["selector"] for step in second.provenance] == ["random", "full"]


def test_a_dataset_is_evidence_enough():
    dataset = add_example_ids(Dataset.from_dict({"text": ["a", "b", "c"]}))
    selection = FullSelector().select(dataset.shuffle(seed=1))
    assert selection.apply(dataset)["text"][:] == ["a", "b", "c"]
    with pytest.raises(TypeError, match="FullSelector"):
        FullSelector().select([1, 2, 3])
    with pytest.raises(ValueError, match="seed="):
        FullSelector(seed=-1).select(dataset)
