"""Where values come from: fine-tunes on coalitions of proxies, or one training that is watched."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from datasets import Dataset
from numpy.typing import NDArray
from peft import LoraConfig
from transformers import PreTrainedModel, PreTrainedTokenizerFast
from trl import SFTConfig, SFTTrainer

from hf_datasel import BagEmbedder, Embeddings, GradientTraceCallback, Trace, add_example_ids, embed
from hf_datasel.clusters import Clusters, cluster_examples
from hf_datasel.training.utility import FineTuneUtility
from recipes.benchmarks.clues_noise.corrupt import CLEAN, Row
from recipes.benchmarks.clues_noise.model import to_dataset
from recipes.benchmarks.common import common_arguments
from recipes.benchmarks.shed.data import Roles
from recipes.benchmarks.shed.model import SETTINGS, Setting, train

RANK, COALITION_RATE, AT_ONCE = 8, 1e-2, 16
EMBEDDED = "embedded"  # a column: the source's name and the question


class Lab:
    """One seed's rows under one base model.

    Args:
        world: its name.
        model, tokenizer: the base.
        roles: the rows.
        directory: scratch space for ledgers and traces.
        seed: of whatever is drawn.
    """

    def __init__(
        self,
        world: str,
        model: PreTrainedModel,
        tokenizer: PreTrainedTokenizerFast,
        roles: Roles,
        directory: Path,
        seed: int,
    ) -> None:
        self.world, self.model, self.tokenizer, self.roles = world, model, tokenizer, roles
        self.directory, self.seed = directory, seed
        # An embedding that read the answers would tell shuffled and foreign ones by itself.
        embedded = [f"{row.party.split()[0]} {row.prompt}" for row in roles.train]
        self.train_rows = add_example_ids(to_dataset(roles.train, tokenizer).add_column(EMBEDDED, embedded))
        self.dev_rows = to_dataset(roles.dev, tokenizer)

    @property
    def setting(self) -> Setting:
        """Of the world."""
        return SETTINGS[self.world]

    def embeddings(self) -> Embeddings:
        """Of source and question, as bags of words."""
        return embed(self.train_rows, BagEmbedder(), text=EMBEDDED)

    def clusters(self, embeddings: Embeddings) -> Clusters:
        """Parts of the skills' topics, which questions of random letters do not show; k-means for real questions."""
        if self.world == "real":
            return cluster_examples(embeddings, num_clusters=self.setting.num_clusters, seed=self.seed)
        names = sorted({row.party for row in self.roles.train})
        parts = self.setting.num_clusters // len(names)
        labels = [parts * names.index(row.party) + place % parts for place, row in enumerate(self.roles.train)]
        return Clusters.from_labels(embeddings, labels, {"method": "parts of topics"})

    def utility(self, ledger: str) -> FineTuneUtility:
        """v: mean log-probability of the dev answers after LoRA fine-tuning on a coalition."""
        return FineTuneUtility(
            self.model,
            args=coalition_args(self.setting, self.directory, self.seed),
            train_dataset=self.train_rows,
            validation_dataset=self.dev_rows,
            ledger_dir=self.directory / ledger,
            processing_class=self.tokenizer,
            peft_config=LoraConfig(r=RANK, lora_alpha=2 * RANK, target_modules="all-linear", task_type="CAUSAL_LM"),
            coalitions_at_once=AT_ONCE,
            progress=False,
        )

    def in_run(self) -> Trace:
        """Every row's gradient against the dev gradient, as ordinary training passes it; a column an epoch."""
        recipe, path = self.setting.in_run, self.directory / "in_run"
        renewals = 3 * recipe.num_steps * recipe.batch_size // len(self.train_rows)

        def watch(trainer: SFTTrainer) -> None:
            callback = GradientTraceCallback(
                trainer,
                path,
                validation_dataset=self.dev_rows,
                mode="in_run",
                norms=True,
                num_checkpoints=renewals,
                overwrite=True,
            )
            trainer.add_callback(callback)

        output_dir = self.directory / "training"
        train(
            self.model, self.train_rows, self.tokenizer, recipe, seed=self.seed, output_dir=output_dir, prepare=watch
        )
        return Trace.load(path)


def coalition_args(setting: Setting, directory: Path, seed: int) -> SFTConfig:
    """Of every coalition's training: as many steps for a small one as for a large one."""
    return SFTConfig(
        **common_arguments(
            directory / "coalitions",
            max_steps=setting.coalition_steps,
            learning_rate=COALITION_RATE,
            seed=seed,
            max_length=None,
            logging_strategy="no",
        )
    )


def as_text(rows: Sequence[Row]) -> Dataset:
    """Questions with their answers as text, with example ids."""
    return add_example_ids(Dataset.from_dict({"text": [f"{row.prompt} {row.completion}" for row in rows]}))


def is_clean(rows: Sequence[Row]) -> NDArray[np.bool_]:
    """bool [n]."""
    return np.array([row.kind == CLEAN for row in rows])
