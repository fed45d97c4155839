"""What cannot be measured is refused by name, and never scored as something else."""

import numpy as np
import pytest
import torch
from datasets import Dataset
from peft import PromptTuningConfig
from trl import SFTTrainer

from hf_datasel.training.utility import coalition_training
from tests.training.tiny import make_dataset, tiny_model
from tests.training.utility.coalitions import dev_rows, make_utility, train_rows

EMPTY, BOTH = np.zeros((1, 2), dtype=bool), np.ones((1, 2), dtype=bool)


def leaking_rows():
    rows = dev_rows(num_rows=3)
    known = make_dataset(num_rows=30).select([9]).remove_columns("example_id")
    return Dataset.from_list([*rows, *known])


def long_prompt(rows, number):
    """Rows of which one has a prompt that leaves no room for an answer."""
    listed = rows.to_list()
    listed[number]["prompt"] = "w1 " * 70
    return Dataset.from_list(listed)


@pytest.mark.parametrize(
    ("options", "error", "words"),
    [
        ({"train_dataset": dev_rows()}, ValueError, r"no column 'example_id'.*add_example_ids"),
        ({"train_dataset": train_rows().select([])}, ValueError, "train_dataset has no rows"),
        ({"train_dataset": train_rows().to_iterable_dataset()}, TypeError, "train_dataset must be a datasets.Dataset"),
        ({"validation_dataset": dev_rows().to_list()}, TypeError, r"needs a datasets.Dataset.*not list"),
        ({"validation_dataset": leaking_rows()}, ValueError, "Row 3 of validation_dataset is also training example 9"),
        ({"validation_dataset": long_prompt(dev_rows(), 2)}, ValueError, "Row 2 of validation_dataset has no label"),
        ({"groups": "topic"}, ValueError, r"groups='topic' is not a column of validation_dataset \(\['prompt'"),
        ({"objective": "worst_group"}, ValueError, "objective='worst_group' needs groups"),
        ({"groups": "source", "objective": {"odd": 1.0}}, ValueError, "group 'even' has no weight"),
        ({"coalitions_at_once": 0}, ValueError, "coalitions_at_once=0 must be a whole number"),
        ({"metric": 7}, TypeError, "metric must be a name, a metric or a function"),
        ({"args": {"chat_template_path": "some/model"}}, ValueError, "chat_template_path='some/model' adds tokens"),
        (
            {"peft_config": PromptTuningConfig(task_type="CAUSAL_LM", num_virtual_tokens=2)},
            ValueError,
            "Coalitions cannot be trained here: PromptTuningConfig puts virtual tokens before each example",
        ),
    ],
)
def test_what_does_not_fit_is_refused_before_anything_is_trained(tmp_path, monkeypatch, options, error, words):
    monkeypatch.setattr(SFTTrainer, "train", None)
    with pytest.raises(error, match=words):
        make_utility(tmp_path, **options)
    assert not (tmp_path / "ledger").exists()


def test_players_that_cannot_be_trained_on_are_named(tmp_path):
    utility = make_utility(tmp_path, train_dataset=long_prompt(train_rows(), 9))
    assert utility.learnable_ids.tolist() == list(range(3, 30, 3)), "all but the one without room for an answer"
    with pytest.raises(
        ValueError, match=r"Example 0 cannot be trained on: .*no label of it is left within max_length"
    ):
        utility.game([3, 0])
    with pytest.raises(ValueError, match="Example 4 cannot be trained on: train_dataset has no row of this id"):
        utility.game([3, 4])
    with pytest.raises(ValueError, match="rows 0 and 2 have the same example id 3"):
        utility.game([3, 6, 3])
    for masks in (np.ones((1, 3), dtype=bool), np.ones((1, 2)), np.ones(2, dtype=bool)):
        with pytest.raises(ValueError, match=r"Coalitions must be bool\[m, 2\], a column for each player, not"):
            utility.game([3, 6])(masks)


def test_a_row_whose_only_label_is_on_its_first_token_is_named(tmp_path):
    rows = [{"input_ids": [7, 8], "labels": [7, 8]}, {"input_ids": [9, 10], "labels": [9, -100]}]
    train = Dataset.from_list([{**row, "example_id": number} for number, row in enumerate(rows)])
    dev = Dataset.from_list([{"input_ids": [11, 12], "labels": [-100, 12]}])
    utility = make_utility(tmp_path, train_dataset=train, validation_dataset=dev)
    assert np.isfinite(utility.game([0])(np.ones((1, 1), dtype=bool))).all()
    with pytest.raises(ValueError, match="Example 1 has no label but on its first token"):
        utility.game([1])
    assert utility.learnable_ids.tolist() == [0]


def test_a_training_that_fails_names_its_coalition_and_leaves_no_value(tmp_path, monkeypatch):
    utility = make_utility(tmp_path)
    game = utility.game([9, 3])
    game(EMPTY)

    def out_of_memory(trainer):
        raise torch.cuda.OutOfMemoryError("CUDA out of memory.")

    monkeypatch.setattr(SFTTrainer, "train", out_of_memory)
    words = r"The coalition of 2 examples \(3, 9\) has no value: OutOfMemoryError: CUDA out of memory"
    with pytest.raises(RuntimeError, match=words):
        game(np.concatenate([BOTH, EMPTY]))
    assert len(utility.ledger) == 1


@pytest.mark.parametrize(
    ("args", "words"),
    [
        ({"learning_rate": 1e30, "max_grad_norm": 0.0, "num_train_epochs": 9}, "training loss is nan"),
        ({"learning_rate": 1e39, "max_steps": 1}, "with numbers that are not finite"),
    ],
)
def test_a_training_that_diverges_is_no_value(tmp_path, args, words):
    utility = make_utility(tmp_path, args=args, peft_config=None)
    with pytest.raises(
        RuntimeError, match=rf"The coalition of 2 examples \(3, 9\) has no value: ValueError: .*{words}"
    ):
        utility.game([9, 3])(BOTH)
    assert len(utility.ledger) == 0


def test_a_training_without_a_step_is_no_value(tmp_path):
    """Two rows make no batch of four."""
    utility = make_utility(tmp_path, args={"dataloader_drop_last": True, "max_steps": 2})
    with pytest.raises(
        RuntimeError, match=r"2 examples \(3, 9\) has no value: .*no step was taken: look at dataloader"
    ):
        utility.game([9, 3])(BOTH)


def test_a_model_that_is_broken_from_the_start_is_no_value(tmp_path):
    model = tiny_model()
    with torch.no_grad():
        model.lm_head.weight[3] = float("nan")
    for metric in ("log_likelihood", "loss", "exact_match"):
        utility = make_utility(tmp_path / metric, model=model, metric=metric)
        with pytest.raises(RuntimeError, match=r"The empty coalition has no value: ValueError: The .* is nan"):
            utility.game([9, 3])(EMPTY)
        assert len(utility.ledger) == 0


@pytest.mark.parametrize("value", [float("nan"), float("-inf")])
def test_a_metric_that_is_not_finite_is_named_with_its_coalition(tmp_path, value):
    def broken(model, rows):
        return [value if source == "odd" else 1.0 for source in rows["source"]]

    utility = make_utility(tmp_path, metric=broken, groups="source")
    words = rf"empty coalition has no value: ValueError: metric '.*broken' is {value} in group 'odd'"
    with pytest.raises(RuntimeError, match=words):
        utility.game([9, 3])(EMPTY)
    assert len(utility.ledger) == 0


def test_a_metric_that_raises_is_named_with_its_coalition(tmp_path):
    def divides(model, rows):
        return 1 / 0

    with pytest.raises(RuntimeError, match="empty coalition has no value: ZeroDivisionError: division by zero"):
        make_utility(tmp_path, metric=divides).game([9])(np.zeros((1, 1), dtype=bool))


def test_a_coalition_of_no_label_at_all_is_no_value(tmp_path):
    """Packing cuts rows at max_length; the player's own check is passed by here."""
    utility = make_utility(tmp_path)
    rows = utility._training.rows.rows.map(lambda labels: {"labels": [-100] * len(labels)}, input_columns="labels")
    object.__setattr__(utility._training.rows, "rows", rows)
    with pytest.raises(RuntimeError, match=r"1 examples \(3\) has no value: ValueError: none of its rows has a label"):
        list(utility._measure([np.array([3])]))


def test_many_ids_are_cut_short():
    ids = np.arange(100)[::-1]
    named = coalition_training.describe_coalition(ids)
    assert named == "The coalition of 100 examples (0, 1, 2, 3, 4, 5, 6, 7, ...)"
