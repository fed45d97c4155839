"""The engine's numbers are those of the batch-size-1 oracle, for every architecture and set of parameters."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from hf_datasel.training.influence.frame import ALL
from tests.training.influence import oracle
from tests.training.influence.measuring import (
    TOLERANCE,
    hold,
    influence,
    plain_trainer,
    rows,
    score,
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
    directions = engine.directions()
    scored = engine.score(engine.train, directions, "")
    examples, validation = oracle_examples(model)
    mean = oracle.mean(validation)
    assert list(mean) == list(engine.parameters)
    hold(scored.columns["influence"], examples, mean)
    wanted = [oracle.cosine(one.gradient, mean) for one in examples]
    np.testing.assert_allclose(scored.columns["cosine"], wanted, rtol=0, atol=TOLERANCE)
    assert directions[ALL].norm == pytest.approx(oracle.norm(mean), rel=TOLERANCE)
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
    scored = score(engine)
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
    found = score(engine).columns["influence"]
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
        scored = score(engine)
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
    assert list(engine.parameters) == chosen
    direction = oracle.only(mean, chosen)
    scored = score(engine)
    hold(scored.columns["influence"], examples, direction)
    cosines = [oracle.cosine(one.gradient, direction) for one in examples]
    np.testing.assert_allclose(scored.columns["cosine"], cosines, rtol=0, atol=TOLERANCE)


def test_the_size_of_batches_changes_nothing(tmp_path: Path) -> None:
    model = build("llama_untied")
    found = []
    for tokens_per_batch in (1, 40, 10_000):
        engine = influence(plain_trainer(model, tmp_path), tokens_per_batch=tokens_per_batch)
        found.append(score(engine).columns["influence"])
    for other in found[1:]:
        np.testing.assert_allclose(other, found[0], rtol=0, atol=TOLERANCE * np.abs(found[0]).max() * 10)


@pytest.mark.parametrize("precondition", ["none", "adam"])
def test_contrasts_are_cosines_with_what_sets_good_rows_apart_from_bad_ones(tmp_path: Path, precondition: Any) -> None:
    model = build("llama_untied", adapter="linears")
    trainer = plain_trainer(model, tmp_path)
    step_without_moving(trainer)
    bad = {name: rows("prompt_completion", 4, seed)[1] for name, seed in (("one", 300), ("two", 400))}
    contrasts = {name: tokenised(examples) for name, examples in bad.items()}
    examples, validation = oracle_examples(model)
    good = oracle.mean(validation)
    scale = oracle.adam_scale(oracle.moments(model, trainer.optimizer)) if precondition == "adam" else None
    for norms in (True, False):
        engine = influence(trainer, contrasts=contrasts, precondition=precondition, norms=norms)
        scored = score(engine)
        for name, tokens in bad.items():
            apart = oracle.combine([good, oracle.mean(oracle.examples(model, tokens))], [1.0, -1.0])
            found = scored.columns[f"contrast_{name}"]
            if norms:
                wanted = [oracle.cosine(one.gradient, apart, scale) for one in examples]
                np.testing.assert_allclose(found, wanted, rtol=0, atol=TOLERANCE)
            else:
                hold(found, examples, apart if scale is None else oracle.precondition(apart, scale))


@pytest.mark.parametrize(
    "lora",
    [
        {"target_modules": ["q_proj", "lm_head"]},  # a part of the head sees the labels only
        {"target_modules": ["q_proj"], "modules_to_save": ["lm_head", "embed_tokens"]},
        {"target_modules": ["v_proj"], "use_rslora": True, "lora_bias": True, "lora_dropout": 0.5},
    ],
    ids=["head", "saved_modules", "rslora_bias"],
)
def test_adapters_of_other_kinds(tmp_path: Path, lora: dict[str, Any]) -> None:
    model = build("llama_biased" if lora.get("lora_bias") else "llama_untied", adapter="qv", **lora)
    scored = score(influence(plain_trainer(model, tmp_path), norms=True))
    examples, validation = oracle_examples(model)
    hold(scored.columns["influence"], examples, oracle.mean(validation))
    wanted = [oracle.cosine(one.gradient, oracle.mean(validation)) for one in examples]
    np.testing.assert_allclose(scored.columns["cosine"], wanted, rtol=0, atol=TOLERANCE)


def test_low_rank_is_the_exact_score_of_the_direction_it_keeps(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = influence(plain_trainer(build("llama_untied"), tmp_path), low_rank=3)
    assert engine.directions()[ALL].factors == {}  # products with matrices this small are skinny without being cut
    monkeypatch.setattr("hf_datasel.training.influence.direction.SKINNY", 4)
    model = build("llama_untied")
    examples, validation = oracle_examples(model)
    engine = influence(plain_trainer(model, tmp_path), low_rank=3)
    directions = engine.directions()
    kept = oracle.mean(validation)
    for name, (left, right) in directions[ALL].factors.items():
        u, s, vh = torch.linalg.svd(kept[name], full_matrices=False)
        kept[name] = (u[:, :3] * s[:3]) @ vh[:3]
        torch.testing.assert_close((left.T @ right).double(), kept[name], rtol=0, atol=1e-5 * float(s[0]))
    assert len(directions[ALL].factors) == 2 * 7 + 1  # every linear layer, and the head
    found = engine.score(engine.train, directions, "").columns["influence"]
    # A singular vector turns by the rounding of a product over the gap to the next singular value.
    hold(found, examples, kept, tolerance=10 * TOLERANCE)
