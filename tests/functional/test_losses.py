"""Per-example losses against a loop over tokens that is obviously correct, but slow."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from hf_datasel.functional.losses import IGNORE_INDEX, label_log_probs, mean_nll, predicted_segments


def slow_loss(logits: torch.Tensor, labels: list[int]) -> float:
    """One example, token by token, in float64."""
    total, count = 0.0, 0
    for position in range(1, len(labels)):
        if labels[position] != IGNORE_INDEX:
            row = logits[position - 1].double()
            total += float(torch.logsumexp(row, 0) - row[labels[position]])
            count += 1
    return total / count if count else math.nan


def tolerance(num_labels: int, vocabulary: int, scale: float) -> float:
    """float32: each log-sum-exp of V terms and each sum of n losses loses at most about one unit a step."""
    epsilon = torch.finfo(torch.float32).eps
    return 4 * epsilon * (math.log2(vocabulary) + num_labels) * max(1.0, scale)


@st.composite
def examples(draw: st.DrawFn) -> tuple[list[torch.Tensor], list[list[int]], int]:
    vocabulary = draw(st.integers(2, 40))
    lengths = draw(st.lists(st.integers(1, 12), min_size=1, max_size=6))
    generator = torch.Generator().manual_seed(draw(st.integers(0, 2**31)))
    scale = draw(st.sampled_from([0.1, 1.0, 20.0]))
    logits, labels = [], []
    for length in lengths:
        logits.append(torch.randn(length, vocabulary, generator=generator) * scale)
        ids = torch.randint(0, vocabulary, (length,), generator=generator)
        keep = torch.rand(length, generator=generator) < 0.7
        labels.append(torch.where(keep, ids, IGNORE_INDEX).tolist())
    return logits, labels, vocabulary


def agree(got: torch.Tensor, logits: list[torch.Tensor], labels: list[list[int]], vocabulary: int) -> None:
    for value, one_logits, one_labels in zip(got.tolist(), logits, labels, strict=True):
        wanted = slow_loss(one_logits, one_labels)
        if math.isnan(wanted):
            assert math.isnan(value)
        else:
            spread = float(one_logits.abs().max()) + wanted
            assert abs(value - wanted) <= tolerance(len(one_labels), vocabulary, spread)


@given(examples(), st.integers(1, 50))
def test_padded_rows(case: tuple, chunk_tokens: int) -> None:
    logits, labels, vocabulary = case
    longest = max(len(row) for row in labels)
    padded = torch.zeros(len(labels), longest, vocabulary)
    padded_labels = torch.full((len(labels), longest), IGNORE_INDEX)
    for row, (one_logits, one_labels) in enumerate(zip(logits, labels, strict=True)):
        padded[row, : len(one_labels)] = one_logits
        padded_labels[row, : len(one_labels)] = torch.tensor(one_labels)
    log_probs, mask = label_log_probs(padded, padded_labels, chunk_tokens=chunk_tokens)
    losses, num_labels = mean_nll(log_probs, mask)
    agree(losses, logits, labels, vocabulary)
    assert num_labels.tolist() == [sum(label != IGNORE_INDEX for label in row[1:]) for row in labels]


@given(examples(), st.integers(0, 5))
def test_one_row_holding_several_examples(case: tuple, padding: int) -> None:
    logits, labels, vocabulary = case
    flat = torch.cat([*logits, torch.randn(padding, vocabulary)])[None]
    # As TRL's collator does: an example's first token is no label, and padding stands at position 0.
    flat_labels = [label for row in labels for label in (IGNORE_INDEX, *row[1:])] + [IGNORE_INDEX] * padding
    positions = [position for row in labels for position in range(len(row))] + [0] * padding
    log_probs, mask = label_log_probs(flat, torch.tensor([flat_labels]))
    segments = predicted_segments(torch.tensor([positions]))
    losses, num_labels = mean_nll(log_probs, mask, segments=segments, num_examples=len(labels))
    agree(losses, logits, labels, vocabulary)
    assert num_labels.tolist() == [sum(label != IGNORE_INDEX for label in row[1:]) for row in labels]


def test_an_example_without_labels_has_no_loss() -> None:
    losses, num_labels = mean_nll(torch.zeros(2, 3), torch.tensor([[False] * 3, [True] * 3]))
    assert math.isnan(losses[0])
    assert losses[1] == 0
    assert num_labels.tolist() == [0, 3]


def test_low_precision_logits_are_scored_in_float32() -> None:
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(2, 5, 30, generator=generator).bfloat16()
    labels = torch.randint(0, 30, (2, 5), generator=generator)
    log_probs, _ = label_log_probs(logits, labels)
    exact, _ = label_log_probs(logits.float(), labels)
    assert log_probs.dtype == torch.float32
    assert torch.equal(log_probs, exact)


def test_shapes_that_do_not_fit_are_refused() -> None:
    with pytest.raises(ValueError, match=r"logits of shape \(2, 3\).*labels of shape \(2, 3\)"):
        label_log_probs(torch.zeros(2, 3), torch.zeros(2, 3, dtype=torch.int64))
    with pytest.raises(ValueError, match="num_examples is needed"):
        mean_nll(torch.zeros(1, 2), torch.ones(1, 2, dtype=torch.bool), segments=torch.zeros(1, 2))
