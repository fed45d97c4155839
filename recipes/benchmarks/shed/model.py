"""Models of three families, all tiny: made, trained by `SFTTrainer` on everything or on what was kept, and tested."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from datasets import Dataset
from numpy.typing import NDArray
from torch.nn.utils.rnn import pad_sequence
from transformers import (
    AutoModelForCausalLM,
    GPT2Config,
    GPT2LMHeadModel,
    GPTNeoXConfig,
    GPTNeoXForCausalLM,
    LlamaConfig,
    LlamaForCausalLM,
    PreTrainedModel,
    PreTrainedTokenizerFast,
)
from trl import SFTTrainer

from hf_datasel.functional.losses import label_log_probs
from hf_datasel.quickstart.finetune import make_trainer
from hf_datasel.quickstart.models import MASKED
from hf_datasel.quickstart.plan import Recipe
from recipes.benchmarks.clues_noise.corrupt import Row
from recipes.benchmarks.clues_noise.model import make_tokenizer, to_dataset
from recipes.benchmarks.shed.data import World

FAMILIES = ("llama", "gpt_neox", "gpt2")
LONGEST = 512


@dataclass(frozen=True)
class Setting:
    """What a world's models are and how they are trained.

    Args:
        vocab_size: None is a token a word.
        hidden_size, num_layers: of every family.
        pretraining: of the base.
        training: of an arm, whatever it keeps.
        in_run: of the training that is watched: whole epochs.
        num_clusters: the players.
        num_evaluations: of an estimator of clusters' values.
        coalition_steps: of a coalition's fine-tune.
    """

    vocab_size: int | None
    hidden_size: int
    num_layers: int
    pretraining: Recipe
    training: Recipe
    in_run: Recipe
    num_clusters: int
    num_evaluations: int
    coalition_steps: int


SETTINGS = {
    "skills": Setting(None, 64, 2, Recipe(600, 64, 3e-3), Recipe(150, 16, 2e-3), Recipe(600, 16, 2e-3), 80, 200, 16),
    "real": Setting(1024, 96, 2, Recipe(400, 32, 3e-3), Recipe(20, 16, 3e-3), Recipe(100, 16, 2e-3), 40, 100, 10),
}


def make_model(family: str, setting: Setting, tokenizer: PreTrainedTokenizerFast, seed: int) -> PreTrainedModel:
    """Random weights that depend on the seed alone; the global generators are left as they were."""
    ends = {"pad_token_id": tokenizer.pad_token_id, "eos_token_id": tokenizer.eos_token_id, "bos_token_id": None}
    sizes = {
        "vocab_size": len(tokenizer),
        "hidden_size": setting.hidden_size,
        "num_hidden_layers": setting.num_layers,
        "num_attention_heads": 4,
        "max_position_embeddings": LONGEST,
        "tie_word_embeddings": True,
    }
    wide = {"intermediate_size": 2 * setting.hidden_size}
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)
        if family == "llama":
            return LlamaForCausalLM(LlamaConfig(**sizes, **wide, num_key_value_heads=4, **ends))
        if family == "gpt_neox":
            return GPTNeoXForCausalLM(GPTNeoXConfig(**sizes, **wide, **ends))
        if family == "gpt2":
            still = {"resid_pdrop": 0.0, "embd_pdrop": 0.0, "attn_pdrop": 0.0}
            return GPT2LMHeadModel(GPT2Config(**sizes, n_inner=2 * setting.hidden_size, **still, **ends))
    raise ValueError(f"unknown family {family!r}; there are {FAMILIES}")


def load_or_train(world: World, family: str, path: Path) -> tuple[PreTrainedModel, PreTrainedTokenizerFast]:
    """A family's base model of a world and its tokenizer from the folder `path`; trained and put there first."""
    if not (path / "done").exists():
        setting = SETTINGS[world.name]
        foreign = dict.fromkeys(answer for answers in world.foreign.values() for answer in answers)
        # A tokenizer of whole words must know all of them; one of pieces sees no row of a pool.
        words = [text for pool in world.pools.values() for row in pool for text in (row.prompt, row.completion)]
        known = [*world.pretraining, *(Row("", answer, "") for answer in foreign)]
        tokenizer = make_tokenizer(known, setting.vocab_size, words)
        model = make_model(family, setting, tokenizer, seed=0)
        rows = to_dataset(world.pretraining, tokenizer)
        train(model, rows, tokenizer, setting.pretraining, seed=0, output_dir=path / "training").save_pretrained(path)
        tokenizer.save_pretrained(path)
        (path / "done").touch()
    return AutoModelForCausalLM.from_pretrained(path).eval(), PreTrainedTokenizerFast.from_pretrained(path)


def train(
    base: PreTrainedModel,
    rows: Dataset,
    tokenizer: PreTrainedTokenizerFast,
    recipe: Recipe,
    *,
    seed: int,
    output_dir: Path,
    prepare: Callable[[SFTTrainer], None] | None = None,
) -> PreTrainedModel:
    """A copy of the base trained on the rows; `prepare` may add callbacks to the trainer."""
    trainer = make_trainer(
        copy.deepcopy(base).train(), rows, tokenizer, recipe, seed=seed, output_dir=output_dir, on_step=lambda: None
    )
    if prepare is not None:
        prepare(trainer)
    trainer.train()
    return trainer.model.eval()


@dataclass(frozen=True)
class Tested:
    """Of each row: mean negative log-likelihood of its answer's tokens, their number, if each is the likeliest."""

    losses: NDArray[np.float64]
    num_labels: NDArray[np.int64]
    exact: NDArray[np.bool_]

    def loss(self, topics: Sequence[str]) -> float:
        """Nats a token, the mean over topics."""
        names = np.array(topics)
        of_topic = [np.average(self.losses[own], weights=self.num_labels[own]) for own in _each(names)]
        return float(np.mean(of_topic))

    def exact_match(self, topics: Sequence[str]) -> float:
        """Share of right answers, the mean over topics."""
        return float(np.mean([self.exact[own].mean() for own in _each(np.array(topics))]))


def _each(names: NDArray[np.str_]) -> list[NDArray[np.bool_]]:
    return [names == name for name in sorted(set(names.tolist()))]


@torch.no_grad()
def evaluate(model: PreTrainedModel, rows: Dataset, batch_size: int = 64) -> Tested:
    """How a model answers tokenised rows."""
    ids, labels = rows["input_ids"][:], rows["labels"][:]
    losses, counts, exact = np.zeros(len(rows)), np.zeros(len(rows), np.int64), np.zeros(len(rows), bool)
    order = sorted(range(len(rows)), key=lambda i: len(ids[i]))
    for start in range(0, len(order), batch_size):
        chosen = order[start : start + batch_size]
        tokens = pad_sequence([torch.tensor(ids[i]) for i in chosen], batch_first=True)
        wanted = pad_sequence([torch.tensor(labels[i]) for i in chosen], batch_first=True, padding_value=MASKED)
        # Padding is on the right, where a causal model does not look from any labelled position.
        logits = model(input_ids=tokens).logits
        log_probs, mask = label_log_probs(logits, wanted)
        right = (logits[:, :-1].argmax(dim=-1) == wanted[:, 1:]) | ~mask
        counts[chosen] = mask.sum(dim=1).numpy()
        losses[chosen] = (-log_probs.sum(dim=1) / mask.sum(dim=1)).numpy()
        exact[chosen] = right.all(dim=1).numpy()
    return Tested(losses, counts, exact)
