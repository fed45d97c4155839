"""The confidence curriculum in a comparison: all rows, in the order of losses that are recorded for everybody."""

import json

import pytest
import torch
from trl import SFTTrainer

from hf_datasel import ConfidenceCurriculumCallback, Trace
from hf_datasel.compare.jobs import Measure
from hf_datasel.compare.plan import CURRICULUM, Method
from tests.compare.comparing import NUM_ROWS, STEPS, arguments, compare, train_rows, watched_trainings
from tests.training.following import watch
from tests.training.selecting import weights
from tests.training.tiny import tiny_model, word_tokenizer

PACES = {CURRICULUM: {}, "slow": {"start_share": 0.25, "full_at": 1.0}}
METHODS = ["s2l", CURRICULUM, Method("slow", CURRICULUM, PACES["slow"])]
OPTIONS = {"methods": METHODS, "metrics": ["loss"], "num_seeds": 2}


@pytest.fixture(scope="module")
def done(tmp_path_factory):
    """A comparison, the weights that its cells came to, and the ids of each training."""
    folder, models, of_trainer = tmp_path_factory.mktemp("curriculum"), [], Measure.of_trainer

    def kept(measure, trainer):
        models.append(weights(trainer))
        return of_trainer(measure, trainer)

    with pytest.MonkeyPatch.context() as patch, watched_trainings() as trained:
        patch.setattr(Measure, "of_trainer", kept)
        comparison = compare(folder, **OPTIONS)
    return folder, comparison, models, trained


def cell_of(folder, label, seed):
    return json.loads((folder / "cells" / f"{label}-1.0-{seed}.json").read_text())


@pytest.mark.parametrize(("number", "label", "seed"), [(2, CURRICULUM, 42), (8, "slow", 43)])
def test_a_cell_is_a_training_with_the_callback_bit_for_bit(done, tmp_path, number, label, seed):
    folder, _, models, _ = done
    trainer = SFTTrainer(
        tiny_model(),
        args=arguments(tmp_path, seed=seed, max_steps=STEPS),
        train_dataset=train_rows(),
        processing_class=word_tokenizer(),
    )
    (losses,) = (folder / "evidence").glob("loss-*/trace")
    trainer.add_callback(ConfidenceCurriculumCallback(trainer, Trace.load(losses), **PACES[label]))
    seen = watch(trainer)
    trainer.train()
    assert torch.equal(models[number], weights(trainer))
    cell = cell_of(folder, label, seed)
    assert (cell["method"], cell["num_kept"], cell["steps"]) == (label, NUM_ROWS, STEPS)
    assert cell["num_seen"] == len({row for batch in seen for row in batch}) < NUM_ROWS


def test_it_reads_what_others_read_and_pays_for_it(done):
    folder, comparison, _, trained = done
    assert len(list((folder / "evidence").iterdir())) == 1
    assert trained.count(list(range(NUM_ROWS))) == 1 + 3 * 2, "the proxy, two orders and everything, twice each"
    costs = {one["method"]: one for one in comparison.result["costs"]["methods"]}
    for label in PACES:
        assert costs[label]["evidence"] == costs["s2l"]["evidence"]
        assert (costs[label]["forwards"], costs[label]["fine_tunes"]) == (3 * NUM_ROWS, 1)


def test_it_has_no_selection_and_no_overlap_and_one_budget(done):
    folder, comparison, _, _ = done
    assert {path.name.split("-")[0] for path in (folder / "selections").iterdir()} == {"random", "s2l", "full"}
    result = comparison.result
    assert (result["methods"], result["on_all"]) == (["random", "s2l"], list(PACES))
    assert all(one["methods"] == ["random", "s2l"] for one in result["overlap"])
    arms = {one["method"]: one for one in result["costs"]["arms"]}
    assert [arms[label]["budget"] for label in (*PACES, "full")] == [1.0] * 3
    assert arms["slow"]["num_seen"] == sum(cell_of(folder, "slow", seed)["num_seen"] for seed in (42, 43)) / 2
    assert arms["full"]["num_seen"] is None
    for label in PACES:
        assert f"{label}, which trains on everything in an order that costs " in comparison.verdict


def test_a_comparison_called_again_trains_nothing(done):
    folder = done[0]
    with watched_trainings() as trained:
        compare(folder, **OPTIONS)
    assert trained == []


def test_equal_epochs_are_those_of_everything(tmp_path):
    compare(tmp_path, **{**OPTIONS, "methods": [CURRICULUM], "num_seeds": 1}, equal="epochs", num_train_epochs=3)
    cell = cell_of(tmp_path, CURRICULUM, 42)
    assert cell["steps"] == cell_of(tmp_path, "full", 42)["steps"] == 3 * STEPS
    assert cell["num_seen"] == NUM_ROWS, "an epoch is left when all are there"


@pytest.mark.parametrize(
    ("method", "options", "message"),
    [
        (f"s2l,{CURRICULUM}", {}, "s2l,confidence_curriculum at 0.5: .* is no link of a chain and has no budget"),
        (f"{CURRICULUM}:0.5", {}, "is no link of a chain and has no budget. Name it alone"),
        (Method(CURRICULUM, options={"pace": 2}), {}, "pace is no hyperparameter of ConfidenceCurriculum"),
        (Method(CURRICULUM, options={"full_at": 2}), {}, "full_at=2 of ConfidenceCurriculum must be a share"),
        (Method(CURRICULUM, options={"full_at": "1"}), {}, "full_at='1' of ConfidenceCurriculum must be a share"),
        (Method(CURRICULUM, options={"start_share": 0}), {}, r"start_share=0 of the confidence curriculum"),
        (Method(CURRICULUM, options={"budget": 0.5}), {}, "the option budget=0.5 .*: leave it out"),
        (CURRICULUM, {"packing": True}, "The confidence curriculum orders single examples, but packing=True"),
        (CURRICULUM, {"train_sampling_strategy": "sequential"}, "'sequential' asks for another order"),
        ("s2l", {"selection_curriculum": "confidence"}, "leave it out; .*'confidence_curriculum' among them"),
    ],
)
def test_what_cannot_be_ordered_is_refused_before_any_work(tmp_path, method, options, message):
    with watched_trainings() as trained, pytest.raises(ValueError, match=message):
        compare(tmp_path, methods=[method], **options)
    assert trained == []
    assert not list(tmp_path.iterdir())
