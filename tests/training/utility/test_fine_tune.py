"""The value of a coalition is what an SFTTrainer run by hand comes to, and nothing is trained twice."""

import random
from typing import Any

import numpy as np
import pytest
import torch
from peft import get_peft_model
from trl import SFTTrainer

from hf_datasel import Embeddings, value_clusters
from hf_datasel.functional.valuation import ExactEstimator
from tests.training.tiny import tiny_model, word_tokenizer
from tests.training.utility.coalitions import (
    TOLERANCE,
    dev_rows,
    log_likelihoods,
    lora,
    make_utility,
    mask,
    train_rows,
    trained_by_hand,
)

PLAYERS = [24, 3, 9, 0]
MEMBERS = [24, 0, 9]


class Weights:
    """A metric that keeps the weights it is shown."""

    key = "weights"

    def __init__(self) -> None:
        self.seen: list[dict[str, torch.Tensor]] = []

    def __call__(self, model: Any, rows: Any) -> float:
        self.seen.append({name: value.detach().clone() for name, value in model.named_parameters()})
        return 0.0


@pytest.fixture
def trainings(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Numbers of rows of all trainings that are run."""
    run: list[int] = []
    train = SFTTrainer.train

    def counted(trainer: SFTTrainer, *args: Any, **kwargs: Any) -> Any:
        run.append(len(trainer.train_dataset))
        return train(trainer, *args, **kwargs)

    monkeypatch.setattr(SFTTrainer, "train", counted)
    return run


@pytest.mark.parametrize(
    ("peft_config", "kind", "args"),
    [
        (lora(lora_dropout=0.1), "prompt_completion", {"num_train_epochs": 2, "per_device_train_batch_size": 2}),
        (None, "messages", {"assistant_only_loss": True, "weight_decay": 0.1}),
        (lora(), "text", {"packing": True, "max_length": 16, "shuffle_dataset": True}),
    ],
    ids=["lora", "full", "packed"],
)
def test_a_value_is_that_of_a_trainer_run_by_hand(tmp_path, peft_config, kind, args):
    data = {"train_dataset": train_rows(kind), "validation_dataset": dev_rows(kind), "peft_config": peft_config}
    weights = Weights()
    make_utility(tmp_path / "weights", args=args, metric=weights, **data).game(PLAYERS)(mask(MEMBERS, PLAYERS))
    by_hand = trained_by_hand(tmp_path, MEMBERS, peft_config=peft_config, kind=kind, **args).model
    (seen,) = weights.seen
    expected = dict(by_hand.named_parameters())
    assert seen.keys() == expected.keys()
    assert all(torch.equal(seen[name], expected[name]) for name in expected)
    start = dict(tiny_model().named_parameters())
    assert peft_config is not None or any(not torch.equal(seen[name], start[name]) for name in start)


def test_log_likelihoods_are_those_of_the_oracle_also_of_the_empty_coalition(tmp_path, trainings):
    utility = make_utility(tmp_path, peft_config=None)
    values = utility.game(PLAYERS)(np.array([[False] * 4, [True, False, True, True]]))
    assert trainings == [3]
    for value, model in ((values[0], tiny_model()), (values[1], None)):
        model = model or trained_by_hand(tmp_path, MEMBERS, peft_config=None).model
        expected = log_likelihoods(model, dev_rows()).mean()
        assert abs(value - expected) <= TOLERANCE * abs(expected)
    assert abs(values[0] - values[1]) > 1000 * TOLERANCE, "training must move the value"


def test_nothing_is_trained_twice(tmp_path, trainings):
    coalitions = np.array([[1, 1, 0, 0], [0, 0, 0, 0], [1, 0, 0, 0], [1, 1, 0, 0]], dtype=bool)
    first = make_utility(tmp_path)
    other = make_utility(tmp_path)
    values = first.game(PLAYERS)(coalitions)
    assert trainings == [2, 1], "asked for twice in a batch, and trained once"
    assert values[0] == values[3]
    assert first.game(PLAYERS)(coalitions).tolist() == values.tolist()
    again = other.game([3, 24])(np.array([[True, True], [False, True], [True, False]]))
    assert trainings == [2, 1, 1], "another process has the values of the first, by members and not by columns"
    assert again[:2].tolist() == [values[0], values[2]]
    assert make_utility(tmp_path).game(PLAYERS)(coalitions).tolist() == values.tolist()
    assert trainings == [2, 1, 1]
    assert first.key == other.key


def test_a_run_that_stops_keeps_what_it_has_measured(tmp_path, trainings, monkeypatch):
    coalitions = np.tri(4, dtype=bool)
    utility = make_utility(tmp_path)
    train = SFTTrainer.train

    def third(trainer, *args, **kwargs):
        if len(trainings) == 2:
            raise KeyboardInterrupt
        return train(trainer, *args, **kwargs)

    game = utility.game(PLAYERS)
    monkeypatch.setattr(SFTTrainer, "train", third)
    with pytest.raises(KeyboardInterrupt):
        game(coalitions)
    monkeypatch.setattr(SFTTrainer, "train", train)
    assert trainings == [4, 3]
    values = make_utility(tmp_path).game(PLAYERS)(coalitions)
    assert trainings == [4, 3, 2, 1]
    assert values.tolist() == make_utility(tmp_path / "at_once").game(PLAYERS)(coalitions).tolist()


@pytest.mark.parametrize(
    "peft_config",
    [lora(), lora(bias="all"), lora(init_lora_weights="pissa"), lora(modules_to_save=["o_proj"]), None],
    ids=["lora", "bias", "pissa", "modules_to_save", "full"],
)
def test_the_model_and_the_generators_are_left_as_they_were(tmp_path, peft_config):
    model = tiny_model().train()
    model.get_input_embeddings().requires_grad_(False)
    model.model.layers[0].eval()
    state = {name: value.clone() for name, value in model.state_dict().items()}
    flags = [(name, one.requires_grad, one.grad) for name, one in model.named_parameters()]
    modes = [(name, module.training) for name, module in model.named_modules()]
    config, generators = model.config.to_dict(), (random.getstate(), np.random.get_state()[1].tolist())  # noqa: NPY002
    torch_generator = torch.get_rng_state()
    utility = make_utility(tmp_path, model=model, peft_config=peft_config, args={"gradient_checkpointing": True})
    utility.game(PLAYERS)(np.ones((1, 4), dtype=bool))
    assert all(torch.equal(state[name], value) for name, value in model.state_dict().items())
    assert flags == [(name, one.requires_grad, one.grad) for name, one in model.named_parameters()]
    assert modes == [(name, module.training) for name, module in model.named_modules()]
    assert config == model.config.to_dict()
    assert generators == (random.getstate(), np.random.get_state()[1].tolist())  # noqa: NPY002
    assert torch.equal(torch_generator, torch.get_rng_state())


def test_clusters_are_valued_by_it(tmp_path, trainings):
    rows = train_rows()
    vectors = [[float(number % 3), 0.01 * number] for number in range(len(rows))]
    embeddings = Embeddings.from_arrays(rows["example_id"], vectors, embedder={"name": "given"})
    utility = make_utility(tmp_path, train_dataset=rows)
    options = {"num_clusters": 3, "estimator": ExactEstimator(), "seed": 0}
    valuation = value_clusters(embeddings, utility, **options)
    assert sorted(trainings) == [1, 1, 1, 2, 2, 2, 3]
    whole = utility.game(valuation.proxies)(np.array([[True] * 3, [False] * 3]))
    assert valuation.values.sum() == pytest.approx(whole[0] - whole[1], abs=1e-12)
    assert len(set(valuation.values.tolist())) == 3
    assert valuation.info["utility"] == utility.key
    assert value_clusters(embeddings, make_utility(tmp_path), **options).values.tolist() == valuation.values.tolist()
    assert len(trainings) == 7, "all of it was in the ledger"


def test_an_adapter_that_is_there_already_is_trained_on_from_where_it_is(tmp_path):
    model = get_peft_model(tiny_model(), lora(init_lora_weights=False))
    before = {name: value.clone() for name, value in model.state_dict().items()}
    weights = Weights()
    make_utility(tmp_path, model=model, peft_config=None, metric=weights).game(PLAYERS)(
        np.array([[False] * 4, [True] * 4])
    )
    assert before.keys() == model.state_dict().keys()
    assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())
    trained, start = weights.seen
    assert all(torch.equal(before[name], value) for name, value in start.items())
    moved = {name for name in start if not torch.equal(start[name], trained[name])}
    assert moved == {name for name in start if "lora_" in name}


def test_a_key_sees_all_that_decides_a_value_and_nothing_else(tmp_path):
    key = make_utility(tmp_path).key
    same = [
        {"args": {"logging_steps": 7, "save_strategy": "epoch"}},
        {"validation_dataset": dev_rows(), "tokens_per_batch": 64},
        {"coalitions_at_once": 4, "train_dataset": train_rows().select(range(9, -1, -1))},
    ]
    other = [
        {"model": tiny_model(seed=1)},
        {"model": tiny_model("qwen3")},
        {"args": {"learning_rate": 0.02}},
        {"args": {"seed": 1}},
        {"peft_config": lora(r=5)},
        {"peft_config": None},
        {"metric": "loss"},
        {"groups": "source"},
        {"validation_dataset": dev_rows(num_rows=4)},
        {"train_dataset": train_rows().select(range(9))},
        {"train_dataset": train_rows("messages"), "validation_dataset": dev_rows("messages")},
    ]
    assert {make_utility(tmp_path, **options).key for options in same} == {key}
    keys = [make_utility(tmp_path, **options).key for options in other]
    assert len({key, *keys}) == 1 + len(other)


def test_a_ledger_of_another_experiment_is_refused_by_what_differs(tmp_path):
    make_utility(tmp_path).game(PLAYERS)(np.zeros((1, 4), dtype=bool))
    with pytest.raises(ValueError, match=r"another experiment: recipe.learning_rate \(0.01 there, 0.1 here\)"):
        make_utility(tmp_path, args={"learning_rate": 0.1})


def test_a_model_is_loaded_by_its_path_with_its_tokenizer(tmp_path):
    tiny_model().save_pretrained(tmp_path / "model")
    word_tokenizer().save_pretrained(tmp_path / "model")
    by_path = make_utility(tmp_path, model=str(tmp_path / "model"), processing_class=None)
    given = make_utility(tmp_path / "given")
    assert by_path.key == given.key
    coalition = mask(MEMBERS, PLAYERS)
    assert by_path.game(PLAYERS)(coalition).tolist() == given.game(PLAYERS)(coalition).tolist()
