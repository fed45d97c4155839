"""Rows and base models for the comparisons of SHED: those of `recipes/benchmarks/shed`, or small ones."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from datasets import Dataset
from transformers import AutoModelForCausalLM, PreTrainedModel, PreTrainedTokenizerFast

from hf_datasel.quickstart.plan import Recipe
from hf_datasel.quickstart.skills import LETTERS
from recipes.benchmarks.clues_noise.corrupt import CLEAN, Row
from recipes.benchmarks.clues_noise.model import make_tokenizer, to_dataset
from recipes.benchmarks.effectiveness.bases import make_once
from recipes.benchmarks.shed.data import WORLDS, World
from recipes.benchmarks.shed.model import SETTINGS, Setting, evaluate, load_or_train, make_model

FLAG = "damaged"
SMALL = "skills"  # the world that is made in small
SMALL_TOPICS, SMALL_SIZES = 5, {"train": 20, "dev": 2, "test": 3}


def to_rows(rows: Sequence[Row]) -> Dataset:
    """As a practitioner has them, prompt and completion; the column `damaged` is for us alone."""
    columns = {
        "prompt": [row.prompt for row in rows],
        "completion": [f" {row.completion}" for row in rows],
        FLAG: [row.kind != CLEAN for row in rows],
    }
    return Dataset.from_dict(columns)


def make_base(world: World, models: Setting, place: Path, *, is_trained: bool) -> None:
    """Leave the base model of a world and its tokenizer at ``place``, once; for a smoke run without any training."""

    def make() -> tuple[PreTrainedModel, PreTrainedTokenizerFast]:
        if is_trained:
            with TemporaryDirectory() as scratch:
                return load_or_train(world, "llama", Path(scratch))
        words = [text for pool in world.pools.values() for row in pool for text in (row.prompt, row.completion)]
        tokenizer = make_tokenizer(world.pretraining, models.vocab_size, words)
        return make_model("llama", models, tokenizer, seed=0), tokenizer

    make_once(place, make)


def base_loss(place: Path, rows: Sequence[Row]) -> float:
    """Of the model at ``place``, as `compare_selections` takes it: the mean over all label tokens, in nats."""
    model, tokenizer = AutoModelForCausalLM.from_pretrained(place), PreTrainedTokenizerFast.from_pretrained(place)
    tested = evaluate(model.eval(), to_dataset(rows, tokenizer))
    return float(np.average(tested.losses, weights=tested.num_labels))


def small_world() -> World:
    """Of five topics, whose answers are their questions' letters the other way round."""
    size, pools = sum(SMALL_SIZES.values()), {}
    for number in range(SMALL_TOPICS):
        rng, topic = np.random.default_rng(number), f"topic{number} 4"
        words = [rng.choice(LETTERS, size=4, replace=False).tolist() for _ in range(size)]
        pools[topic] = [
            Row(f"topic{number} {place} {' '.join(one)} =", " ".join(one[::-1]), topic)
            for place, one in enumerate(words)
        ]
    read = [Row(f"said {' '.join(one)} ;", " ".join(one), "") for one in (LETTERS[:4], LETTERS[4:8])]
    foreign = {topic: [" ".join(LETTERS[:5])] for topic in pools}
    return World(SMALL, read, pools, foreign, SMALL_SIZES, WORLDS[SMALL][2])


def small_models() -> Setting:
    """Models and trainings that take no time; the one that is watched is an epoch."""
    recipe = Recipe(num_steps=4, batch_size=10, learning_rate=1e-3)
    return replace(
        SETTINGS[SMALL],
        hidden_size=16,
        num_layers=1,
        training=recipe,
        in_run=replace(recipe, num_steps=10),
        num_evaluations=14,
        coalition_steps=2,
    )
