"""The parts between a Trainer and a Trace: batches, ids, packing, random states."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from datasets import Dataset
from hypothesis import given
from hypothesis import strategies as st
from transformers import Trainer
from trl import SFTTrainer
from trl.trainer.sft_trainer import DataCollatorForLanguageModeling

from hf_datasel.training.batch_ids import carry_ids
from hf_datasel.training.in_run import RECORD, RecordLog, visits
from hf_datasel.training.packing import packed_with_ids
from hf_datasel.training.probe import Probe
from hf_datasel.training.reselect import SelectionSampler
from hf_datasel.training.rows import padded_batch, token_budget_batches, token_lengths
from hf_datasel.training.state import preserved_rng, scoring_mode
from tests.training.tiny import make_dataset, sft_args, tiny_model, word_tokenizer


def sft(tmp_path: Path, dataset: Dataset, **options: Any) -> SFTTrainer:
    args = sft_args(tmp_path / "out", **options)
    return SFTTrainer(model=tiny_model(), args=args, train_dataset=dataset, processing_class=word_tokenizer())


@given(st.lists(st.integers(1, 60), min_size=1, max_size=80), st.integers(1, 100))
def test_token_budget_batches(lengths: list[int], budget: int) -> None:
    batches = token_budget_batches(np.array(lengths), budget)
    assert sorted(np.concatenate(batches).tolist()) == list(range(len(lengths)))
    for batch in batches:
        longest = max(lengths[row] for row in batch)
        assert len(batch) * longest <= budget or len(batch) == 1
    firsts = [lengths[batch[0]] for batch in batches]
    assert firsts == sorted(firsts, reverse=True)


@given(st.lists(st.lists(st.integers(1, 99), min_size=1, max_size=9), min_size=1, max_size=7), st.data())
def test_padding_from_arrow_is_trls_collator(rows: list[list[int]], data: st.DataObject) -> None:
    labels = [[token if data.draw(st.booleans()) else -100 for token in row] for row in rows]
    dataset = Dataset.from_dict({"input_ids": rows, "labels": labels})
    order = data.draw(st.permutations(range(len(rows))))
    got = padded_batch(dataset.with_format("arrow")[list(order)], 7)
    wanted = DataCollatorForLanguageModeling(pad_token_id=7)([dataset[i] for i in order])
    assert set(got) == set(wanted)
    for name, tensor in wanted.items():
        assert torch.equal(got[name], tensor)
        assert got[name].dtype == tensor.dtype
    assert token_lengths(dataset).tolist() == [len(row) for row in rows]


@pytest.mark.parametrize("shuffle_dataset", [False, True])
def test_packed_rows_are_trls_own(tmp_path: Path, shuffle_dataset: bool) -> None:
    dataset = make_dataset(num_rows=40)
    trainer = sft(tmp_path, dataset, packing=True, max_length=20, shuffle_dataset=shuffle_dataset)
    packed = packed_with_ids(trainer, dataset)
    unpacked = {row["example_id"]: row["input_ids"] for row in sft(tmp_path, dataset, max_length=20).train_dataset}
    assert [row["input_ids"] for row in packed] == [row["input_ids"] for row in trainer.train_dataset]
    seen = []
    for row in packed:
        start = 0
        for example, length in zip(row["example_id"], row["seq_lengths"], strict=True):
            assert row["input_ids"][start : start + length] == unpacked[example]
            start += length
            seen.append(example)
    assert sorted(seen) == list(range(40))


def test_the_private_methods_we_call_are_there() -> None:
    """A TRL or Transformers release that moves one of them fails here, by name."""
    for owner, name in [
        (SFTTrainer, "_prepare_dataset"),
        (SFTTrainer, "_set_signature_columns_if_needed"),
        (SFTTrainer, "_save_checkpoint"),
        (Trainer, "_get_train_sampler"),
        (Trainer, "_prepare_inputs"),
        (Trainer, "_get_output_dir"),
        (Trainer, "set_initial_training_values"),
    ]:
        assert callable(getattr(owner, name, None)), f"{owner.__name__}.{name} is gone"


def test_batches_carry_ids_and_nothing_else_changes(tmp_path: Path) -> None:
    trainer = sft(tmp_path, make_dataset(num_rows=10))
    torch.manual_seed(0)
    before = list(trainer.get_train_dataloader())
    columns = trainer._signature_columns
    carry_ids(trainer)
    torch.manual_seed(0)
    after = list(trainer.get_train_dataloader())
    assert trainer._signature_columns == columns
    texts = {tuple(row["input_ids"]): row["example_id"] for row in trainer.train_dataset}
    for old, new in zip(before, after, strict=True):
        ids = new.pop("example_id")
        assert set(old) == set(new)
        assert all(torch.equal(old[name], new[name]) for name in old)
        for row, mask, example in zip(new["input_ids"], new["attention_mask"], ids, strict=True):
            assert texts[tuple(row[mask.bool()].tolist())] == int(example)


def test_a_sweep_leaves_modes_random_states_and_gradients(tmp_path: Path) -> None:
    trainer = sft(tmp_path, make_dataset(num_rows=10))
    model = trainer.model.train()
    model.model.layers[0].eval()  # frozen by the user: model.train() would wake it
    for parameter in model.parameters():
        parameter.grad = torch.ones_like(parameter)
    modes = [module.training for module in model.modules()]
    states = random.getstate(), np.random.get_state()[1].tolist(), torch.get_rng_state()  # noqa: NPY002 (the global one)
    values = Probe(trainer, trainer.train_dataset, 64).sweep()
    assert np.isfinite(values).all()
    assert [module.training for module in model.modules()] == modes
    assert random.getstate() == states[0]
    assert np.random.get_state()[1].tolist() == states[1]  # noqa: NPY002 (the global one)
    assert torch.equal(torch.get_rng_state(), states[2])
    assert all((parameter.grad == 1).all() for parameter in model.parameters())


@pytest.mark.parametrize("tokens_per_batch", [1, 17, 64, 10_000])
def test_a_sweep_does_not_depend_on_batches_or_row_order(tmp_path: Path, tokens_per_batch: int) -> None:
    trainer = sft(tmp_path, make_dataset(num_rows=23))
    reference = Probe(trainer, trainer.train_dataset, 1).sweep()
    values = Probe(trainer, trainer.train_dataset.shuffle(seed=3), tokens_per_batch).sweep()
    np.testing.assert_allclose(values, reference, rtol=64 * np.finfo(np.float32).eps)


def test_scoring_mode_restores_after_an_error() -> None:
    model = torch.nn.Sequential(torch.nn.Dropout(), torch.nn.Linear(2, 2)).train()

    def fail() -> None:
        with scoring_mode(model):
            assert not model.training
            assert not torch.is_grad_enabled()
            raise KeyError

    with pytest.raises(KeyError):
        fail()
    assert model.training
    assert torch.is_grad_enabled()


def test_preserved_rng_covers_all_three_generators() -> None:
    def draw() -> tuple[float, float, float]:
        return random.random(), float(np.random.rand()), float(torch.rand(()))  # noqa: NPY002 (the global one)

    random.seed(1)
    np.random.seed(1)  # noqa: NPY002 (the global one)
    torch.manual_seed(1)
    wanted = draw()
    random.seed(1)
    np.random.seed(1)  # noqa: NPY002 (the global one)
    torch.manual_seed(1)
    with preserved_rng():
        draw()
    assert draw() == wanted


@given(st.integers(1, 6), st.integers(1, 4), st.integers(0, 2**31), st.data())
def test_visits_against_a_loop(num_examples: int, num_epochs: int, seed: int, data: st.DataObject) -> None:
    """Records in any order, with a few repeated within an epoch, become the trajectory a loop would write."""
    rng = np.random.default_rng(seed)
    rows, step = [], 0
    wanted = np.full((num_examples, num_epochs), np.nan, np.float32)
    for epoch in range(num_epochs):
        order = rng.permutation(num_examples).tolist()
        for position, example in enumerate([*order, *order[: data.draw(st.integers(0, 2))]]):
            loss = np.float32(rng.random())
            rows.append((epoch, step, 10 * example, loss, 0.1))
            if position < num_examples:
                wanted[example, epoch] = loss
            step += 1
    records = np.array(rows, dtype=RECORD)[rng.permutation(len(rows))]
    values, columns = visits(records, np.arange(num_examples, dtype=np.int64) * 10)
    np.testing.assert_array_equal(values, wanted)
    assert [column["epoch"] for column in columns] == [epoch + 1 for epoch in range(num_epochs)]


def test_visits_stop_where_an_example_was_not_seen() -> None:
    records = np.array([(0, 0, 1, 0.5, 0.1), (0, 1, 2, 0.6, 0.1), (1, 2, 1, 0.4, 0.1)], dtype=RECORD)
    values, columns = visits(records, np.array([1, 2]))
    np.testing.assert_array_equal(values, np.array([[0.5], [0.6]], np.float32))
    assert len(columns) == 1


def test_record_log_forgets_what_is_trained_again_and_half_records(tmp_path: Path) -> None:
    log = RecordLog(tmp_path, rank=0)
    for step in range(4):
        log.add(0, step, 0.1, torch.tensor([step]), torch.tensor([1]), loss=torch.tensor([0.5 + step]))
    log.flush()
    with open(log.path, "ab") as file:
        file.write(b"\x01\x02\x03")
    assert RecordLog.read(log.path)["step"].tolist() == [0, 1, 2, 3]
    RecordLog.drop_from(tmp_path, 2)
    assert RecordLog.read_all(tmp_path)["step"].tolist() == [0, 1]
    assert log.path.stat().st_size == 2 * RECORD.itemsize


@given(st.integers(1, 30), st.integers(0, 2**31), st.integers(0, 50))
def test_selection_sampler(num_rows: int, seed: int, epoch: int) -> None:
    sampler = SelectionSampler(np.arange(num_rows) * 3, seed)
    sampler.set_epoch(epoch)
    state = torch.get_rng_state()
    order = list(sampler)
    assert sorted(order) == [3 * row for row in range(num_rows)]
    assert list(sampler) == order
    assert torch.equal(torch.get_rng_state(), state)
    with pytest.raises(ValueError, match=f"{num_rows + 1} rows cannot take the place of {num_rows}"):
        sampler.choose(np.arange(num_rows + 1))
