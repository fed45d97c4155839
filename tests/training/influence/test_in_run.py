"""In-run influence is the oracle's before each step: every architecture, plain Trainers, cosines, and its options."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from transformers import DataCollatorWithFlattening

from tests.training.influence import oracle
from tests.training.influence.measuring import TOLERANCE
from tests.training.influence.runs import Watcher, check_in_run, check_probe, directions, run
from tests.training.influence.zoo import MODELS, build

BF16 = 2e-2  # a rounding of bfloat16 is 2**-9; a gradient is the end of some tens of them, of random sign
PLAIN: dict[str, dict[str, Any]] = {
    "padded": {},
    # Without num_items_in_batch the Trainer divides by the steps of an accumulation instead.
    "accumulated": {"per_device_train_batch_size": 2, "gradient_accumulation_steps": 2},
    "flattened": {"collator": DataCollatorWithFlattening()},
    "non_reentrant": {"gradient_checkpointing": True, "gradient_checkpointing_kwargs": {"use_reentrant": False}},
}


@pytest.mark.parametrize("name", [name for name in MODELS if name != "llama_untied"])
def test_every_architecture_under_the_fused_head(tmp_path: Path, name: str) -> None:
    trace, watcher = run(tmp_path, "in_run", build(name), callback={"norms": True})
    check_in_run(trace, watcher)
    assert set(trace.companions) >= {"anchors", "cosine", "loss", "num_labels"}


@pytest.mark.parametrize(
    ("name", "adapter"), [("gpt2_tied", "linears"), ("gpt_neox_untied", "qv"), ("gemma_tied", "qv")]
)
def test_adapters_of_other_architectures(tmp_path: Path, name: str, adapter: str) -> None:
    trace, watcher = run(tmp_path, "in_run", build(name, adapter=adapter), callback={"norms": True})
    check_in_run(trace, watcher)


@pytest.mark.parametrize("adapter", [None, "linears"])
@pytest.mark.parametrize("name", list(PLAIN))
def test_plain_trainer_in_run(tmp_path: Path, name: str, adapter: str | None) -> None:
    options = dict(PLAIN[name])
    trace, watcher = run(tmp_path, "in_run", build("llama_tied", adapter=adapter), plain=True, **options)
    check_in_run(trace, watcher)


@pytest.mark.parametrize("name", ["padded", "flattened"])
def test_plain_trainer_probe(tmp_path: Path, name: str) -> None:
    trace, watcher = run(tmp_path, "probe", build("gpt2_tied"), plain=True, callback={"norms": True}, **PLAIN[name])
    check_probe(trace, watcher)


@pytest.mark.parametrize("adapter", [None, "linears"])
@pytest.mark.parametrize("mode", ["probe", "in_run"])
def test_bfloat16(tmp_path: Path, mode: str, adapter: str | None) -> None:
    trace, watcher = run(tmp_path, mode, build("llama_untied", adapter=adapter), bf16=True, callback={"norms": True})
    (check_probe if mode == "probe" else check_in_run)(trace, watcher, tolerance=BF16)


@pytest.mark.parametrize(
    "options",
    [
        {"packing": True, "max_length": 40, "per_device_train_batch_size": 1},
        {"padding_free": True, "max_length": None},
    ],
)
def test_cosines_of_packed_rows(tmp_path: Path, options: dict[str, Any]) -> None:
    trace, watcher = run(tmp_path, "in_run", build("llama_untied"), callback={"norms": True}, **options)
    check_in_run(trace, watcher)


def test_only_every_kth_step_is_scored(tmp_path: Path) -> None:
    trace, watcher = run(tmp_path, "in_run", build("llama_untied"), callback={"score_every": 2}, num_train_epochs=4)
    standing = directions(watcher)
    seen: dict[int, list[float]] = {}
    for _, step, example in sorted(watcher.visits):
        if step % 2 == 0:
            wanted = oracle.dot(watcher.before[step].example(example).gradient, standing[step])
            seen.setdefault(example, []).append(wanted)
    assert trace.num_checkpoints == min(map(len, seen.values())) >= 1
    for row, example in enumerate(trace.ids.tolist()):
        np.testing.assert_allclose(trace.values[row], seen[example][: trace.num_checkpoints], rtol=1e-3, atol=1e-5)


def test_a_low_rank_direction_gives_the_score_of_what_is_left_of_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What a cut leaves out of the direction bounds the error."""
    monkeypatch.setattr("hf_datasel.training.influence.direction.SKINNY", 4)
    low, watcher = run(tmp_path, "in_run", build("llama_untied"), callback={"low_rank": 0.999})
    standing: dict[int, oracle.Gradient] = directions(watcher)
    for _, step, example in watcher.visits:
        visit = int(step >= 3)
        one = watcher.before[step].example(example)
        size = oracle.norm(one.gradient) * oracle.norm(standing[step])
        error = abs(float(low.values[example, visit]) - oracle.dot(one.gradient, standing[step]))
        assert error <= (0.001**0.5 + TOLERANCE) * size  # a share of 0.999 of |G|^2 leaves sqrt(0.001) of its length


@pytest.mark.parametrize("patterns", ["first_layer", "lm_head|embed_tokens", ["qv", "norm"]])
def test_a_part_of_the_parameters(tmp_path: Path, patterns: Any) -> None:
    trace, watcher = run(tmp_path, "in_run", build("llama_untied"), callback={"parameters": patterns, "norms": True})
    chosen = {
        "first_layer": lambda name: ".layers.0." in name,
        "lm_head|embed_tokens": lambda name: "lm_head" in name or "embed_tokens" in name,
    }.get(str(patterns), lambda name: any(part in name for part in ("q_proj", "v_proj", "norm")))
    assert isinstance(watcher, Watcher)
    check_in_run(trace, watcher, chosen=chosen)
