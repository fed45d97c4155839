"""CLUES on noisy clients: train on what each method keeps of five clients' rows, of which 20, 50 or 80% are damaged.

Rows, damage and the way a base model is trained are those of `recipes/benchmarks/clues_noise`, which asks how well
damaged rows are told from clean ones. Here the rows of the five clients are one table, every method keeps as large a
share of each client's rows as is clean, the base is trained on these for as many steps, and clean rows test it. CLUES
and DataInf see 60 trusted rows, CLUES also 60 anchors; a copy of the base that was trained on all rows, once over, is
what methods read.

There, the base had learned before what the clients teach, so that its losses showed no more than that the worst rows
were gone. Here it has read 20 rows of the skills' kind, beside the same relations in other words, or questions and
answers of medquad that do not stand together, so that clean rows have something to teach. That, the models' size,
steps and learning rate were settled on deal 10 of the development pool, by the losses of the base, of all rows and of
the clean ones; no method was tried there. Medquad is damaged to 50% only: at 80%, the clean rows did no better there
than all of them, so that there is nothing to tell; and 20% would cost as much again.

Repetitions are deals of the evaluation pool: another choice of the clients' rows, of their damage, of trusted and test
rows, and another seed of choosing and training, so that intervals speak of other rows. Deals share rows, and the base
is one. The deals of clues_noise's own result, 0 to 2, are left out.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from datasets import Dataset
from transformers import LlamaForCausalLM, PreTrainedTokenizerFast

from hf_datasel import SelectingSFTConfig
from hf_datasel.compare.plan import Method
from recipes.benchmarks.clues_noise.cell import Pattern, deal_rows
from recipes.benchmarks.clues_noise.corrupt import CLEAN, Row
from recipes.benchmarks.clues_noise.data import FOREIGN, MEDQUAD, SOURCES, World, load_world
from recipes.benchmarks.clues_noise.model import (
    BASE_SEED,
    BaseRecipe,
    answer_losses,
    make_tokenizer,
    to_tokens,
    train_base,
)
from recipes.benchmarks.common import common_arguments
from recipes.benchmarks.effectiveness.bases import make_once
from recipes.benchmarks.effectiveness.comparing import compare
from recipes.benchmarks.effectiveness.deals import Deal, over_deals
from recipes.benchmarks.effectiveness.setting import Setting
from recipes.benchmarks.shed.data import documents

SKILLS, MEDICINE = "skills", "medquad"
FIRST_DEAL = 3
BATCH_SIZE, LEARNING_RATE = 16, 1e-3
PARTY, FLAG, KIND = "party", "damaged", "kind"
ORACLE = "oracle"
METHODS = (
    Method("clues"),
    Method("clues (published)", "clues", {"score": "dot"}),
    Method("pairing", "clues", {"detectors": ["pairing"]}),
    Method("perplexity"),
    Method("ifd"),
    Method("datainf"),
    Method(ORACLE, options={"column": FLAG, "good": False}),
)
SMOKE = {"clues", "clues (published)", "perplexity", ORACLE}


@dataclass(frozen=True)
class Lesson:
    """How a world's base model is made, and trained on rows.

    Args:
        seen: rows of the clients' kind that the base has read.
        is_apart: whether it has read their questions and answers as texts of their own.
        base: how it is made.
        metrics: of what was trained.
        levels: share of every client's rows that are damaged.
        num_steps: of a training.
        num_warm_up_steps: of the copy that methods read; 25 are one pass.
    """

    seen: int
    is_apart: bool
    levels: tuple[float, ...]
    base: BaseRecipe
    metrics: tuple[str, ...]
    num_steps: int
    num_warm_up_steps: int = 25

    def in_small(self) -> Lesson:
        """Seconds instead of minutes."""
        size = self.base.vocab_size and 300
        base = replace(self.base, vocab_size=size, num_epochs=0.05, hidden_size=16, num_layers=1, num_heads=2)
        return replace(self, seen=min(self.seen, 200), levels=(0.5,), base=base, num_steps=3, num_warm_up_steps=2)


LESSONS = {
    SKILLS: Lesson(
        seen=20,
        is_apart=False,
        levels=(0.2, 0.5, 0.8),
        base=BaseRecipe(vocab_size=None, num_epochs=3, num_layers=2),
        metrics=("loss", "exact_match"),
        num_steps=60,
    ),
    MEDICINE: Lesson(
        seen=2400,
        is_apart=True,
        levels=(0.5,),
        base=BaseRecipe(vocab_size=2048, num_epochs=2, num_layers=2),
        metrics=("loss",),
        num_steps=30,
    ),
}


def run(setting: Setting, work: Path) -> dict[str, Any]:
    """The worlds at each level of damage, of the evaluation pool; what is in `work` is not done again.

    Returns:
        A comparison each, as in "skills, 20% damaged", over deals; with the loss of the base on the deals' test rows
        ("base_loss") and, by method and kind of row, the shares of these rows that were kept ("kinds_kept"). Medquad
        where its rows are given, and in small.
    """
    data = make_rows(work / "rows") if setting.smoke else setting.data
    names = [SKILLS] if data is None else [SKILLS, MEDICINE]
    found: dict[str, Any] = {}
    for name in names:
        lesson = LESSONS[name].in_small() if setting.smoke else LESSONS[name]
        methods = [method for method in METHODS if not setting.smoke or method.label in SMOKE]
        numbers = range(FIRST_DEAL, FIRST_DEAL + setting.num_seeds)
        world = taught_before(load_world(name, "evaluation", work if data is None else data), lesson)
        base = work / name / "base"
        make_base(world, base, lesson.base)
        for level in lesson.levels:
            key = f"{name}, {level:.0%} damaged"
            found[key] = hold(world, base, lesson, work / name / f"{level:.0%}", level, numbers, methods)
    return found


def hold(
    world: World,
    base: Path,
    lesson: Lesson,
    work: Path,
    level: float,
    numbers: Sequence[int],
    methods: Sequence[Method],
) -> dict[str, Any]:
    """The methods at one level of damage, a comparison a deal in a folder of its own, as one."""
    budget, done, losses = round(1 - level, 2), [], []
    for number in numbers:
        roles, damaged = deal_rows(world, Pattern((level,) * len(world.pools)), number)
        train, folder = to_table(damaged), work / f"deal-{number}"
        found = compare(
            base,
            arguments(lesson, folder, number),
            train,
            to_table(roles.test),
            methods=methods,
            budget=budget,
            flag=FLAG,
            num_seeds=1,
            metrics=lesson.metrics,
            group_column=PARTY,
            validation_dataset=to_table(roles.validation),
            anchor_dataset=to_table(roles.anchors),
        )
        done.append(Deal(number, folder, found, np.array(train[KIND])))
        losses.append(base_loss(base, roles.test))
    return {**over_deals(done, methods, budget, lesson.metrics, BATCH_SIZE), "base_loss": losses}


def taught_before(world: World, lesson: Lesson) -> World:
    """The world with what its base reads: few rows of the clients' kind."""
    own = [row for row in world.pretraining if row.party]
    chosen = np.random.default_rng(BASE_SEED).permutation(len(own))[: lesson.seen]
    few = [own[i] for i in chosen]
    others = [row for row in world.pretraining if not row.party]
    return replace(world, pretraining=others + (documents(few) if lesson.is_apart else few))


def make_base(world: World, path: Path, recipe: BaseRecipe) -> None:
    """Train the base model of a world into a folder; unless it is there already."""

    def make() -> tuple[LlamaForCausalLM, PreTrainedTokenizerFast]:
        words = [text for pool in world.pools.values() for row in pool for text in (row.prompt, row.completion)]
        tokenizer = make_tokenizer(world.pretraining, recipe.vocab_size, words)
        return train_base(world.pretraining, tokenizer, recipe, BASE_SEED), tokenizer

    make_once(path, make)


def base_loss(base: Path, test: Mapping[str, Sequence[Row]]) -> float:
    """Nats a token of the answers, before any training on the clients' rows."""
    model, tokenizer = LlamaForCausalLM.from_pretrained(base), PreTrainedTokenizerFast.from_pretrained(base)
    losses, counts = answer_losses(model.eval(), to_tokens([row for own in test.values() for row in own], tokenizer))
    return float((losses * counts).sum() / counts.sum())


def to_table(rows: Mapping[str, Sequence[Row]]) -> Dataset:
    """The parties' rows in one table."""
    return Dataset.from_list(
        [
            {
                "prompt": row.prompt,
                "completion": f" {row.completion}",
                PARTY: row.party,
                KIND: row.kind,
                FLAG: row.kind != CLEAN,
            }
            for own in rows.values()
            for row in own
        ]
    )


def arguments(lesson: Lesson, output_dir: Path, seed: int) -> SelectingSFTConfig:
    """Of the trainings of the base, and of the copy of it that is warmed up on all rows, which methods read."""
    return SelectingSFTConfig(
        **common_arguments(
            output_dir,
            per_device_train_batch_size=BATCH_SIZE,
            learning_rate=LEARNING_RATE,
            max_steps=lesson.num_steps,
        ),
        warmup_steps=max(1, lesson.num_steps // 20),
        seed=seed,
        max_length=None,
        optim="adamw_torch_fused",
        logging_strategy="no",
        proxy_training_args={"max_steps": lesson.num_warm_up_steps},
        selection_seed=seed,
        selection_strata_column=PARTY,
        selection_num_checkpoints=2,
    )


def make_rows(folder: Path, num_rows: int = 520) -> Path:
    """Files in the shape of the real ones, made up of a few templates."""
    folder.mkdir(parents=True, exist_ok=True)
    with open(folder / MEDQUAD, "w", encoding="utf-8") as out:
        for source in SOURCES:
            for i in range(num_rows):
                name = f"{source.lower()} fever {i}"
                answer = f"A {name} comes from mite number {i} of its kind. It is treated with {i + 1} drops a day."
                row = {"prompt": f"What causes {name} ?", "completion": answer, "source": source}
                out.write(json.dumps(row) + "\n")
    foreign = {"prompt": "How many ?", "completion": "Two pears and two pears make four pears in all."}
    (folder / FOREIGN).write_text(json.dumps(foreign) + "\n", encoding="utf-8")
    return folder
