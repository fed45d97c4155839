"""What every selector does, whatever its method: the same suite over all that are registered."""

import dataclasses
import json
import math
import random

import numpy as np
import pytest
import torch
from datasets import Dataset
from hypothesis import given, settings
from hypothesis import strategies as st

from hf_datasel.data import add_example_ids, dataset_fingerprint
from hf_datasel.embeddings import Embeddings
from hf_datasel.selection import Selection
from hf_datasel.selectors import SELECTORS, FullSelector, RandomSelector, Strata
from tests.selectors.evidence import recorded, recorded_on_disk, unmeasured

NUM_EXAMPLES = 240
IDS = np.arange(NUM_EXAMPLES) * 3 + 1
VALUES = np.random.default_rng(0).gamma(2.0, size=(NUM_EXAMPLES, 5)).astype(np.float32)

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


def same(first, second):
    pairs = [(getattr(first, name), getattr(second, name)) for name in ("candidate_ids", "kept", "scores", "clusters")]
    return all((a is None and b is None) or np.array_equal(a, b, equal_nan=a.dtype.kind == "f") for a, b in pairs)


@every_selector
def test_it_is_a_frozen_dataclass_that_checks_nothing_when_made(selector):
    made = selector(budget=-3, seed="no seed")
    assert dataclasses.asdict(made)["budget"] == -3
    with pytest.raises(dataclasses.FrozenInstanceError):
        made.budget = 1


@every_selector
def test_the_registry_knows_it_by_its_name(selector):
    assert SELECTORS[selector.name] is selector


@every_selector
@given(budget=st.integers(1, NUM_EXAMPLES), seed=st.integers(0, 2**31 - 2))
@settings(deadline=None, max_examples=15)
def test_an_int_budget_is_met_exactly_with_unique_candidates(selector, budget, seed):
    selection = selector(budget=budget, seed=seed).select(recorded(selector, IDS, VALUES))
    assert len(selection) == len(set(selection.ids.tolist())) == budget
    assert selection.candidate_ids.tolist() == IDS.tolist()
    assert np.isin(selection.ids, IDS).all()


@every_selector
@pytest.mark.parametrize(
    ("budget", "num_kept"), [(0.5, 120), (1.0, 240), (0.001, 1), (0.11, 26), (0.29, 70), (np.float32(0.25), 60)]
)
def test_a_share_is_rounded_to_the_nearest_and_keeps_at_least_one(selector, trace, budget, num_kept):
    assert len(selector(budget=budget).select(trace)) == num_kept


@every_selector
@pytest.mark.parametrize(
    "budget", [0, -1, NUM_EXAMPLES + 1, 0.0, -0.5, 1.5, math.nan, math.inf, True, np.True_, "10", [3]]
)
def test_a_bad_budget_is_named(selector, trace, budget):
    for refuse in (selector(budget=budget).select, lambda _: selector(budget=budget).check(NUM_EXAMPLES)):
        with pytest.raises(ValueError, match=r"budget="):
            refuse(trace)


@every_selector
def test_no_budget_is_refused_by_whoever_knows_no_other_measure(selector, trace):
    if getattr(selector, "default_threshold", None) is not None:
        selector(budget=None).check(NUM_EXAMPLES)
        return
    for refuse in (selector(budget=None).select, lambda _: selector(budget=None).check(NUM_EXAMPLES)):
        with pytest.raises(ValueError, match=r"budget="):
            refuse(trace)


@every_selector
@pytest.mark.parametrize("seed", [-1, 2**31, 1.5, "x", None, True])
def test_a_bad_seed_is_named(selector, trace, seed):
    with pytest.raises(ValueError, match=r"seed="):
        selector(budget=3, seed=seed).select(trace)


@every_selector
def test_the_same_seed_gives_the_same_answer_and_another_one_another_if_anything_is_drawn(selector, trace):
    answers = [selector(budget=40, seed=seed).select(trace) for seed in (1, 1, 2)]
    assert same(answers[0], answers[1])
    assert np.array_equal(answers[0].ids, answers[2].ids) is not selector.is_random


@every_selector
@given(order=st.permutations(range(NUM_EXAMPLES)))
@settings(deadline=None, max_examples=8)
def test_the_order_of_rows_does_not_matter(selector, order):
    labels = [("math", "code", "chat")[position % 3] for position in range(NUM_EXAMPLES)]
    for strata, moved in (
        (None, None),
        (Strata(IDS, labels), Strata(IDS[order], [labels[position] for position in order])),
    ):
        straight = selector(budget=31).select(recorded(selector, IDS, VALUES), strata=strata)
        shuffled = recorded(selector, IDS[order], VALUES[order])
        assert same(straight, selector(budget=31).select(shuffled, strata=moved))


@every_selector
def test_a_trace_on_disk_gives_the_same_answer_as_one_in_memory(selector, trace, tmp_path):
    on_disk = recorded_on_disk(selector, tmp_path / "trace", IDS, VALUES)
    assert same(selector(budget=31).select(trace), selector(budget=31).select(on_disk))


@every_selector
def test_no_global_generator_is_moved(selector, trace):
    def states():
        return str(np.random.get_state()), random.getstate(), torch.get_rng_state().tolist()  # noqa: NPY002 - the state itself

    before = states()
    selector(budget=20).select(trace)
    assert states() == before


@every_selector
def test_strata_each_get_their_share(selector, trace):
    labels = ["large"] * 200 + ["small"] * 5 + ["middle"] * 35
    selection = selector(budget=60).select(trace, strata=Strata(IDS, labels))
    kept = {label: int(selection.kept[np.array(labels) == label].sum()) for label in ("small", "middle", "large")}
    assert kept == {"small": 5, "middle": 27, "large": 28}


@every_selector
def test_strata_must_cover_the_candidates(selector, trace):
    with pytest.raises(ValueError, match=f"example {IDS[7]} has no label"):
        selector(budget=5).select(trace, strata=Strata(np.delete(IDS, 7), ["a"] * (NUM_EXAMPLES - 1)))
    with pytest.raises(ValueError, match="240 ids came with 1 labels"):
        selector(budget=5).select(trace, strata=Strata(IDS, ["a"]))
    with pytest.raises(ValueError, match=f"example {IDS[3]} has the label 3, which is no string"):
        selector(budget=5).select(trace, strata=Strata(IDS, ["a", "b", "c", 3] + ["a"] * (NUM_EXAMPLES - 4)))


@every_selector
def test_a_second_step_works_within_the_first_and_the_provenance_holds_both(selector, trace):
    first = RandomSelector(budget=100, seed=5).select(trace)
    second = selector(budget=0.2).select(trace, within=first)
    assert len(second) == 20
    assert np.isin(second.ids, first.ids).all()
    assert second.candidate_ids.tolist() == first.ids.tolist()
    assert [step["selector"] for step in second.provenance] == ["random", selector.name]
    assert [step["num_candidates"] for step in second.provenance] == [NUM_EXAMPLES, 100]


@every_selector
def test_within_must_come_from_the_same_rows(selector, trace):
    stranger = Selection(candidate_ids=np.array([1, 2]), kept=np.array([True, True]))
    with pytest.raises(ValueError, match="within= keeps example 2, which the evidence does not have"):
        selector(budget=1).select(trace, within=stranger)


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
@pytest.mark.parametrize("evidence", [None, [1, 2, 3], {"train": 1}, VALUES])
def test_what_is_no_evidence_is_refused(selector, evidence):
    with pytest.raises(TypeError, match=selector.__name__):
        selector(budget=1).select(evidence)


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
def test_the_provenance_says_how_to_do_it_again(selector, trace):
    step = selector(budget=12, seed=9).select(trace).provenance[0]
    assert step["num_kept"] == 12
    assert step["versions"]["numpy"] == np.__version__
    noted, value = ("dimension", 5) if selector.reads is Embeddings else ("steps", [1, 2, 3, 4, 5])
    assert step["evidence"][noted] == value
    again = SELECTORS[step["selector"]](**step["config"]).select(trace)
    assert same(again, selector(budget=12, seed=9).select(trace))
