"""The engine's numbers are those of the batch-size-1 oracle, for every architecture and set of parameters."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.training.influence import oracle
from tests.training.influence.measuring import (
    TOLERANCE,
    hold,
    influence,
    plain_trainer,
    step_without_moving,
    tokenised,
    train_rows,
    validation_rows,
)
from tests.training.influence.zoo import MODELS, build


def oracle_examples(model: Any) -> tuple[list[oracle.Example], list[oracle.Example]]:
    return oracle.examples(model, train_rows()[1]), oracle.examples(model, validation_rows()[1])


@pytest.mark.parametrize("adapter", [None, "qv", "linears"])
@pytest.mark.parametrize("name", list(MODELS))
def test_dot_and_cosine_of_every_architecture(tmp_path: Path, name: str, adapter: str | None) -> None:
    model = build(name, adapter=adapter)
    engine = influence(plain_trainer(model, tmp_path), norms=True)
    direction = engine.direction()
    scored = engine.score(engine.train, direction, "")
    examples, validation = oracle_examples(model)
    mean = oracle.mean(validation)
    assert list(mean) == engine.names
    hold(scored.columns["influence"], examples, mean)
    wanted = [oracle.cosine(one.gradient, mean) for one in examples]
    np.testing.assert_allclose(scored.columns["cosine"], wanted, rtol=0, atol=TOLERANCE)
    assert direction.norm == pytest.approx(oracle.norm(mean), rel=TOLERANCE)
    np.testing.assert_allclose(scored.losses, [one.loss for one in examples], rtol=TOLERANCE)
    assert scored.num_labels.tolist() == [one.num_labels for one in examples]


@pytest.mark.parametrize("adapter", [None, "linears"])
@pytest.mark.parametrize("name", ["llama_untied", "qwen3_untied", "gpt_neox_untied", "gpt2_tied", "llama_biased"])
def test_adam_and_its_cosine(tmp_path: Path, name: str, adapter: str | None) -> None:
    model = build(name, adapter=adapter)
    trainer = plain_trainer(model, tmp_path)
    step_without_moving(trainer)
    tied = name.endswith("_tied") and adapter is None
    engine = influence(trainer, precondition="adam", norms=not tied)
    scored = engine.score(engine.train, engine.direction(), "")
    examples, validation = oracle_examples(model)
    mean = oracle.mean(validation)
    scale = oracle.adam_scale(oracle.moments(model, trainer.optimizer))
    hold(scored.columns["influence"], examples, oracle.precondition(mean, scale))
    if not tied:
        wanted = [oracle.cosine(one.gradient, mean, scale) for one in examples]
        np.testing.assert_allclose(scored.columns["cosine"], wanted, rtol=0, atol=TOLERANCE)


@pytest.mark.parametrize("adapter", [None, "linears"])
@pytest.mark.parametrize("name", ["llama_untied", "gemma_untied", "gpt_neox_untied", "gpt2_untied", "llama_biased"])
def test_the_released_formula(tmp_path: Path, name: str, adapter: str | None) -> None:
    model = build(name, adapter=adapter)
    trainer = plain_trainer(model, tmp_path)
    step_without_moving(trainer)
    engine = influence(trainer, precondition="official")
    found = engine.score(engine.train, engine.direction(), "").columns["influence"]
    examples, validation = oracle_examples(model)
    mean, state = oracle.mean(validation), oracle.moments(model, trainer.optimizer)
    wanted = np.array([oracle.official(one.gradient, mean, state) for one in examples])
    still = {key: part["exp_avg"] / (part["exp_avg_sq"] + 1e-8).sqrt() for key, part in state.items()}
    np.testing.assert_allclose(found, wanted, rtol=0, atol=TOLERANCE * oracle.norm(still) * oracle.norm(mean))
    assert np.ptp(wanted) > 1e-4 * np.abs(wanted).max()


def test_groups_are_means_summed_with_weights(tmp_path: Path) -> None:
    model = build("llama_untied")
    examples_of_validation = validation_rows(num_rows=7)[1]
    groups = ["a", "b", "a", "c", "a", "b", "a"]
    held_out = tokenised(examples_of_validation).add_column("language", groups)
    found = oracle.examples(model, examples_of_validation)
    examples = oracle.examples(model, train_rows()[1])
    for weights in (None, {"a": 1.0, "b": 0.5, "c": -2.0}):
        engine = influence(plain_trainer(model, tmp_path), held_out, group_column="language", group_weights=weights)
        scored = engine.score(engine.train, engine.direction(), "")
        hold(scored.columns["influence"], examples, oracle.group_direction(found, groups, weights))


@pytest.mark.parametrize(
    ("name", "adapter", "patterns", "wanted"),
    [
        ("llama_untied", None, "all", lambda name: True),
        ("llama_untied", None, "qv", lambda name: ".q_proj." in name or ".v_proj." in name),
        ("llama_untied", None, "first_layer", lambda name: ".layers.0." in name),
        ("llama_tied", None, "last_layer", lambda name: ".layers.1." in name),
        ("llama_tied", None, r"embed_tokens|norm", lambda name: "embed" in name or "norm" in name),
        ("gpt2_tied", None, "first_layer", lambda name: ".h.0." in name),
        ("gpt_neox_untied", None, ["first_layer", "lm_head"], lambda name: ".layers.0." in name or "lm_head" in name),
        ("llama_biased", None, r"bias$", lambda name: name.endswith("bias")),
        ("llama_untied", "linears", "qv", lambda name: ".q_proj.lora" in name or ".v_proj.lora" in name),
        ("llama_untied", "linears", "lora", lambda name: "lora_" in name),
        ("llama_untied", "linears", r"lora_B", lambda name: "lora_B" in name),
    ],
)
def test_parameters_by_pattern(tmp_path: Path, name: str, adapter: Any, patterns: Any, wanted: Any) -> None:
    model = build(name, adapter=adapter)
    engine = influence(plain_trainer(model, tmp_path), parameters=patterns, norms=True)
    examples, validation = oracle_examples(model)
    mean = oracle.mean(validation)
    chosen = [key for key in mean if wanted(key)]
    assert engine.names == chosen
    direction = oracle.only(mean, chosen)
    scored = engine.score(engine.train, engine.direction(), "")
    hold(scored.columns["influence"], examples, direction)
    cosines = [oracle.cosine(one.gradient, direction) for one in examples]
    np.testing.assert_allclose(scored.columns["cosine"], cosines, rtol=0, atol=TOLERANCE)


def test_the_size_of_batches_changes_nothing(tmp_path: Path) -> None:
    model = build("llama_untied")
    found = []
    for tokens_per_batch in (1, 40, 10_000):
        engine = influence(plain_trainer(model, tmp_path), tokens_per_batch=tokens_per_batch)
        found.append(engine.score(engine.train, engine.direction(), "").columns["influence"])
    for other in found[1:]:
        np.testing.assert_allclose(other, found[0], rtol=0, atol=TOLERANCE * np.abs(found[0]).max() * 10)
