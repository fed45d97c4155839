"""Tokenizer and models of the quickstart, made on the spot: nothing is downloaded.

The tokenizer is trained on the corpus and reads one word a token. Proxy and target are Llamas of well under a million
parameters, built from a config; the proxy is the smaller one, as in S2L.
"""

from collections.abc import Iterable
from typing import Any

import torch
from datasets import Dataset
from tokenizers import Tokenizer, pre_tokenizers
from tokenizers.models import WordLevel
from tokenizers.trainers import WordLevelTrainer
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from hf_datasel.quickstart.plan import ModelSize

PAD, EOS, UNKNOWN = "<pad>", "<eos>", "<unk>"
MASKED = -100  # label of a token that is no part of the completion


def train_tokenizer(texts: Iterable[str]) -> PreTrainedTokenizerFast:
    """A word-level tokenizer of every word in `texts`; the vocabulary is the same for the same words.

    Example:
        >>> tokenizer = train_tokenizer(["copy a b =", "sort b a ="])
        >>> tokenizer.decode(tokenizer("sort a b =")["input_ids"])
        'sort a b ='
    """
    words = Tokenizer(WordLevel(unk_token=UNKNOWN))
    words.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    distinct = sorted({word for text in texts for word in text.split()})  # one count each: order by word alone
    words.train_from_iterator(distinct, WordLevelTrainer(special_tokens=[PAD, EOS, UNKNOWN], show_progress=False))
    return PreTrainedTokenizerFast(
        tokenizer_object=words,
        pad_token=PAD,
        eos_token=EOS,
        unk_token=UNKNOWN,
        padding_side="left",  # for generation; SFTTrainer pads on the right whatever stands here
        clean_up_tokenization_spaces=False,
    )


def tokenize(dataset: Dataset, tokenizer: PreTrainedTokenizerFast) -> Dataset:
    """Columns `input_ids` and `labels` in place of `prompt` and `completion`, just as SFTTrainer would make them.

    Done once for twenty trainings. Labels are -100 on the prompt; the completion ends with the end-of-text token.
    """
    prompts = tokenizer(list(dataset["prompt"]))["input_ids"]
    completions = tokenizer([text + EOS for text in dataset["completion"]])["input_ids"]
    columns: dict[str, Any] = {
        "input_ids": [prompt + completion for prompt, completion in zip(prompts, completions, strict=True)],
        "labels": [
            [MASKED] * len(prompt) + completion for prompt, completion in zip(prompts, completions, strict=True)
        ],
    }
    if "example_id" in dataset.column_names:
        columns["example_id"] = dataset["example_id"]
    return Dataset.from_dict(columns)


def make_model(size: ModelSize, tokenizer: PreTrainedTokenizerFast, *, seed: int) -> LlamaForCausalLM:
    """A Llama with random weights that depend on `seed` alone; the global generators are left as they were."""
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=size.hidden_size,
        intermediate_size=2 * size.hidden_size,
        num_hidden_layers=size.num_layers,
        num_attention_heads=size.num_heads,
        num_key_value_heads=size.num_heads,
        max_position_embeddings=64,
        tie_word_embeddings=True,
        pad_token_id=tokenizer.pad_token_id,
        eos_token_id=tokenizer.eos_token_id,
        bos_token_id=None,
    )
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)
        return LlamaForCausalLM(config)
