"""Recording changes no bit of a training, and a run that was interrupted leaves the bytes of one that was not."""

from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import Trainer, TrainerCallback

from hf_datasel import GradientTraceCallback, Trace
from tests.training.influence.measuring import plain_trainer, rows, tokenised
from tests.training.influence.runs import SFT_ROWS, held_out, sft_trainer
from tests.training.influence.zoo import build

SETTINGS: dict[str, dict[str, Any]] = {
    "sft": {},
    "sft_accumulated_bf16": {"bf16": True, "gradient_accumulation_steps": 2, "per_device_train_batch_size": 2},
    "sft_packed": {"packing": True, "max_length": 40, "per_device_train_batch_size": 1},
    "lora_checkpointing": {"gradient_checkpointing": True, "gradient_checkpointing_kwargs": {"use_reentrant": False}},
    "plain": {},
}


def with_dropout(adapter: str | None = None) -> Any:
    """Dropout makes a random state that is not restored visible in the weights."""
    model = build("llama_untied", adapter=adapter)
    for module in model.modules():
        if hasattr(module, "attention_dropout"):
            module.attention_dropout = 0.1
    return model


def make(kind: str, folder: Path) -> Trainer:
    if kind == "plain":
        return plain_trainer(with_dropout(), folder, tokenised(rows("prompt_completion", SFT_ROWS, 0)[1]))
    model = with_dropout("linears" if kind.startswith("lora") else None)
    return sft_trainer(model, folder, **SETTINGS[kind])


def weights(trainer: Trainer) -> torch.Tensor:
    return torch.cat([parameter.detach().flatten() for parameter in trainer.model.parameters()])


@pytest.mark.parametrize("kind", list(SETTINGS))
def test_training_is_unchanged_bit_for_bit(tmp_path: Path, kind: str) -> None:
    plain = make(kind, tmp_path / "plain")
    before = weights(plain)
    plain.train()
    assert not torch.equal(before, weights(plain))
    sets = held_out()
    if kind == "plain":
        sets = {
            "validation_dataset": tokenised(rows("prompt_completion", 5, 100)[1]),
            "anchor_dataset": tokenised(rows("prompt_completion", 3, 200)[1]),
        }
    for mode in ("probe", "in_run"):
        trainer = make(kind, tmp_path / mode)
        callback = GradientTraceCallback(
            trainer,
            tmp_path / f"{mode}_trace",
            mode=mode,
            norms=True,
            num_checkpoints=2,
            dataset=rows("prompt_completion", SFT_ROWS, 0)[0] if "packed" in kind else None,
            **sets,
        )
        trainer.add_callback(callback)
        trainer.train()
        Trace.load(tmp_path / f"{mode}_trace").require_measured()
        assert torch.equal(weights(trainer), weights(plain)), mode


class Interrupt(TrainerCallback):
    """End the process's training as a user does, after a step."""

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        if state.global_step == 5:
            raise KeyboardInterrupt


@pytest.mark.parametrize(("mode", "precondition"), [("probe", "none"), ("probe", "adam"), ("in_run", "none")])
def test_an_interrupted_run_leaves_the_same_bytes(tmp_path: Path, mode: str, precondition: str) -> None:
    """Weights are saved after step 4, the direction is made or renewed after 2, 3 and 5, the run ends in step 5."""
    whole = recorded(tmp_path / "whole", mode, precondition)
    whole.train()
    broken = recorded(tmp_path / "broken", mode, precondition)
    broken.add_callback(Interrupt())
    with pytest.raises(KeyboardInterrupt):
        broken.train()
    again = recorded(tmp_path / "broken", mode, precondition)
    again.train(resume_from_checkpoint=True)
    assert torch.equal(weights(again), weights(whole))
    found, wanted = (contents(tmp_path / name / "trace") for name in ("broken", "whole"))
    assert sorted(found) == sorted(wanted)
    assert len([name for name in wanted if "companion-anchors/companion-cosine" in name]) > 2
    assert [name for name in wanted if found[name] != wanted[name]] == []


def recorded(folder: Path, mode: str, precondition: str) -> Trainer:
    trainer = sft_trainer(with_dropout(), folder, save_strategy="steps", save_steps=4, num_train_epochs=3)
    callback = GradientTraceCallback(
        trainer,
        folder / "trace",
        mode=mode,
        norms=True,
        precondition=precondition,
        checkpoint_steps=(2, 3, 5, 9),
        **held_out(),
    )
    trainer.add_callback(callback)
    return trainer


def contents(folder: Path) -> dict[str, bytes]:
    return {str(file.relative_to(folder)): file.read_bytes() for file in folder.rglob("*") if file.is_file()}
