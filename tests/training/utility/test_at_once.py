"""Coalitions trained together have the values they have one by one."""

import numpy as np
import pytest
import torch

from hf_datasel.ledger import Ledger
from hf_datasel.training.utility import at_once
from tests.training.utility.coalitions import TOLERANCE, lora, make_utility

PLAYERS = [24, 3, 9, 0, 12]
COALITIONS = np.array(
    [[1, 1, 1, 0, 1], [0, 0, 0, 0, 0], [1, 0, 0, 0, 0], [0, 1, 1, 1, 1], [0, 0, 1, 1, 0]], dtype=bool
)
# With so large an epsilon Adam passes a gradient's rounding on as one; weights then differ by tens of roundings, far
# fewer than a loss has of its own.
ARGS = {"num_train_epochs": 2, "learning_rate": 1e-2, "adam_epsilon": 1e-3, "per_device_train_batch_size": 2}


@pytest.mark.parametrize("options", [{}, {"metric": "loss", "groups": "source"}], ids=["together", "by_one"])
def test_values_are_those_of_one_by_one(tmp_path, monkeypatch, options):
    expected = make_utility(tmp_path / "one", args=ARGS, **options).game(PLAYERS)(COALITIONS)
    sizes, train = [], at_once.train_stacked

    def counted(model, config, args, rows, coalitions, *more, **options):
        sizes.append([len(one) for one in coalitions])
        return train(model, config, args, rows, coalitions, *more, **options)

    monkeypatch.setattr(at_once, "train_stacked", counted)
    utility = make_utility(tmp_path / "together", args=ARGS, coalitions_at_once=4, **options)
    values = utility.game(PLAYERS)(COALITIONS)
    assert sizes == [[4, 4, 2, 1]], "the empty coalition is left, and alone"
    np.testing.assert_allclose(values, expected, rtol=TOLERANCE)
    assert np.ptp(expected) > 50 * TOLERANCE * np.abs(expected).max(), "or there is nothing to tell apart"
    if "groups" in options:
        record = utility.ledger.get(utility.ledger.coalition_key([24]))
        assert np.mean(list(record["groups"].values())) == pytest.approx(record["value"])


def test_as_many_as_memory_holds(tmp_path):
    game = make_utility(tmp_path, args=ARGS)
    training, players = game._training, np.array(PLAYERS)
    with pytest.raises(ValueError, match="memory_budget=1000 bytes hold not even one coalition"):
        choice(training, players, 1000)
    chosen = [choice(training, players, budget) for budget in (2**19, 2**20, 2**21)]
    assert 1 <= chosen[0] < chosen[1] < chosen[2] < at_once.MOST_AT_ONCE
    assert choice(training, players, None) == at_once.MOST_AT_ONCE


def choice(training, players, budget):
    return at_once.choose_at_once(training, players, "auto", budget)


def test_what_cannot_be_trained_together_is_refused_or_trained_one_by_one(tmp_path, caplog):
    dropout = {"peft_config": lora(lora_dropout=0.1)}
    with pytest.raises(ValueError, match=r"cannot be trained several at once here: lora_dropout=0.1"):
        make_utility(tmp_path, coalitions_at_once=2, **dropout).game(PLAYERS)
    with pytest.raises(ValueError, match="trains adapters on one frozen model: give a peft_config"):
        make_utility(tmp_path / "full", coalitions_at_once=2, peft_config=None).game(PLAYERS)
    both = COALITIONS[2:4]
    for name, options in (("dropout", dropout), ("full", {"peft_config": None})):
        alone = make_utility(tmp_path / name / "alone", **options).game(PLAYERS)(both)
        auto = make_utility(tmp_path / name / "auto", coalitions_at_once="auto", **options).game(PLAYERS)(both)
        assert auto.tolist() == alone.tolist()


def test_a_failure_names_the_coalitions_and_leaves_no_value(tmp_path):
    utility = make_utility(tmp_path, args={"learning_rate": 1e39, "max_steps": 1}, coalitions_at_once=2)
    coalition = r"The coalition of 4 examples \(.*\)"
    words = rf"One of 2 coalitions \(0: {coalition}; 1: {coalition}\) has no value: ValueError: "
    with pytest.raises(RuntimeError, match=words) as raised:
        utility.game(PLAYERS)(COALITIONS)
    assert "examples (3, 9, 12, 24)" in str(raised.value)
    assert len(Ledger.open(tmp_path / "ledger", utility.ledger.key)) == 0


def test_the_model_is_left_as_it_was(tmp_path):
    utility = make_utility(tmp_path, args=ARGS, coalitions_at_once=2)
    before = {name: value.clone() for name, value in utility._training.base.state_dict().items()}
    generator = torch.get_rng_state()
    utility.game(PLAYERS)(COALITIONS[2:4])
    assert torch.equal(generator, torch.get_rng_state())
    after = utility._training.base.state_dict()
    assert before.keys() == after.keys()
    assert all(torch.equal(before[name], after[name]) for name in before)
