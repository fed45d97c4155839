"""What SelectingSFTTrainer refuses, by name, leaving nothing half-written."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from trl import SFTTrainer

from hf_datasel import SelectingSFTTrainer, Selection
from tests.training.selecting import config, selecting
from tests.training.tiny import make_dataset, sft_args, tiny_model, word_tokenizer


@pytest.mark.parametrize(
    ("options", "error", "match"),
    [
        ({"selection_method": "magic"}, ValueError, r"selection_method='magic'.*'s2l', 'shed'\]"),
        ({"selection_every": 0}, ValueError, "selection_every=0"),
        ({"selection_every": 1, "packing": True}, ValueError, "selection_every.*packing=True"),
        ({"selection_every": 1, "selection_curriculum": "confidence"}, ValueError, "draws the rows of its selections"),
        ({"selection_every": 1, "train_sampling_strategy": "group_by_length"}, ValueError, "group_by_length"),
        ({"selection_continue": True, "proxy_model": "x/y"}, ValueError, "selection_continue=True.*'x/y'"),
    ],
    ids=str,
)
def test_bad_options_are_refused_at_once(tmp_path: Path, options: Any, error: type[Exception], match: str) -> None:
    with pytest.raises(error, match=match):
        selecting(tmp_path, **options)
    assert not (tmp_path / "selection").exists()


@pytest.mark.parametrize(
    ("options", "match"),
    [
        ({"selection_budget": 0.0}, r"budget=0\.0"),
        ({"selection_budget": -1.0}, r"budget=-1\.0"),
        ({"selection_budget": 25}, "budget=25.*24 candidates"),
        ({"selection_budget": 25.0}, "budget=25.*24 candidates"),
        ({"selection_budget": float("nan")}, "budget=nan"),
        ({"selection_strata_column": "colour"}, "colour"),
        ({"proxy_training_args": {"learning_rat": 1.0}}, "'learning_rat' is no field"),
        ({"proxy_training_args": {"bf16": True}}, "'bf16' cannot differ"),
        ({"selection_num_checkpoints": 99}, "num_checkpoints=99 does not fit"),
    ],
    ids=str,
)
def test_bad_options_leave_no_selection(tmp_path: Path, options: Any, match: str) -> None:
    trainer = selecting(tmp_path, proxy=tiny_model(seed=3), **options)
    with pytest.raises(ValueError, match=match):
        trainer.train()
    assert not (tmp_path / "selection").exists()


def test_arguments_of_the_wrong_kind(tmp_path: Path) -> None:
    with pytest.raises(TypeError, match="must be a SelectingSFTConfig, not SFTConfig"):
        SelectingSFTTrainer(model=tiny_model(), args=sft_args(tmp_path), train_dataset=make_dataset())
    with pytest.raises(ValueError, match="`train_dataset` is required"):
        SelectingSFTTrainer(model=tiny_model(), args=config(tmp_path))
    with pytest.raises(ValueError, match="given as an object"):
        selecting(tmp_path, proxy=tiny_model(seed=3), proxy_model="x/y")


def test_a_proxy_that_cannot_read_the_data(tmp_path: Path) -> None:
    silent = word_tokenizer()
    silent.chat_template = None
    with pytest.raises(ValueError, match="proxy 'LlamaForCausalLM' has no chat template"):
        selecting(tmp_path, make_dataset("messages"), proxy=tiny_model(seed=3), proxy_processing_class=silent)
    crowded = word_tokenizer()
    crowded.add_tokens([f"extra{number}" for number in range(20)])
    with pytest.raises(ValueError, match="has 86 tokens but the proxy 'LlamaForCausalLM' embeds 70"):
        selecting(tmp_path, proxy=tiny_model(seed=3), proxy_processing_class=crowded)
    foreign = make_dataset().map(lambda row: {"prompt": "ein ganz anderer Satz ", "completion": "auch fremd"})
    with pytest.raises(ValueError, match=r"knows only \d+ of \d+ tokens"):
        selecting(tmp_path, foreign, proxy=tiny_model(seed=3))
    tiny_model().save_pretrained(tmp_path / "bare")
    with pytest.raises(ValueError, match=r"brings no tokenizer.*proxy_processing_class"):
        selecting(tmp_path, proxy_model=str(tmp_path / "bare"))


def test_an_output_dir_of_other_settings(tmp_path: Path) -> None:
    selecting(tmp_path, proxy=tiny_model(seed=3)).train()
    with pytest.raises(ValueError, match=r"another run \(other selector\).*selection_overwrite=True"):
        selecting(tmp_path, proxy=tiny_model(seed=3), selection_seed=1).train()
    trainer = selecting(tmp_path, proxy=tiny_model(seed=3), selection_seed=1, selection_overwrite=True)
    trainer.train()
    assert Selection.load(tmp_path / "selection").provenance[-1]["config"]["seed"] == 1


def test_a_checkpoint_of_another_trainer(tmp_path: Path) -> None:
    SFTTrainer(
        model=tiny_model(), args=sft_args(tmp_path, save_strategy="steps", save_steps=2),
        train_dataset=make_dataset(), processing_class=word_tokenizer(),
    ).train()  # fmt: skip
    with pytest.raises(ValueError, match=r"holds no Selection.*resume it with SFTTrainer"):
        selecting(tmp_path, proxy=tiny_model(seed=3)).train(resume_from_checkpoint=True)
