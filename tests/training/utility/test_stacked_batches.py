"""Joined batches hold each adapter's rows once, as they were, with little padding."""

from __future__ import annotations

import hypothesis.strategies as st
import torch
from hypothesis import given

from hf_datasel.training.utility.stacked_batches import MAX_PADDING, collate, join
from tests.training.utility.stacked_oracle import COLLATOR, token_rows


@given(st.lists(st.tuples(st.integers(1, 4), st.integers(2, 40)), min_size=1, max_size=6), st.integers(0, 1000))
def test_every_batch_comes_back_as_it_went_in(shapes, seed) -> None:
    batches = {
        2 * number: collate(token_rows(rows, seed + number, low=2, high=length), COLLATOR)
        for number, (rows, length) in enumerate(shapes)
    }
    joined = join(batches, torch.device("cpu"))
    assert sorted(adapter for one in joined for adapter in one.adapters) == sorted(batches)
    for one in joined:
        assert one.adapters == sorted(one.adapters)
        width = one.inputs["input_ids"].shape[1]
        parts = {name: value.split(one.num_rows) for name, value in one.inputs.items()}
        for place, adapter in enumerate(one.adapters):
            length = batches[adapter]["input_ids"].shape[1]
            assert length >= (1 - MAX_PADDING) * width
            for name, outside in (("input_ids", 0), ("attention_mask", 0), ("labels", -100)):
                assert torch.equal(parts[name][place][:, :length], batches[adapter][name])
                assert (parts[name][place][:, length:] == outside).all()


def test_rows_without_a_mask_of_the_collators_are_all_seen() -> None:
    def bare(rows):
        return {name: torch.tensor([row[name] for row in rows]) for name in ("input_ids", "labels")}

    batch = collate([{"input_ids": [1, 2], "labels": [1, 2], "example_id": 7}], bare)
    assert batch["attention_mask"].tolist() == [[1, 1]]
