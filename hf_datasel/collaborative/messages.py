"""What crosses between a party and the coordinator: these messages and nothing else.

    coordinator -> party        party -> coordinator
    ScoreRequest                ScoreReply        train on everything, recording influence
    FilterRequest               FilterReply       keep what passes the threshold
    TrainRequest                TrainReply        train from an adapter on what was kept

None of them has a place for a value of one private example: no array in a reply has the private rows along an axis.
What they do tell of private data is written at each field; adapters and counts do leak, and nothing here proves how
little (the paper proves nothing either).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hf_datasel.collaborative.wire import decode, encode, register


class Message:
    """What all messages can do."""

    def to_bytes(self) -> bytes:
        """As bytes, without pickle; equal messages give equal bytes."""
        return encode(self)

    @classmethod
    def from_bytes(cls, payload: bytes) -> Any:
        """The message of this class in the bytes.

        Raises:
            ValueError: damaged bytes, or a message of another class.
        """
        message = decode(payload)
        if not isinstance(message, cls):
            raise ValueError(f"A {cls.__name__} was expected, but a {type(message).__name__} came.")
        return message


@register
@dataclass(frozen=True, eq=False)
class Adapter(Message):
    """LoRA matrices.

    Args:
        config: the fields of ``peft.LoraConfig`` that say how the matrices are used (rank, alpha, modules), as JSON.
        weights: float32 arrays by name, as in ``adapter_model.safetensors``: A is ``[r, in]``, B is ``[out, r]``.
    """

    config: Mapping[str, Any]
    weights: Mapping[str, NDArray[np.float32]]


@register
@dataclass(frozen=True, eq=False)
class PublicRows(Message):
    """A table that everybody may see: validation rows or anchors, as an Arrow stream."""

    table: bytes


@register
@dataclass(frozen=True, eq=False)
class ScoreRequest(Message):
    """Train from ``start`` on all of your rows, recording their influence and that of the anchors.

    Args:
        rule: name and options of the selector that will read what is recorded.
        recording: options of ``GradientTraceCallback``.
        validation: rows whose mean gradient is the direction.
        contrasts: by name, rows that are bad on purpose, whose mean gradients are taken off it; mostly none.
        anchors: rows to score beside your own, on the same checkpoints; None where the rule needs none.
        start: adapter to start from; None for a party that has a LoRA configuration of its own.
        share_anchor_scores: answer with the anchors' scores, for a threshold over all parties.
    """

    rule: Mapping[str, Any]
    recording: Mapping[str, Any]
    validation: PublicRows
    contrasts: Mapping[str, PublicRows]
    anchors: PublicRows | None
    start: Adapter | None
    share_anchor_scores: bool


@register
@dataclass(frozen=True, eq=False)
class ScoreReply(Message):
    """Recorded.

    Args:
        anchor_scores: float32 ``[n]``, one for each public anchor, only if asked for. They depend on the private rows
            through the adapter that was trained on them, and on nothing else.
    """

    anchor_scores: NDArray[np.float32] | None = None


@register
@dataclass(frozen=True, eq=False)
class FilterRequest(Message):
    """Keep the rows that pass.

    Args:
        rule: name and options of the selector, a threshold over all parties filled in; None to keep every row, or
            what the party has selected itself.
        share_num_kept: answer with the number of rows kept, for weights that follow it.
        origin: where a threshold over all parties comes from, for the provenance of the party's Selection.
    """

    rule: Mapping[str, Any] | None
    share_num_kept: bool
    origin: Mapping[str, Any] | None = None


@register
@dataclass(frozen=True, eq=False)
class FilterReply(Message):
    """Filtered.

    Args:
        has_rows: whether any row is left.
        num_kept: how many, only if asked for.
    """

    has_rows: bool
    num_kept: int | None = None


@register
@dataclass(frozen=True, eq=False)
class TrainRequest(Message):
    """Train from ``start`` on the rows you kept.

    Args:
        start: adapter to start from; None for a party that has a LoRA configuration of its own.
        round: from 0.
        num_rounds: in all.
        num_steps: optimiser steps of this round; None for as many as the party's arguments say.
    """

    start: Adapter | None
    round: int = 0
    num_rounds: int = 1
    num_steps: int | None = None


@register
@dataclass(frozen=True, eq=False)
class TrainReply(Message):
    """Trained.

    Args:
        adapter: after training; a function of every row that was kept.
    """

    adapter: Adapter
