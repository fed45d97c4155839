"""What happens at a client: train an adapter from the common start, and record what the scores are made of."""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from peft import LoraConfig
from transformers import LlamaForCausalLM, PreTrainedTokenizerFast
from trl import SFTConfig, SFTTrainer

from hf_datasel import GradientTraceCallback, Trace, add_example_ids, record_datainf, record_ifd
from hf_datasel.collaborative.adapters import draw_adapter, read_adapter
from hf_datasel.collaborative.local_training import LocalTraining
from hf_datasel.collaborative.merging import Merge, merge_adapters
from hf_datasel.collaborative.messages import Adapter
from recipes.benchmarks.clues_noise.corrupt import Row, corrupt
from recipes.benchmarks.clues_noise.model import (
    answer_losses,
    apply_adapter,
    to_dataset,
    to_tokens,
)
from recipes.benchmarks.common import common_arguments

NUM_STEPS, BATCH_SIZE, LEARNING_RATE, RANK = 20, 8, 3e-3, 8
CHECKPOINTS, MANY_CHECKPOINTS = (0.5, 0.9), (0.2, 0.4, 0.6, 0.8, 1.0)
CONTRASTS = ("mismatched", "truncated", "shuffled")  # damage done to validation rows on purpose

# Options of GradientTraceCallback; "contrasts" names the damage that the validation rows are held against.
RECORDINGS: dict[str, dict[str, Any]] = {
    "plain": {"norms": True, "contrasts": CONTRASTS, "ifd": True, "pairing": 4},
    "last_layer": {"norms": True, "parameters": "last_layer"},
    "adam": {"norms": True, "precondition": "adam", "contrasts": CONTRASTS},
    "five checkpoints": {"norms": True, "checkpoint_fractions": MANY_CHECKPOINTS},
    "first_layer": {"norms": True, "parameters": "first_layer"},
    "qv": {"norms": True, "parameters": "qv"},
    "official": {"precondition": "official"},
    "own_validation": {"norms": True},
}


@dataclass(eq=False)
class Evidence:
    """What was recorded of a client's rows and of the anchors.

    Args:
        kinds: of the rows, `[n]`.
        traces: by recording; ids 0 .. n - 1 are the rows in order.
        ifd, datainf: by the trained model, where recorded.
    """

    kinds: NDArray[np.str_]
    traces: dict[str, Trace] = field(default_factory=dict)
    ifd: Trace | None = None
    datainf: Trace | None = None


class Lab:
    """Trains adapters of one base model, all from the same start.

    Args:
        model, tokenizer: the base.
        directory: scratch space, emptied as it goes.
        seed: of the start, the order of rows and whatever is drawn.
    """

    def __init__(
        self, model: LlamaForCausalLM, tokenizer: PreTrainedTokenizerFast, directory: Path, seed: int
    ) -> None:
        self.model, self.tokenizer, self.directory, self.seed = model, tokenizer, directory, seed
        config = LoraConfig(r=RANK, lora_alpha=2 * RANK, target_modules="all-linear", lora_dropout=0.0)
        self._start = draw_adapter(model, config, seed)
        self._training = LocalTraining(model, tokenizer, self._arguments())

    def _arguments(self) -> SFTConfig:
        return SFTConfig(
            **common_arguments(
                self.directory / "training",
                max_steps=NUM_STEPS,
                per_device_train_batch_size=BATCH_SIZE,
                learning_rate=LEARNING_RATE,
                warmup_steps=2,
                seed=self.seed,
                max_length=None,
                logging_strategy="no",
            )
        )

    def train(self, rows: Sequence[Row]) -> Adapter:
        """An adapter trained for `NUM_STEPS` steps on the rows."""
        with self._training.trainer(
            to_dataset(rows, self.tokenizer), self._start, self.directory / "training"
        ) as trainer:
            trainer.train()
            return read_adapter(trainer.model)

    def measure(
        self,
        rows: Sequence[Row],
        validation: Sequence[Row],
        anchors: Sequence[Row],
        recordings: Sequence[str],
        *,
        baselines: bool,
    ) -> Evidence:
        """Train on the rows as they are while recording.

        Args:
            rows: of one party.
            validation, anchors: clean rows of all parties.
            recordings: of `RECORDINGS`.
            baselines: also IFD and DataInf of the trained model.
        """
        evidence = Evidence(np.array([row.kind for row in rows]))
        shutil.rmtree(self.directory, ignore_errors=True)
        dataset = add_example_ids(to_dataset(rows, self.tokenizer))
        with self._training.trainer(dataset, self._start, self.directory / "training") as trainer:
            for name in recordings:
                self._add_recording(trainer, name, rows[0].party, validation, anchors)
            trainer.train()
            if baselines:
                evidence.ifd = record_ifd(trainer, self.directory / "ifd")
                clean = to_dataset(validation, self.tokenizer)
                evidence.datainf = record_datainf(trainer, self.directory / "datainf", validation_dataset=clean)
        evidence.traces = {name: Trace.load(self.directory / name) for name in recordings}
        return evidence

    def held_out_losses(self, adapters: Mapping[str, Adapter], test: Mapping[str, Sequence[Row]]) -> dict[str, float]:
        """Loss of the test answers under the mean of the adapters' products BA, by party; no adapter is the base."""
        model = self.model
        if adapters:
            merged = merge_adapters(self.model, adapters, Merge(method="cat"), seed=self.seed)
            model = apply_adapter(self.model, merged)
        found = {}
        for party, rows in test.items():
            losses, counts = answer_losses(model, to_tokens(rows, self.tokenizer))
            found[party] = float((losses * counts).sum() / counts.sum())
        return found

    def _add_recording(
        self, trainer: SFTTrainer, name: str, party: str, validation: Sequence[Row], anchors: Sequence[Row]
    ) -> None:
        options = dict(RECORDINGS[name])
        trusted = [row for row in validation if row.party == party or name != "own_validation"]
        contrasts = {
            kind: to_dataset(self._damaged(trusted, kind), self.tokenizer) for kind in options.pop("contrasts", ())
        }
        callback = GradientTraceCallback(
            trainer,
            self.directory / name,
            validation_dataset=to_dataset(trusted, self.tokenizer),
            contrast_datasets=contrasts or None,
            anchor_dataset=to_dataset(anchors, self.tokenizer),
            **{"checkpoint_fractions": CHECKPOINTS, **options},
        )
        trainer.add_callback(callback)

    def _damaged(self, rows: Sequence[Row], kind: str) -> list[Row]:
        """All rows damaged; answers change places within a party, as they do in the clients."""
        rng, parties = np.random.default_rng(self.seed), dict.fromkeys(row.party for row in rows)
        return [
            bad
            for party in parties
            for bad in corrupt([row for row in rows if row.party == party], 1.0, [kind], [], rng)
        ]
