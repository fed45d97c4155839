"""bergson, set up as its own pipeline sets itself up: its Trainer callback, and its scorer of one query.

bergson is a dependency of this benchmark alone; its figures are those of the linear layers it covers (no LM head, no
embeddings, no norms).
"""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Callable
from contextlib import redirect_stderr
from io import StringIO
from pathlib import Path
from typing import Any

import torch
from bergson import CollectorComputer, GradientProcessor, IndexConfig, InMemoryCollector, Scorer
from bergson.huggingface import GradientCollectorCallback, prepare_for_gradient_collection
from bergson.score.score_writer import InMemorySequenceScoreWriter, InMemoryTokenScoreWriter
from bergson.utils.peft import detect_peft_modules
from datasets import Dataset
from transformers import Trainer

PACKAGE = "bergson"


def quiet() -> None:
    """No list of modules at every sweep."""
    for name in ("CollectorComputer", "HookCollectorBase"):
        logging.getLogger(name).setLevel(logging.ERROR)


class Collecting:
    """bergson's callback with its defaults (every example's gradients, projected, go to a file), on and off.

    Args:
        trainer: it is added to.
        folder: of its files.
    """

    def __init__(self, trainer: Trainer, folder: Path) -> None:
        prepare_for_gradient_collection(trainer)
        self._callback = GradientCollectorCallback(folder)
        trainer.add_callback(self._callback)

    def on(self, use_optimizer_state: bool) -> None:
        """Its hooks are on the model; without the optimizer's state, what was read before is forgotten."""
        self.off()
        self._callback.use_optimizer_state = use_optimizer_state
        if not use_optimizer_state:
            self._callback.collector.processor.normalizers = {}
        self._callback.collector.__enter__()

    def off(self) -> None:
        """Its hooks are off the model, and nothing is read from the optimizer."""
        self._callback.use_optimizer_state = False
        self._callback.collector.__exit__(None, None, None)


def covered(model: Any) -> tuple[Any, set[str] | None, dict[str, str]]:
    """The module bergson hooks, the names it is told to hook, and parameter names by the names of its modules."""
    is_adapted = hasattr(model, "peft_config")
    targets = detect_peft_modules(model) if is_adapted else None
    prefix = "base_model." if is_adapted else f"{model.base_model_prefix}."
    found = InMemoryCollector.discover_targets(model.base_model, targets, False, None)
    return model.base_model, targets, {name: f"{prefix}{name}.weight" for name in found}


def scorer(
    model: Any, rows: Dataset, direction: dict[str, torch.Tensor], batches: list[list[int]], by_token: bool
) -> Callable[[], torch.Tensor]:
    """A sweep of bergson's scorer over the rows, with the direction as its only query, in memory.

    Args:
        model: whose parameters need gradients on the embeddings alone while the sweep runs, as bergson has it.
        rows: tokenised.
        direction: by parameter name.
        batches: rows of each batch.
        by_token: score tokens and sum them, which never forms a gradient; else examples, which does.
    """
    hooked, targets, names = covered(model)
    query = {module: direction[name].flatten()[None] for module, name in names.items()}
    data = rows.add_column("length", [len(tokens) for tokens in rows["input_ids"]])

    def sweep() -> torch.Tensor:
        with tempfile.TemporaryDirectory() as folder, redirect_stderr(StringIO()):
            config = IndexConfig(run_path=f"{folder}/run", loss_reduction="mean", attribute_tokens=by_token)
            config.partial_run_path.mkdir()
            writer = InMemoryTokenScoreWriter(data, 1) if by_token else InMemorySequenceScoreWriter(len(data), 1)
            collector = InMemoryCollector(
                model=hooked,
                data=data,
                cfg=config,
                processor=GradientProcessor(),
                target_modules=targets,
                scorer=Scorer(
                    query, list(query), writer, torch.device("cpu"), torch.float32, attribute_tokens=by_token
                ),
            )
            CollectorComputer(model, data, collector=collector, batches=batches, cfg=config).run_with_collector_hooks()
        return torch.stack([part.sum() for part in writer.scores]) if by_token else writer.scores[:, 0]

    return sweep
