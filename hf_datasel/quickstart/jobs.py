"""The pieces of work of a quickstart: pre-train, record, select, train and evaluate.

A piece writes what it made in one rename, and is not done again where that stands already; so a killed run continues.
"""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from itertools import chain
from pathlib import Path
from typing import Any, Literal

from datasets import Dataset
from transformers import LlamaForCausalLM, PreTrainedModel, PreTrainedTokenizerFast

from hf_datasel import (
    GradientTraceCallback,
    LossTrajectoryCallback,
    RandomSelector,
    S2LSelector,
    Selection,
    SHEDSelector,
    Trace,
    Valuation,
    add_example_ids,
)
from hf_datasel.quickstart.corpus import Corpus, make_corpus
from hf_datasel.quickstart.evaluate import exact_match, per_skill
from hf_datasel.quickstart.finetune import make_trainer
from hf_datasel.quickstart.models import make_model, tokenize, train_tokenizer
from hf_datasel.quickstart.plan import ModelSize, Plan, Recipe
from hf_datasel.quickstart.skills import SKILL_NAMES
from hf_datasel.storage import atomic_directory, read_json, write_json
from hf_datasel.training.state import preserved_rng

Role = Literal["proxy", "target"]
Arm = Literal["S2L", "SHED", "random", "everything"]
ARMS: tuple[Arm, ...] = ("S2L", "SHED", "random", "everything")

Advance = Callable[[float], None]  # told how much work was done, in steps of the target


@dataclass(frozen=True, eq=False)
class Inputs:
    """The corpus (its training rows with example ids), the tokenizer, and the tokenised parts."""

    corpus: Corpus
    examples: Dataset
    tokenizer: PreTrainedTokenizerFast
    train: Dataset
    test: Dataset


@lru_cache(maxsize=1)
def make_inputs(plan: Plan) -> Inputs:
    """What every job starts from; made again in each process, as it takes less than a second."""
    corpus = make_corpus(
        plan.num_rows,
        seed=plan.seed,
        corrupted=plan.corrupted,
        num_test_rows=plan.num_test_rows,
        num_pretraining_rows=plan.num_pretraining_rows,
        num_trusted_rows=plan.num_trusted_rows,
    )
    texts = chain.from_iterable(part[column] for part in (corpus.train, corpus.pretraining) for column in _TEXT)
    tokenizer = train_tokenizer(texts)
    examples = add_example_ids(corpus.train)
    return Inputs(corpus, examples, tokenizer, tokenize(examples, tokenizer), tokenize(corpus.test, tokenizer))


_TEXT = ("prompt", "completion")


def pretrain(plan: Plan, root: Path, role: Role, advance: Advance) -> None:
    """Train a model from scratch on the pre-training text; leaves it in `models/<role>`."""
    if is_pretrained(root, role):
        return
    inputs = make_inputs(plan)
    size, recipe = _pretraining(plan, role)
    model = make_model(size, inputs.tokenizer, seed=plan.seed)
    text = tokenize(inputs.corpus.pretraining, inputs.tokenizer)
    with atomic_directory(_model_path(root, role), what="model", marker="config.json", overwrite=False) as building:
        _train(model, text, inputs, recipe, plan.seed, root, size, advance)
        model.save_pretrained(building)
        inputs.tokenizer.save_pretrained(building)


def _pretraining(plan: Plan, role: Role) -> tuple[ModelSize, Recipe]:
    if role == "proxy":
        return plan.proxy_size, plan.proxy_pretraining
    return plan.target_size, plan.target_pretraining


def is_pretrained(root: Path, role: Role) -> bool:
    """Whether `models/<role>` stands."""
    return (_model_path(root, role) / "config.json").is_file()


def record(plan: Plan, root: Path, advance: Advance) -> Trace:
    """Train the proxy on every row, and record what S2L and SHED choose by.

    Leaves the loss of every row at every checkpoint in `trace`, and in `influence` the product of a row's gradient,
    as training passed it, with the gradient of the trusted rows. Training is the same as without either.
    """
    if not is_recorded(root):
        inputs = make_inputs(plan)
        proxy = LlamaForCausalLM.from_pretrained(_model_path(root, "proxy"))
        step = _step_cost(plan.proxy_training, plan.proxy_size)
        with preserved_rng():
            trainer = make_trainer(
                proxy,
                inputs.examples,
                inputs.tokenizer,
                plan.proxy_training,
                seed=plan.seed,
                output_dir=root / "models",
                on_step=lambda: advance(step),
            )
            trainer.add_callback(
                LossTrajectoryCallback(
                    trainer, output_dir=root / "trace", num_checkpoints=plan.num_checkpoints, overwrite=True
                )
            )
            trainer.add_callback(
                GradientTraceCallback(
                    trainer,
                    output_dir=root / "influence",
                    validation_dataset=inputs.corpus.trusted,
                    mode="in_run",
                    num_checkpoints=plan.num_directions,
                    overwrite=True,
                )
            )
            trainer.train()
        advance(_sweep_cost(plan))
    return Trace.load(root / "trace")


def is_recorded(root: Path) -> bool:
    """Whether `trace` and `influence` hold whole recordings."""
    paths = (root / "trace", root / "influence")
    return all((path / "manifest.json").is_file() and Trace.open(path).complete for path in paths)


def select_s2l(plan: Plan, trace: Trace, index: int) -> Selection:
    """S2L's selection in repetition `index`."""
    return S2LSelector(
        budget=plan.budget,
        num_clusters=plan.num_clusters,
        variant=plan.variant,
        transform=plan.transform,
        seed=plan.seed + index,
    ).select(trace)


def select_shed(plan: Plan, influence: Trace, index: int) -> Selection:
    """SHED's selection in repetition `index`: the rows worth most by first-order In-Run Data Shapley (QOCS)."""
    return SHEDSelector(budget=plan.budget, sampling="qocs", seed=plan.seed + index).select(
        Valuation.from_trace(influence)
    )


def select_random(plan: Plan, trace: Trace, index: int) -> Selection:
    """As many rows, drawn uniformly, in repetition `index`."""
    return RandomSelector(budget=plan.budget, seed=plan.seed + index).select(trace)


_SELECTORS: dict[Arm, tuple[Callable[[Plan, Trace, int], Selection], str]] = {
    "S2L": (select_s2l, "trace"),
    "SHED": (select_shed, "influence"),
    "random": (select_random, "trace"),
}
SUBSETS = tuple(_SELECTORS)


def train_arm(plan: Plan, root: Path, arm: Arm, index: int, advance: Advance) -> dict[str, Any]:
    """Select, train the target on what was selected, and test it; leaves the outcome in `runs/<arm>-<index>.json`."""
    path = run_path(root, arm, index)
    if path.is_file():
        return read_json(path, "run")
    inputs = make_inputs(plan)
    examples, tokens = inputs.examples, inputs.train
    if arm != "everything":
        choose, evidence = _SELECTORS[arm]
        selection = choose(plan, Trace.load(root / evidence), index)
        examples, tokens = selection.apply(examples), selection.apply(tokens)
    target = LlamaForCausalLM.from_pretrained(_model_path(root, "target"))
    _train(target, tokens, inputs, plan.target_training, plan.seed + index, root, plan.target_size, advance)
    correct = exact_match(target, inputs.test)
    scores = per_skill(correct, inputs.corpus.test["skill"][:], SKILL_NAMES)
    outcome = {
        "arm": arm,
        "seed": plan.seed + index,
        "exact_match": scores,
        "macro_exact_match": sum(scores.values()) / len(scores),
        **describe_rows(examples),
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    write_json(path, outcome)
    advance(_EVALUATION_COST)
    return outcome


def run_path(root: Path, arm: Arm, index: int) -> Path:
    """Where `train_arm` leaves its outcome."""
    return root / "runs" / f"{arm}-{index}.json"


def describe_rows(rows: Dataset) -> dict[str, Any]:
    """How many rows, how many different questions, how many of each skill, and which share is corrupted."""
    counts = Counter(rows["skill"])
    return {
        "num_rows": len(rows),
        "num_distinct": len(set(rows["prompt"])),
        "rows_per_skill": {name: counts[name] for name in SKILL_NAMES},
        "corrupted": sum(rows["corrupted"]) / len(rows),
    }


def _train(
    model: PreTrainedModel,
    tokens: Dataset,
    inputs: Inputs,
    recipe: Recipe,
    seed: int,
    root: Path,
    size: ModelSize,
    advance: Advance,
) -> None:
    step = _step_cost(recipe, size)
    with preserved_rng():
        make_trainer(
            model,
            tokens,
            inputs.tokenizer,
            recipe,
            seed=seed,
            output_dir=root / "models",
            on_step=lambda: advance(step),
        ).train()


def _model_path(root: Path, role: Role) -> Path:
    return root / "models" / role


# What work costs, in optimiser steps of a target of width 128 and two layers on 32 rows; only the bar's estimate of
# the time that is left depends on it.
_EVALUATION_COST = 8.0


def pretraining_cost(plan: Plan, role: Role) -> float:
    """Of `pretrain`."""
    size, recipe = _pretraining(plan, role)
    return recipe.num_steps * _step_cost(recipe, size)


def recording_cost(plan: Plan) -> float:
    """Of `record`."""
    return plan.proxy_training.num_steps * _step_cost(plan.proxy_training, plan.proxy_size) + _sweep_cost(plan)


def run_cost(plan: Plan) -> float:
    """Of `train_arm`."""
    return plan.target_training.num_steps * _step_cost(plan.target_training, plan.target_size) + _EVALUATION_COST


def _step_cost(recipe: Recipe, size: ModelSize) -> float:
    return 0.4 + 0.6 * recipe.batch_size * size.hidden_size * size.num_layers / (32 * 128 * 2)


def _sweep_cost(plan: Plan) -> float:
    return plan.num_checkpoints * plan.num_rows / 200
