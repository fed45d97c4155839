"""Rounds of local steps: one learning-rate schedule over all of them, other batches in each, the model untouched."""

import numpy as np
import pytest
import torch
from transformers import TrainerCallback
from trl import SFTTrainer

from hf_datasel.collaborative import FedAvg
from hf_datasel.collaborative.adapters import draw_adapter, read_adapter
from hf_datasel.collaborative.local_training import LocalTraining, check_schedule
from tests.collaborative.parties import PEFT, make_parties, make_rows, run
from tests.collaborative.random_adapters import distance, updates
from tests.training.tiny import sft_args, tiny_model, word_tokenizer


class Watch(TrainerCallback):
    """Learning rate of every step."""

    def __init__(self):
        self.rates = []

    def on_step_begin(self, args, state, control, lr_scheduler=None, **kwargs):
        self.rates.append(lr_scheduler.get_last_lr()[0])


def watched(trainer):
    """Train; the rate of every step, and the tokens of every batch."""
    watch, batches, inner = Watch(), [], trainer.training_step

    def training_step(model, inputs, *args, **kwargs):
        batches.append(inputs["input_ids"].tolist())
        return inner(model, inputs, *args, **kwargs)

    trainer.training_step = training_step
    trainer.add_callback(watch)
    trainer.train()
    return watch.rates, batches


@pytest.mark.parametrize(
    "options",
    [
        {"lr_scheduler_type": "linear"},
        {"lr_scheduler_type": "cosine", "warmup_steps": 5},
        {"lr_scheduler_type": "constant_with_warmup", "warmup_steps": 3},
        {"lr_scheduler_type": "cosine_with_min_lr", "lr_scheduler_kwargs": {"min_lr_rate": 0.1}},
    ],
    ids=lambda options: options["lr_scheduler_type"],
)
def test_rounds_share_one_schedule(tmp_path, options):
    rows, model = make_rows(20, 0)[0], tiny_model()
    whole = SFTTrainer(
        tiny_model(), sft_args(tmp_path / "whole", max_steps=12, **options), train_dataset=rows,
        processing_class=word_tokenizer(), peft_config=PEFT,
    )  # fmt: skip
    expected, _ = watched(whole)
    training = LocalTraining(model, word_tokenizer(), sft_args(tmp_path, **options))
    rates, start = [], draw_adapter(model, PEFT, 0)
    for number in range(3):
        with training.trainer(rows, start, tmp_path, round=number, num_rounds=3, num_steps=4) as trainer:
            rates += watched(trainer)[0]
    np.testing.assert_allclose(rates, expected, rtol=1e-9)


def test_every_round_draws_other_batches_and_a_repeated_one_the_same(tmp_path):
    rows, model = make_rows(20, 0)[0], tiny_model()
    training, start = LocalTraining(model, word_tokenizer(), sft_args(tmp_path)), draw_adapter(tiny_model(), PEFT, 0)
    seen, adapters = [], []
    for number in (0, 1, 0):
        with training.trainer(rows, start, tmp_path, round=number, num_rounds=2, num_steps=2) as trainer:
            seen.append(watched(trainer)[1])
            adapters.append(read_adapter(trainer.model).to_bytes())
    assert seen[0] == seen[2] != seen[1]
    assert adapters[0] == adapters[2] != adapters[1]


def test_rows_that_are_prepared_train_the_same(tmp_path):
    rows, model = make_rows(20, 0)[0], tiny_model()
    training, start = LocalTraining(model, word_tokenizer(), sft_args(tmp_path)), draw_adapter(tiny_model(), PEFT, 0)
    adapters = []
    for is_prepared in (False, True):
        with training.trainer(rows, start, tmp_path, num_steps=3, is_prepared=is_prepared) as trainer:
            rows = trainer.train_dataset
            trainer.train()
            adapters.append(read_adapter(trainer.model).to_bytes())
    assert adapters[0] == adapters[1]


def test_one_party_alone_is_ordinary_training_cut_in_rounds(tmp_path):
    """With plain SGD there is no optimizer state to lose, so that only the batches tell rounds from one training."""
    options = {"optim": "sgd", "lr_scheduler_type": "constant", "learning_rate": 0.1, "per_device_train_batch_size": 8}
    parties = make_parties({"north": 8})
    federated = run(
        tmp_path / "rounds", parties, args=options, selector=None, merge=FedAvg(num_rounds=3, num_steps=2)
    )  # fmt: skip
    at_once = run(tmp_path / "once", parties, args={**options, "max_steps": 6}, selector=None, merge="cat")
    ours, theirs = (updates(read_adapter(result.load(tiny_model()))) for result in (federated, at_once))
    assert distance(ours, theirs) < 1e-5
    assert not (tmp_path / "rounds" / "parties" / "north" / "training").exists()


def test_rounds_are_those_done_by_hand(tmp_path):
    result = run(tmp_path, merge=FedAvg(num_rounds=2, num_steps=2, weights="num_kept"))
    kept = {name: len(selection) for name, selection in result.selections.items()}
    model, current = tiny_model(), draw_adapter(tiny_model(), PEFT, 42)
    training = LocalTraining(model, word_tokenizer(), sft_args(tmp_path, max_steps=4, learning_rate=1e-3))
    for number in range(2):
        mean = {key: np.zeros_like(value) for key, value in current.weights.items()}
        for party in make_parties():
            rows = party.dataset.select(result.selections[party.name].ids)
            with training.trainer(rows, current, tmp_path, round=number, num_rounds=2, num_steps=2) as trainer:
                trainer.train()
                trained = read_adapter(trainer.model)
            for key in mean:
                mean[key] += kept[party.name] / sum(kept.values()) * trained.weights[key]
        current = type(current)(current.config, mean)
    assert distance(updates(read_adapter(result.load(tiny_model()))), updates(current)) < 1e-5
    assert result.report["settings"]["merge"]["average"] == "factors"


def test_a_schedule_that_depends_on_more_than_the_step_is_refused(tmp_path):
    args = sft_args(tmp_path, lr_scheduler_type="reduce_lr_on_plateau", eval_strategy="steps", eval_steps=2)
    with pytest.raises(ValueError, match=r"lr_scheduler_type=.*cannot be spread over rounds.*choose 'constant'"):
        check_schedule(args, 10)


def test_a_trainer_reports_nowhere_and_evaluates_nothing(tmp_path):
    args = sft_args(tmp_path, report_to="none", eval_strategy="steps", eval_steps=2, load_best_model_at_end=False)
    training = LocalTraining(tiny_model(), word_tokenizer(), args)
    with training.trainer(make_rows(8, 0)[0], draw_adapter(tiny_model(), PEFT, 0), tmp_path / "x") as trainer:
        assert trainer.args.report_to == []
        assert trainer.args.eval_strategy == "no"
    assert args.eval_strategy == "steps"
    assert args.output_dir == str(tmp_path)


@pytest.mark.parametrize("options", [{"gradient_checkpointing": True}, {"packing": True, "packing_strategy": "bfd"}])
def test_checkpointing_and_packing_leave_the_model_alone(tmp_path, options):
    model = tiny_model()
    before = {key: value.clone() for key, value in model.state_dict().items()}
    training = LocalTraining(model, word_tokenizer(), sft_args(tmp_path, max_steps=2, **options))
    start = draw_adapter(model, PEFT, 0)
    with training.trainer(make_rows(8, 0)[0], start, tmp_path) as trainer:
        trainer.train()
        assert read_adapter(trainer.model).to_bytes() != start.to_bytes()
    assert all(torch.equal(before[key], value) for key, value in model.state_dict().items())
    assert not model.get_input_embeddings()._forward_hooks
