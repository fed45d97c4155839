"""Train with a GradientTraceCallback and an oracle beside it that looks at every example at every moment."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from transformers import Trainer, TrainerCallback
from trl import SFTTrainer

from hf_datasel import GradientTraceCallback, Trace
from tests.training.influence import oracle
from tests.training.influence.measuring import TOLERANCE, plain_trainer, rows, tokenised
from tests.training.tiny import sft_args, word_tokenizer

SFT_ROWS, SFT_VALIDATION, SFT_ANCHORS = 11, 5, 3
SHORT = 9  # a max_length at which two training rows and one validation row lose all labels


@dataclass(frozen=True)
class Moment:
    """A model as it was at one moment, asked later."""

    model: torch.nn.Module
    tokens: dict[str, list[oracle.Tokens]]
    state: dict[str, dict[str, torch.Tensor]]

    def example(self, number: int) -> oracle.Example:
        return oracle.example(self.model, self.tokens["examples"][number])

    @cached_property
    def examples(self) -> list[oracle.Example]:
        return [oracle.example(self.model, row) for row in self.tokens["examples"]]

    @cached_property
    def validation(self) -> list[oracle.Example]:
        return [oracle.example(self.model, row) for row in self.tokens["validation"]]

    @cached_property
    def anchors(self) -> list[oracle.Example]:
        return [oracle.example(self.model, row) for row in self.tokens["anchors"]]


@dataclass
class Watcher(TrainerCallback):
    """Look at the model before every step, and at given steps after it; note who was trained on when."""

    trainer: Trainer
    tokens: dict[str, list[oracle.Tokens]]
    after_steps: tuple[int, ...]
    before: dict[int, Moment] = field(default_factory=dict)
    after: dict[int, Moment] = field(default_factory=dict)
    visits: list[tuple[int, int, int]] = field(default_factory=list)  # epoch, step, id

    def __post_init__(self) -> None:
        inner = self.trainer.compute_loss

        def spy(model: Any, inputs: dict[str, Any], *args: Any, **kwargs: Any) -> Any:
            if "example_id" in inputs:
                state = self.trainer.state
                epoch = int(state.epoch or 0)
                self.visits += [(epoch, state.global_step, int(one)) for one in inputs["example_id"]]
            return inner(model, inputs, *args, **kwargs)

        self.trainer.compute_loss = spy

    def look(self) -> Moment:
        model = self.trainer.accelerator.unwrap_model(self.trainer.model)
        optimizer = self.trainer.optimizer
        inner = getattr(optimizer, "optimizer", optimizer)
        state = oracle.moments(model, optimizer) if inner is not None and inner.state else {}
        return Moment(oracle.frozen_copy(model), self.tokens, state)

    def on_step_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        self.before[state.global_step] = self.look()

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        if state.global_step in self.after_steps:
            self.after[state.global_step] = self.look()


def held_out() -> dict[str, Any]:
    """Raw validation and anchor rows."""
    return {
        "validation_dataset": rows("prompt_completion", SFT_VALIDATION, 100)[0],
        "anchor_dataset": rows("prompt_completion", SFT_ANCHORS, 200)[0],
    }


def sft_trainer(model: Any, folder: Path, dataset: Any = None, **options: Any) -> SFTTrainer:
    """An SFTTrainer of eleven rows: the last batch is not full."""
    return SFTTrainer(
        model,
        args=sft_args(folder, **options),
        train_dataset=rows("prompt_completion", SFT_ROWS, 0)[0] if dataset is None else dataset,
        processing_class=word_tokenizer(),
    )


def run(
    folder: Path,
    mode: str,
    model: Any,
    *,
    plain: bool = False,
    collator: Any = None,
    steps: tuple[int, ...] = (2, 5),
    callback: dict[str, Any] | None = None,
    max_length: int | None = 64,
    **options: Any,
) -> tuple[Trace, Watcher]:
    """Train two epochs of three steps; the direction is made (or renewed) after ``steps``."""
    raw = rows("prompt_completion", SFT_ROWS, 0)[0]
    tokens = {
        name: oracle.examples_of(rows("prompt_completion", number, seed)[0], word_tokenizer(), max_length=max_length)
        for name, number, seed in (
            ("examples", SFT_ROWS, 0),
            ("validation", SFT_VALIDATION, 100),
            ("anchors", SFT_ANCHORS, 200),
        )
    }
    if plain:
        trainer: Trainer = plain_trainer(model, folder / "out", tokenised(tokens["examples"]), **options)
        trainer.data_collator = collator or trainer.data_collator
        sets = {
            "validation_dataset": tokenised(tokens["validation"]),
            "anchor_dataset": tokenised(tokens["anchors"]),
        }
    else:
        trainer = sft_trainer(model, folder / "out", max_length=max_length, **options)
        sets = held_out()
    drops = bool(options.get("packing")) or max_length == SHORT
    recorder = GradientTraceCallback(
        trainer,
        folder / "trace",
        mode=mode,
        checkpoint_steps=steps,
        dataset=raw if drops else None,
        tokens_per_batch=48,
        **{**sets, **(callback or {})},
    )
    trainer.add_callback(recorder)
    watcher = Watcher(trainer, tokens, steps)
    trainer.add_callback(watcher)
    trainer.train()
    return Trace.load(folder / "trace"), watcher


def check_probe(trace: Trace, watcher: Watcher, tolerance: float = TOLERANCE) -> None:
    """Influence, losses, numbers of labels and anchors equal the oracle's after each step of the schedule."""
    assert trace.metric == "influence"
    assert trace.steps.tolist() == sorted(watcher.after)
    for column, step in enumerate(trace.steps.tolist()):
        moment = watcher.after[step]
        direction = oracle.mean(moment.validation)
        for found, examples in ((trace, moment.examples), (trace.companion("anchors"), moment.anchors)):
            compare(found, column, examples, direction, tolerance)


def compare(
    trace: Trace, column: int, examples: list[oracle.Example], direction: oracle.Gradient, tolerance: float
) -> None:
    """A column of a Trace and of what stands beside it."""
    direction_norm = oracle.norm(direction)
    assert [one.num_labels for number, one in enumerate(examples) if number not in trace.ids] in ([], [0], [0, 0])
    for number, one in enumerate(examples[i] for i in trace.ids.tolist()):
        found = float(trace.column(column)[number])
        if one.num_labels == 0:
            assert np.isnan(found)
            continue
        wanted = oracle.dot(one.gradient, direction)
        size = oracle.norm(oracle.only(one.gradient, direction)) * direction_norm
        assert abs(found - wanted) <= tolerance * size, (number, found, wanted, abs(found - wanted) / size)
        loss = float(trace.companion("loss").column(column)[number])
        assert abs(loss - one.loss) <= tolerance * max(1.0, one.loss)
        assert float(trace.companion("num_labels").column(0)[number]) == one.num_labels
        if "cosine" in trace.companions:
            assert abs(float(trace.companion("cosine").column(column)[number]) - wanted / size) <= tolerance


def directions(watcher: Watcher, chosen: Callable[[str], bool] = lambda name: True) -> dict[int, oracle.Gradient]:
    """The direction that stands at each step of an in_run recording: made at the beginning, renewed after steps."""

    def mean(examples: list[oracle.Example]) -> oracle.Gradient:
        return {name: part for name, part in oracle.mean(examples).items() if chosen(name)}

    standing: dict[int, oracle.Gradient] = {}
    current = mean(watcher.before[0].validation)
    for step in sorted(watcher.before):
        if step in watcher.after:
            current = mean(watcher.after[step].validation)
        standing[step] = current
    return standing


def check_in_run(
    trace: Trace,
    watcher: Watcher,
    tolerance: float = TOLERANCE,
    chosen: Callable[[str], bool] = lambda name: True,
) -> None:
    """Every visit's value is the oracle's before the step it belongs to, under the direction of that step."""
    assert trace.mode == "in_run"
    standing = directions(watcher, chosen)
    visits: dict[int, int] = {}
    beside = {name: trace.companion(name).values for name in ("loss", "cosine") if name in trace.companions}
    for _, step, example in sorted(watcher.visits):
        visit = visits.get(example, 0)
        visits[example] = visit + 1
        one, direction = watcher.before[step].example(example), standing[step]
        row = int(np.searchsorted(trace.ids, example))
        found = float(trace.values[row, visit])
        wanted = oracle.dot(one.gradient, direction)
        size = oracle.norm(oracle.only(one.gradient, direction)) * oracle.norm(direction)
        assert abs(found - wanted) <= tolerance * size, (example, visit, found, wanted, abs(found - wanted) / size)
        assert abs(float(beside["loss"][row, visit]) - one.loss) <= tolerance * max(1.0, one.loss)
        if "cosine" in beside:
            assert abs(float(beside["cosine"][row, visit]) - wanted / size) <= tolerance
    assert set(visits) == set(trace.ids[trace.selectable].tolist())
    assert set(visits.values()) == {trace.num_checkpoints} == {2}
