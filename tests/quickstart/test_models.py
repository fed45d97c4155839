"""Tokenizer, tokenised rows and models made on the spot."""

from pathlib import Path

import pytest
import torch
from transformers import PreTrainedTokenizerFast

from hf_datasel import add_example_ids
from hf_datasel.quickstart.corpus import Corpus, make_corpus
from hf_datasel.quickstart.finetune import make_trainer
from hf_datasel.quickstart.models import make_model, tokenize, train_tokenizer
from hf_datasel.quickstart.plan import ModelSize, Recipe

TINY = ModelSize(hidden_size=16, num_layers=1, num_heads=2)


@pytest.fixture(scope="module")
def corpus() -> Corpus:
    return make_corpus(100, num_test_rows=16, num_pretraining_rows=300)


def texts_of(corpus: Corpus) -> list[str]:
    parts = (corpus.train, corpus.pretraining)
    return [text for part in parts for column in ("prompt", "completion") for text in part[column]]


@pytest.fixture(scope="module")
def tokenizer(corpus: Corpus) -> PreTrainedTokenizerFast:
    return train_tokenizer(texts_of(corpus))


def test_vocabulary_depends_on_the_words_alone(tokenizer: PreTrainedTokenizerFast, corpus: Corpus) -> None:
    assert train_tokenizer(texts_of(corpus)[::-1] * 2).get_vocab() == tokenizer.get_vocab()


def test_text_survives_tokenization(tokenizer: PreTrainedTokenizerFast, corpus: Corpus) -> None:
    for row in corpus.test:
        text = row["prompt"] + row["completion"]
        assert tokenizer.decode(tokenizer(text)["input_ids"]) == text
        assert tokenizer.unk_token_id not in tokenizer(text)["input_ids"]


def test_rows_are_tokenised_as_sft_trainer_does_it(
    tokenizer: PreTrainedTokenizerFast, corpus: Corpus, tmp_path: Path
) -> None:
    rows = add_example_ids(corpus.train)
    trainer = make_trainer(
        make_model(TINY, tokenizer, seed=0),
        rows,
        tokenizer,
        Recipe(num_steps=1, batch_size=2, learning_rate=1e-3),
        seed=0,
        output_dir=tmp_path,
        on_step=lambda: None,
    )
    mine, theirs = tokenize(rows, tokenizer), trainer.train_dataset
    for column in ("input_ids", "labels", "example_id"):
        assert mine[column][:] == theirs[column][:]


def test_weights_depend_on_the_seed_and_leave_the_global_generator_alone(tokenizer: PreTrainedTokenizerFast) -> None:
    before = torch.get_rng_state()
    first, again, other = (make_model(TINY, tokenizer, seed=seed).state_dict() for seed in (0, 0, 1))
    assert torch.equal(torch.get_rng_state(), before)
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert not all(torch.equal(first[name], other[name]) for name in first)
