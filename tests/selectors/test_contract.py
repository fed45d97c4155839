"""What every selector does, whatever its method: the same suite over all that are registered."""

import json
from functools import partial

import numpy as np
import pytest
from datasets import Dataset
from hypothesis import given, settings
from hypothesis import strategies as st

from hf_datasel.data import add_example_ids, dataset_fingerprint
from hf_datasel.embeddings import Embeddings
from hf_datasel.selection import Selection
from hf_datasel.selectors import SELECTORS, FullSelector, RandomSelector
from hf_datasel.selectors.contract import CONTRACT, IDS, NUM_EXAMPLES, VALUES, is_indifferent_to, keeps, same
from tests.selectors.evidence import recorded, recorded_on_disk, unmeasured

# with few candidates S2L says that it lowers its number of clusters, which tests/selectors/test_s2l.py checks
pytestmark = pytest.mark.filterwarnings("ignore:num_clusters=100 exceeds the number of examples:UserWarning")
# FullSelector has no budget to be held to: tests/selectors/test_full.py
BUDGETED = [selector for selector in SELECTORS.values() if selector is not FullSelector]
every_selector = pytest.mark.parametrize("selector", BUDGETED, ids=lambda selector: selector.name)
# Embeddings without a finite vector for every row cannot be made
UNSURE = [selector for selector in BUDGETED if selector.reads is not Embeddings]
whoever_may_lack_values = pytest.mark.parametrize("selector", UNSURE, ids=lambda selector: selector.name)


@pytest.fixture
def trace(selector):
    return recorded(selector, IDS, VALUES)


@every_selector
@pytest.mark.parametrize("check", CONTRACT, ids=lambda check: check.__name__)
def test_it_keeps_to_the_contract(selector, check):
    check(selector, partial(recorded, selector))


@every_selector
def test_the_registry_knows_it_by_its_name(selector):
    assert SELECTORS[selector.name] is selector


@every_selector
@given(budget=st.integers(1, NUM_EXAMPLES), seed=st.integers(0, 2**31 - 2))
@settings(deadline=None, max_examples=15)
def test_an_int_budget_is_met_exactly_with_unique_candidates(selector, budget, seed):
    keeps(selector, recorded(selector, IDS, VALUES), budget, budget=budget, seed=seed)


@every_selector
@given(order=st.permutations(range(NUM_EXAMPLES)))
@settings(deadline=None, max_examples=8)
def test_the_order_of_rows_does_not_matter(selector, order):
    is_indifferent_to(order, selector, partial(recorded, selector))


@every_selector
def test_a_trace_on_disk_gives_the_same_answer_as_one_in_memory(selector, trace, tmp_path):
    on_disk = recorded_on_disk(selector, tmp_path / "trace", IDS, VALUES)
    assert same(selector(budget=31).select(trace), selector(budget=31).select(on_disk))


@every_selector
def test_within_of_another_dataset_is_refused(selector):
    sources = [add_example_ids(Dataset.from_dict({"text": [f"{word} {i}" for i in range(50)]})) for word in "ab"]
    traces = [recorded(selector, range(50), VALUES[:50], fingerprint=dataset_fingerprint(one)) for one in sources]
    first = RandomSelector(budget=20).select(traces[0])
    with pytest.raises(ValueError, match="within= belongs to another dataset"):
        selector(budget=1).select(traces[1], within=first)


@whoever_may_lack_values
def test_rows_that_cannot_be_measured_are_never_kept(selector, tmp_path):
    values = np.where(np.arange(NUM_EXAMPLES)[:, None] % 4, VALUES[:, :3], np.nan)
    trace = recorded_on_disk(selector, tmp_path / "trace", IDS, values, masked=IDS[::4])
    selection = selector(budget=1.0).select(trace)
    assert selection.ids.tolist() == [example for position, example in enumerate(IDS.tolist()) if position % 4]
    assert selection.provenance[0]["evidence"]["unmeasurable"] == {"every label is masked": 60}
    first = Selection(candidate_ids=IDS, kept=np.arange(NUM_EXAMPLES) < 8)
    assert selector(budget=6).select(trace, within=first).ids.tolist() == IDS[[1, 2, 3, 5, 6, 7]].tolist()
    only_unmeasurable = Selection(candidate_ids=IDS, kept=np.arange(NUM_EXAMPLES) % 4 == 0)
    with pytest.raises(ValueError, match="nothing to choose from"):
        selector(budget=1).select(trace, within=only_unmeasurable)


@whoever_may_lack_values
def test_nothing_to_choose_from_is_refused(selector, tmp_path):
    trace = recorded_on_disk(selector, tmp_path / "trace", [1, 2], np.full((2, 1), np.nan), masked=[1, 2])
    with pytest.raises(ValueError, match="nothing to choose from: no example can be measured"):
        selector(budget=1).select(trace)


@whoever_may_lack_values
def test_an_unmeasured_value_is_refused_by_whoever_reads_values(selector):
    values = VALUES.copy()
    values[17, 2] = np.nan
    trace = recorded(selector, IDS, values)
    if not selector.reads_values:
        assert len(selector(budget=5).select(trace)) == 5
        return
    with pytest.raises(ValueError, match=unmeasured(selector, IDS[17], 3)):
        selector(budget=5).select(trace)
    others = Selection(candidate_ids=IDS, kept=np.arange(NUM_EXAMPLES) != 17)
    assert len(selector(budget=5).select(trace, within=others)) == 5


@every_selector
def test_a_selection_survives_the_disk_and_is_applied(selector, tmp_path):
    dataset = add_example_ids(Dataset.from_dict({"text": [f"row {i}" for i in range(120)]}))
    trace = recorded(selector, range(120), VALUES[:120], fingerprint=dataset_fingerprint(dataset))
    selection = selector(budget=0.25, seed=np.int64(3)).select(trace)
    selection.save(tmp_path / "chosen")
    loaded = Selection.load(tmp_path / "chosen")
    assert same(selection, loaded)
    assert list(loaded.provenance) == json.loads(json.dumps(selection.provenance))
    assert loaded.fingerprint == dataset_fingerprint(dataset)
    assert loaded.apply(dataset)["example_id"][:] == selection.ids.tolist()


@every_selector
def test_the_provenance_says_what_was_read(selector, trace):
    step = selector(budget=12).select(trace).provenance[0]
    assert step["versions"]["numpy"] == np.__version__
    noted, value = ("dimension", 5) if selector.reads is Embeddings else ("steps", [1, 2, 3, 4, 5])
    assert step["evidence"][noted] == value
