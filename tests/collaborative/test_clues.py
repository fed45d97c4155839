"""A whole run: every step against the same step done by hand, and what it is for."""

import copy
import json
import random

import numpy as np
import pytest
import torch
from peft import LoraConfig, PeftModel, set_peft_model_state_dict
from trl import SFTTrainer

from hf_datasel import CLUESSelector, GradientTraceCallback, Selection, Trace, add_example_ids
from hf_datasel.collaborative import Merge, Party, merge_adapters
from hf_datasel.collaborative.adapters import draw_adapter, make_config, read_adapter
from tests.collaborative.parties import (
    ANCHORS,
    PEFT,
    SIZES,
    VALIDATION,
    make_parties,
    make_rows,
    run,
    schooled_model,
)
from tests.collaborative.random_adapters import distance, updates
from tests.training.tiny import sft_args, tiny_model, word_tokenizer

STEPS = {"max_steps": 4, "learning_rate": 1e-3}


def train_by_hand(dataset, start, output_dir, trace_dir=None, **options):
    """An SFTTrainer as its documentation has it, from the adapter `start`."""
    trainer = SFTTrainer(
        model=tiny_model(),
        args=sft_args(output_dir, **STEPS),
        train_dataset=dataset,
        processing_class=word_tokenizer(),
        peft_config=make_config(start),
    )
    set_peft_model_state_dict(trainer.model, {key: torch.tensor(value) for key, value in start.weights.items()})
    if trace_dir is not None:
        trainer.add_callback(GradientTraceCallback(trainer, trace_dir, **options))
    trainer.train()
    return read_adapter(trainer.model)


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """One run with everything default, and where it was."""
    torch.set_num_threads(1)
    directory = tmp_path_factory.mktemp("clues")
    return run(directory), directory


def test_every_step_is_the_step_done_by_hand(finished, tmp_path):
    result, _ = finished
    theta_0, adapters = draw_adapter(tiny_model(), PEFT, seed=42), {}
    for party in make_parties():
        dataset, place = add_example_ids(party.dataset), tmp_path / party.name
        train_by_hand(
            dataset, theta_0, place / "one", place / "trace",
            validation_dataset=VALIDATION, anchor_dataset=ANCHORS, num_checkpoints=2,
        )  # fmt: skip
        selection = CLUESSelector(score="dot", threshold="mean").select(Trace.load(place / "trace"))
        np.testing.assert_array_equal(result.selections[party.name].scores, selection.scores)
        np.testing.assert_array_equal(result.selections[party.name].ids, selection.ids)
        adapters[party.name] = train_by_hand(selection.apply(dataset), theta_0, place / "two")
    merged = merge_adapters(tiny_model(), adapters, Merge(method="ties"))
    loaded = result.load(tiny_model())
    assert distance(updates(read_adapter(loaded)), updates(merged)) < 1e-6


def test_what_a_run_leaves_behind(finished):
    result, directory = finished
    names = sorted(path.relative_to(directory).as_posix() for path in directory.glob("*"))
    assert names == ["adapter", "clues.json", "parties", "report.json"]
    for name in SIZES:
        home = directory / "parties" / name
        assert sorted(path.name for path in home.iterdir()) == ["replies", "selection", "trace"]
        assert Selection.load(home / "selection").ids.tolist() == result.selections[name].ids.tolist()
        assert Trace.load(home / "trace").companion("anchors").num_examples == len(ANCHORS)
    assert json.loads((directory / "report.json").read_text()) == json.loads(json.dumps(result.report))
    assert result.report["received"] == {
        "ScoreReply": {},
        "FilterReply": {"has_rows": "bool"},
        "TrainReply": {"adapter": "adapter of 12 matrices"},
    }
    assert isinstance(PeftModel.from_pretrained(tiny_model(), result.adapter_path), PeftModel)
    assert repr(result).startswith("Result(kept: north ")


def test_the_report_says_what_was_kept_and_why(finished):
    result, _ = finished
    for name, size in SIZES.items():
        about = result.report["parties"][name]
        scores = result.selections[name].scores
        assert (about["num_rows"], about["num_kept"], about["takes_part"]) == (
            size, len(result.selections[name]), True
        )  # fmt: skip
        assert about["num_kept"] == int((scores >= np.float32(about["threshold"])).sum())
        assert about["rule"] == "mean"
    assert result.report["global_threshold"] is None
    assert result.report["settings"]["merge"]["density"] == 0.2


def test_nothing_outside_is_changed(tmp_path):
    model, parties = tiny_model(), make_parties({"north": 8})
    before = {key: value.clone() for key, value in model.state_dict().items()}
    config, columns = copy.deepcopy(PEFT), parties[0].dataset.column_names
    torch_state, python_state = torch.get_rng_state(), random.getstate()
    run(tmp_path, parties, model=model)
    assert torch.equal(torch_state, torch.get_rng_state())
    assert python_state == random.getstate()
    assert all(torch.equal(before[key], value) for key, value in model.state_dict().items())
    assert config == PEFT
    assert parties[0].dataset.column_names == columns


def test_corrupted_rows_are_found_and_the_model_gains(tmp_path):
    sizes = {"north": 60, "south": 40, "west": 30}
    model = schooled_model()
    options = {
        "model": model,
        "validation_dataset": make_rows(32, 100)[0],
        "anchor_dataset": make_rows(50, 200)[0],
        "recording": {"num_checkpoints": 3},
        "args": {"max_steps": 20, "learning_rate": 3e-3},
        "merge": "cat",
    }
    parties = make_parties(sizes, noise=0.5)
    selector = CLUESSelector(
        threshold="f1", detectors=("cosine", "loss"), combine="mean", fusion="zscore", loss_at="trajectory"
    )
    filtered = run(tmp_path / "clues", parties, selector=selector, **options)
    everything = run(tmp_path / "all", parties, selector=None, **options)
    for seed, (name, size) in enumerate(sizes.items()):
        corrupted = make_rows(size, seed, 0.5)[1]
        kept = filtered.selections[name].kept
        assert (~corrupted)[kept].mean() > 0.9
        assert kept[~corrupted].mean() > 0.7
        assert everything.selections[name].kept.all()
    held_out = make_rows(64, 300)[0]
    assert loss(filtered.load(copy.deepcopy(model)), held_out) < loss(everything.load(copy.deepcopy(model)), held_out)


def loss(model, rows):
    tokenizer = word_tokenizer()
    batch = tokenizer([p + c for p, c in zip(rows["prompt"], rows["completion"], strict=True)],
                      return_tensors="pt", padding=True)  # fmt: skip
    questions = torch.tensor([len(tokenizer(p)["input_ids"]) for p in rows["prompt"]])
    is_question = torch.arange(batch["input_ids"].shape[1]) < questions[:, None]
    labels = batch["input_ids"].masked_fill(is_question | (batch["attention_mask"] == 0), -100)
    with torch.no_grad():
        return float(
            model.eval()(input_ids=batch["input_ids"], attention_mask=batch["attention_mask"], labels=labels).loss
        )


def test_parties_may_bring_their_own_selections(tmp_path):
    parties = []
    for party in make_parties():
        dataset = add_example_ids(party.dataset)
        chosen = Selection(candidate_ids=np.arange(len(dataset)), kept=np.arange(len(dataset)) < 8)
        parties.append(Party(party.name, dataset, selection=chosen))
    options = {"selector": None, "validation_dataset": None, "anchor_dataset": None, "recording": None}
    result = run(tmp_path, parties, merge=Merge(method="cat", weights="num_kept"), **options)
    assert {name: selection.ids.tolist() for name, selection in result.selections.items()} == {
        name: list(range(8)) for name in SIZES
    }
    assert result.report["received"]["FilterReply"] == {"has_rows": "bool", "num_kept": "int"}


def test_a_party_that_is_skipped_is_in_the_report_only(tmp_path):
    north, south = make_parties({"north": 8, "south": 8})
    nothing = Selection(candidate_ids=np.arange(8), kept=np.zeros(8, bool))
    south = Party("south", south.dataset, selection=nothing)
    result = run(tmp_path, [north, south], selector=None, on_empty="skip")
    assert list(result.selections) == ["north"]
    assert result.report["parties"]["south"]["takes_part"] is False
    assert result.report["parties"]["north"]["num_kept"] == 8


def test_a_party_with_a_rank_of_its_own(tmp_path):
    parties = make_parties({"north": 8})
    own = LoraConfig(r=6, lora_alpha=8, target_modules=["q_proj", "v_proj", "down_proj"])
    parties += [Party("south", make_rows(8, 1)[0], peft_config=own)]
    result = run(tmp_path, parties, merge="cat", selector=None)
    assert result.load(tiny_model()).peft_config["default"].r == 10


def test_a_model_by_name_brings_its_tokenizer(tmp_path):
    tiny_model().save_pretrained(tmp_path / "model")
    word_tokenizer().save_pretrained(tmp_path / "model")
    options = {"selector": None, "merge": "cat"}
    parties = make_parties({"north": 8})
    by_name = run(tmp_path / "a", parties, model=str(tmp_path / "model"), tokenizer=None, **options)
    as_object = run(tmp_path / "b", parties, **options)
    assert distance(updates(read_adapter(by_name.load(tiny_model()))),
                    updates(read_adapter(as_object.load(tiny_model())))) < 1e-6  # fmt: skip
