"""Runs that select, train and push: to a Hub on loopback, or where no Hub is."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest.mock import patch

from accelerate import PartialState
from datasets import load_dataset
from peft import LoraConfig
from trl import SFTTrainer

from hf_datasel.training import publishing
from tests.training.selecting import selecting
from tests.training.tiny import make_dataset, tiny_model, word_tokenizer

SECRET = "hf_notforpublication0123456789"


def trained(folder: str, repo: str | None, **options: Any) -> Any:
    """A SelectingSFTTrainer that has trained; ``repo`` is where its model would go.

    ``base`` has the model loaded from a folder of that name, ``lora`` trains an adapter.
    """
    base = options.pop("base", None)
    if options.pop("lora", False):
        options["peft_config"] = LoraConfig(target_modules=["q_proj"], task_type="CAUSAL_LM")
    if base is not None:
        options["model"] = str(Path(folder, base))
        tiny_model().save_pretrained(options["model"])
        word_tokenizer().save_pretrained(options["model"])
    defaults = {"selection_method": "random", "num_train_epochs": 1, "hub_model_id": repo}
    trainer = selecting(Path(folder, "out"), **{**defaults, **options})
    trainer.train()
    return trainer


def push(repo: str, times: int = 1, **options: Any) -> dict[str, Any]:
    """Train, push, and tell what this process knows then."""
    with tempfile.TemporaryDirectory() as folder:
        trainer = trained(folder, repo, **options)
        for number in range(times):
            trainer.push_to_hub(commit_message=f"push {number}")
        kept = sorted(path.name for path in Path(folder, "out").iterdir())
        return {"ids": trainer.selection.ids.tolist(), "files": kept}


def loaded(repo: str) -> dict[str, Any]:
    """Both configs of a curated dataset, as `load_dataset` has them."""
    selected, scores = load_dataset(repo, split="train"), load_dataset(repo, "scores", split="train")
    source = list(make_dataset())
    return {
        "ids": selected["example_id"][:],
        "as_in_source": all(source[row["example_id"]] == row for row in selected),
        "kept": [row for row, kept in zip(scores["example_id"], scores["kept"], strict=True) if kept],
        "num_scores": len(scores),
    }


def push_twice(folder: Path, world_size: int) -> None:
    """In every process: what goes to the Hub, of which the first time comes to nothing; no Hub is there."""
    asked: list[str] = []

    def publish(repo: str, *args: Any, **options: Any) -> SimpleNamespace:
        asked.append(repo)
        if len(asked) == 1:
            raise OSError("the Hub is away")
        return SimpleNamespace(repo_url=SimpleNamespace(repo_id=repo))

    trainer = trained(str(folder), None)
    trainer.hub_model_id = "me/model"
    with (
        patch.object(publishing, "push_selection_to_hub", publish),
        patch.object(SFTTrainer, "push_to_hub", lambda *args, **options: asked.append("model")),
    ):
        try:
            trainer.push_to_hub()
        except (OSError, RuntimeError) as error:
            asked.append(f"{type(error).__name__}: {error}")
        trainer.push_to_hub()
    told = {"asked": asked, "curated": trainer._publisher.curated}
    (folder / f"rank{PartialState().process_index}.json").write_text(json.dumps(told))
