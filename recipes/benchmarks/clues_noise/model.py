"""The base model: a Llama of about a million parameters, trained from scratch on the clean rows outside the pool.

Weight matrices are trained by Muon, the rest by AdamW: per row that is read it learns about one and a half times as
fast as AdamW alone here, and a base that has not learned to copy a name from the question into the answer cannot tell
one answer from another. One row in ten comes without its question, so that an answer by itself is known text too.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from datasets import Dataset
from peft import get_peft_model
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from hf_datasel.collaborative.adapters import make_config, write_adapter
from hf_datasel.collaborative.messages import Adapter
from hf_datasel.quickstart.models import EOS, MASKED, PAD, tokenize, train_tokenizer
from hf_datasel.training.lending import lend
from recipes.benchmarks.clues_noise.corrupt import Row
from recipes.benchmarks.clues_noise.data import World

BASE_SEED = 0
Tokens = tuple[list[int], list[int]]  # input ids; labels, `MASKED` on the question


@dataclass(frozen=True)
class BaseRecipe:
    """How a world's base model is made; `vocab_size` None is a token a word."""

    vocab_size: int | None
    num_epochs: float
    batch_size: int = 24
    learning_rate: float = 4e-3
    num_warmup_steps: int = 50
    final_share: float = 0.02
    without_question: float = 0.1
    hidden_size: int = 128
    num_layers: int = 4
    num_heads: int = 4


RECIPES = {"medquad": BaseRecipe(vocab_size=2048, num_epochs=3), "skills": BaseRecipe(vocab_size=None, num_epochs=3)}


def make_tokenizer(rows: Sequence[Row], vocab_size: int | None, more: Sequence[str]) -> PreTrainedTokenizerFast:
    """A byte-level BPE trained on the rows, or, for `vocab_size` None, a token a word of the rows and of `more`."""
    texts = [f"{row.prompt} {row.completion}" for row in rows]
    if vocab_size is None:
        return train_tokenizer([*texts, *more])
    bpe = Tokenizer(models.BPE())
    bpe.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    bpe.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size,
        special_tokens=[PAD, EOS],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    bpe.train_from_iterator(texts, trainer)
    return PreTrainedTokenizerFast(
        tokenizer_object=bpe, pad_token=PAD, eos_token=EOS, clean_up_tokenization_spaces=False
    )


def to_dataset(rows: Sequence[Row], tokenizer: PreTrainedTokenizerFast) -> Dataset:
    """Columns `input_ids` and `labels`, as SFTTrainer would make them of question and answer."""
    texts = {"prompt": [row.prompt for row in rows], "completion": [f" {row.completion}" for row in rows]}
    return tokenize(Dataset.from_dict(texts), tokenizer)


def to_tokens(rows: Sequence[Row], tokenizer: PreTrainedTokenizerFast) -> list[Tokens]:
    """The same as plain lists."""
    dataset = to_dataset(rows, tokenizer)
    return list(zip(dataset["input_ids"][:], dataset["labels"][:], strict=True))


def without_question(example: Tokens) -> Tokens:
    """The answer alone."""
    tokens, labels = example
    start = sum(label == MASKED for label in labels)
    return tokens[start:], labels[start:]


def train_base(
    rows: Sequence[Row], tokenizer: PreTrainedTokenizerFast, recipe: BaseRecipe, seed: int
) -> LlamaForCausalLM:
    """Train a base model; equal arguments give equal weights, and the global generators are left as they were."""
    model = make_model(tokenizer, recipe, seed)
    examples = to_tokens(rows, tokenizer)
    rng = np.random.default_rng(seed)
    matrices, others = [], []
    for name, parameter in model.named_parameters():
        (matrices if parameter.ndim == 2 and "embed" not in name else others).append(parameter)
    optimizers = [
        torch.optim.Muon(matrices, lr=1.0, weight_decay=0.01, adjust_lr_fn="match_rms_adamw"),
        torch.optim.AdamW(others, lr=1.0, betas=(0.9, 0.95), weight_decay=0.0),
    ]
    num_steps = int(recipe.num_epochs * math.ceil(len(examples) / recipe.batch_size))
    for step, batch in zip(range(num_steps), batches_forever(examples, recipe.batch_size, rng), strict=False):
        decay = 0.5 * (1 + math.cos(math.pi * step / num_steps))
        rate = min(1.0, (step + 1) / recipe.num_warmup_steps) * (recipe.final_share + (1 - recipe.final_share) * decay)
        if rng.random() < recipe.without_question:
            batch = [without_question(example) for example in batch]
        losses, counts = token_losses(model, batch)
        (losses.sum() / counts.sum()).backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        for optimizer in optimizers:
            for group in optimizer.param_groups:
                group["lr"] = rate * recipe.learning_rate
            optimizer.step()
            optimizer.zero_grad()
    return model.eval()


def make_model(tokenizer: PreTrainedTokenizerFast, recipe: BaseRecipe, seed: int) -> LlamaForCausalLM:
    """Random weights that depend on the seed alone."""
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=recipe.hidden_size,
        intermediate_size=8 * recipe.hidden_size // 3 // 8 * 8,
        num_hidden_layers=recipe.num_layers,
        num_attention_heads=recipe.num_heads,
        num_key_value_heads=recipe.num_heads,
        max_position_embeddings=512,
        initializer_range=0.04,
        tie_word_embeddings=True,
        pad_token_id=tokenizer.pad_token_id,
        eos_token_id=tokenizer.eos_token_id,
        bos_token_id=None,
    )
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)
        return LlamaForCausalLM(config)


def batches_forever(examples: Sequence[Tokens], size: int, rng: np.random.Generator) -> Iterator[list[Tokens]]:
    """Epoch after epoch in random order, batches of similar length."""
    while True:
        order = rng.permutation(len(examples))
        batches = []
        for start in range(0, len(order), 16 * size):
            near = sorted(order[start : start + 16 * size], key=lambda i: len(examples[i][0]))
            batches += [near[i : i + size] for i in range(0, len(near), size)]
        for i in rng.permutation(len(batches)):
            yield [examples[j] for j in batches[i]]


def token_losses(model: LlamaForCausalLM, batch: Sequence[Tokens]) -> tuple[Tensor, Tensor]:
    """Sum over the label tokens of the negative log-likelihood, and their number, a row each."""
    tokens = pad_sequence([torch.tensor(ids) for ids, _ in batch], batch_first=True, padding_value=0)
    labels = pad_sequence([torch.tensor(labels) for _, labels in batch], batch_first=True, padding_value=MASKED)
    # Padding is on the right, where a causal model does not look from any labelled position.
    hidden = model.model(input_ids=tokens).last_hidden_state[:, :-1]
    targets = labels[:, 1:]
    mask = targets != MASKED
    losses = torch.nn.functional.cross_entropy(model.lm_head(hidden[mask]), targets[mask], reduction="none")
    row = mask.nonzero()[:, 0]
    return torch.zeros(len(batch)).index_add(0, row, losses), mask.sum(dim=1)


@torch.no_grad()
def answer_losses(model: LlamaForCausalLM, examples: Sequence[Tokens], batch_size: int = 64) -> np.ndarray:
    """Mean negative log-likelihood of each example's label tokens and their number, float64 [2, n]."""
    found = np.zeros((2, len(examples)))
    order = sorted(range(len(examples)), key=lambda i: len(examples[i][0]))
    for start in range(0, len(order), batch_size):
        rows = order[start : start + batch_size]
        losses, counts = token_losses(model, [examples[i] for i in rows])
        found[0, rows], found[1, rows] = (losses / counts).numpy(), counts.numpy()
    return found


def apply_adapter(model: LlamaForCausalLM, adapter: Adapter) -> LlamaForCausalLM:
    """A twin of the model with the adapter in it; the model stays as it was."""
    wrapped = get_peft_model(lend(model), make_config(adapter))
    write_adapter(wrapped, adapter)
    return wrapped.get_base_model().eval()


def load_or_train(world: World, path: Path) -> tuple[LlamaForCausalLM, PreTrainedTokenizerFast]:
    """A world's base model and its tokenizer from the folder `path`; trained and put there first if it is not."""
    if not (path / "done").exists():
        recipe = RECIPES[world.name]
        words = [word for pool in world.pools.values() for row in pool for word in (row.prompt, row.completion)]
        tokenizer = make_tokenizer(world.pretraining, recipe.vocab_size, words)
        model = train_base(world.pretraining, tokenizer, recipe, BASE_SEED)
        model.save_pretrained(path)
        tokenizer.save_pretrained(path)
        (path / "done").touch()
    return LlamaForCausalLM.from_pretrained(path).eval(), PreTrainedTokenizerFast.from_pretrained(path)
