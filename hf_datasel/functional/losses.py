"""Per-example losses from what a causal language model's forward returns.

Shapes
    B  rows of a batch            T  tokens of a row          V  vocabulary
    D  examples in the batch: D = B for padded rows, D > B where rows are packed or padding-free

The loss of an example is the mean negative log-likelihood of its label tokens (in nats), the quantity S2L clusters
(Yang et al., NeurIPS 2024, section 4.1). A label of -100 is no label. The token at position t is predicted from
position t - 1, so the first token of an example is never scored.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F

IGNORE_INDEX = -100
CACHED_LOGITS = 2**18  # elements: a piece of logits that stays in the cache of a CPU core


def label_log_probs(
    logits: torch.Tensor, labels: torch.Tensor, *, chunk_tokens: int = 1024
) -> tuple[torch.Tensor, torch.Tensor]:
    """Log-probability of every label token, computed a chunk at a time.

    On a CPU only the rows that predict a label are scored; elsewhere all are, because finding them out would make the
    device wait for the host at every training step.

    Args:
        logits: ``[B, T, V]``, any floating dtype; each chunk is upcast to float32.
        labels: ``[B, T]`` int64, -100 where there is no label, not shifted.
        chunk_tokens: about how many tokens are upcast at once; bounds the extra memory to ``chunk_tokens * V`` floats.

    Returns:
        ``log_probs`` float32 ``[B, T - 1]``, zero where there is no label, and ``label_mask`` bool ``[B, T - 1]``.

    Raises:
        ValueError: shapes do not belong together.

    >>> logits = torch.zeros(1, 3, 4)
    >>> log_probs, mask = label_log_probs(logits, torch.tensor([[0, -100, 2]]))
    >>> [round(value, 4) for value in log_probs[0].tolist()], mask[0].tolist()
    ([0.0, -1.3863], [False, True])
    """
    if logits.ndim != 3 or logits.shape[:2] != labels.shape:
        raise ValueError(
            f"logits of shape {tuple(logits.shape)} do not fit labels of shape {tuple(labels.shape)}: expected "
            "[batch, tokens, vocabulary] and [batch, tokens], as a causal language model returns them."
        )
    shifted = labels[:, 1:].to(logits.device)
    mask = shifted != IGNORE_INDEX
    log_probs = torch.zeros(shifted.shape, dtype=torch.float32, device=logits.device)
    if logits.device.type == "cpu":
        rows = F.pad(mask, (0, 1)).flatten().nonzero()[:, 0]
        log_probs[mask] = token_log_probs(logits.flatten(0, 1), shifted[mask], rows, chunk_tokens=chunk_tokens)
        return log_probs, mask
    step = max(1, chunk_tokens // max(1, shifted.shape[1]))
    for start in range(0, shifted.shape[0], step):
        chunk = slice(start, start + step)
        nll = F.cross_entropy(
            logits[chunk, :-1].flatten(0, 1).float(),
            shifted[chunk].flatten(),
            ignore_index=IGNORE_INDEX,
            reduction="none",
        )
        log_probs[chunk] -= nll.view_as(shifted[chunk])
    return log_probs, mask


def token_log_probs(
    logits: torch.Tensor, targets: torch.Tensor, rows: torch.Tensor | None = None, *, chunk_tokens: int = 1024
) -> torch.Tensor:
    """Log-probability of one token in each row of logits.

    Args:
        logits: ``[M, V]``, any floating dtype; each chunk is upcast to float32.
        targets: int64 ``[n]``, the tokens.
        rows: int64 ``[n]``, the row of ``logits`` for each target; by default the first row for the first target,
            and so on.
        chunk_tokens: at most how many rows are upcast at once; on a CPU no more than fit into its cache.

    Returns:
        float32 ``[n]``.

    >>> token_log_probs(torch.zeros(3, 4), torch.tensor([1, 0]), torch.tensor([2, 2])).exp().tolist()
    [0.25, 0.25]
    """
    log_probs = torch.empty(targets.shape, dtype=torch.float32, device=logits.device)
    step = chunk_tokens
    if logits.device.type == "cpu":
        step = max(1, min(chunk_tokens, CACHED_LOGITS // logits.shape[-1]))
    for start in range(0, len(targets), step):
        chunk = slice(start, start + step)
        piece = logits[chunk] if rows is None else logits.index_select(0, rows[chunk])
        log_probs[chunk] = -F.cross_entropy(piece.float(), targets[chunk], reduction="none")
    return log_probs


def predicted_segments(position_ids: torch.Tensor) -> torch.Tensor:
    """Which example each predicted token belongs to, in a row that holds several.

    Args:
        position_ids: ``[1, T]`` integers that restart at 0 where an example begins.

    Returns:
        int64 ``[1, T - 1]``: entry t is the running number of the example that holds token t + 1. Padding written as
        position 0 behind the last example gets numbers of its own, past the last example's.

    >>> predicted_segments(torch.tensor([[0, 1, 2, 0, 1]])).tolist()
    [[0, 0, 1, 1]]
    """
    return ((position_ids == 0).cumsum(-1) - 1)[:, 1:]


def mean_nll(
    log_probs: torch.Tensor,
    label_mask: torch.Tensor,
    *,
    segments: torch.Tensor | None = None,
    num_examples: int | None = None,
) -> tuple[torch.Tensor, torch.Tensor]:
    """Mean negative log-likelihood of each example's label tokens.

    Args:
        log_probs: ``[B, T - 1]``, log-probability of each label token.
        label_mask: bool ``[B, T - 1]``, True where there is a label.
        segments: int64 ``[B, T - 1]`` from :func:`predicted_segments`; None when every row is one example.
        num_examples: D, needed with ``segments``; tokens of segments >= D (padding) are left out.

    Returns:
        ``losses`` float32 ``[D]`` and ``num_labels`` int64 ``[D]``, on the device of ``log_probs``. The loss is NaN
        where an example has no label: it has none, and 0 would read as perfectly learned.

    >>> losses, num_labels = mean_nll(torch.tensor([[-1.0, -3.0, 0.0]]), torch.tensor([[True, True, False]]))
    >>> losses.tolist(), num_labels.tolist()
    ([2.0], [2])
    """
    nll = torch.where(label_mask, -log_probs.float(), 0.0)
    if segments is None:
        num_labels = label_mask.sum(-1)
        return nll.sum(-1) / num_labels, num_labels
    if num_examples is None:
        raise ValueError("num_examples is needed with segments: it tells padding from the last example.")
    # A masked sum, not index_add_: its order of summation is the same on every run and every device.
    owner = segments.flatten() == torch.arange(num_examples, device=segments.device)[:, None]
    num_labels = (owner & label_mask.flatten()).sum(-1)
    return torch.where(owner, nll.flatten(), 0.0).sum(-1) / num_labels, num_labels
