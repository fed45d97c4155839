"""The sweep: every example once, by id, in batches of like lengths; what it refuses, and what it leaves alone."""

import random
from typing import Any

import numpy as np
import pytest
import torch
from datasets import Dataset, DatasetDict
from hypothesis import given, settings
from hypothesis import strategies as st

from hf_datasel import BagEmbedder, add_example_ids, embed
from hf_datasel.training.embedding import Passage, run
from tests.training.embedding.encoders import rows_of, texts
from tests.training.embedding.recorder import RecordingEmbedder, as_passage, vector_of
from tests.training.tiny import make_dataset, tiny_model


@settings(max_examples=40)
@given(
    lengths=st.lists(st.integers(1, 20), min_size=1, max_size=30),
    batch_size=st.integers(1, 12),
    block_rows=st.integers(1, 12),
    seed=st.integers(0, 99),
)
def test_every_example_once_whatever_the_order(
    lengths: list[int], batch_size: int, block_rows: int, seed: int
) -> None:
    written = [f"{row:02d}" + "x" * length for row, length in enumerate(lengths)]
    rows = rows_of(written).shuffle(seed=seed)
    embedder = RecordingEmbedder()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(run, "BLOCK_ROWS", block_rows)
        found = embed(rows, embedder, batch_size=batch_size)
    assert found.ids.tolist() == list(range(len(written)))
    np.testing.assert_array_equal(found.vectors, np.array([vector_of(text) for text in written], np.float32))
    assert embedder.seen == sorted(written)
    assert max(map(len, embedder.batches)) <= batch_size


def test_batches_are_of_about_equal_length() -> None:
    embedder = RecordingEmbedder()
    embed(rows_of(["x" * length for length in (3, 9, 1, 7, 5)]), embedder, batch_size=2)
    assert [list(map(len, batch)) for batch in embedder.batches] == [[9, 7], [5, 3], [1]]


def test_ids_and_source_stay() -> None:
    rows = rows_of(texts(9))
    some = rows.select([7, 2, 4])
    found = embed(some, RecordingEmbedder())
    assert found.ids.tolist() == [2, 4, 7]
    np.testing.assert_array_equal(found.vectors, embed(rows, RecordingEmbedder()).vectors[[2, 4, 7]])
    assert found.fingerprint is not None
    assert found.fingerprint == embed(rows, RecordingEmbedder()).fingerprint
    assert found.embedder == {"name": "recorder", "hash": "0", "text": None}


@pytest.mark.parametrize("kind", ["text", "prompt_completion", "messages"])
def test_trls_formats_become_texts(kind: str) -> None:
    embedder, rows = RecordingEmbedder(), make_dataset(kind, num_rows=3)
    embed(rows, embedder)
    wanted = {
        "text": lambda row: row["text"],
        "prompt_completion": lambda row: row["prompt"] + "\n" + row["completion"],
        "messages": lambda row: "\n".join(message["content"] for message in row["messages"]),
    }
    assert embedder.seen == sorted(map(wanted[kind], rows))


def test_a_column_or_a_function_says_what_the_text_is() -> None:
    rows = make_dataset(num_rows=3)
    by_name, by_function = RecordingEmbedder(), RecordingEmbedder()
    assert embed(rows, by_name, text="prompt").embedder["text"] == "prompt"
    made = embed(rows, by_function, text=lambda row: row["prompt"])
    assert by_name.seen == by_function.seen == sorted(rows["prompt"])
    assert made.embedder["text"].startswith("function test_a_column")


def test_a_format_of_the_dataset_does_not_matter() -> None:
    rows = rows_of(texts(4))
    plain = embed(rows, RecordingEmbedder())
    for kind in ("numpy", "arrow", "torch"):
        np.testing.assert_array_equal(embed(rows.with_format(kind), RecordingEmbedder()).vectors, plain.vectors)


class Restless(RecordingEmbedder):
    """Draws from global generators."""

    def embed(self, passages: Any) -> Any:
        random.random()
        torch.rand(1)
        return super().embed(passages)


def test_random_states_are_left_alone() -> None:
    before = random.getstate(), torch.random.get_rng_state()
    embed(rows_of(texts(3)), Restless())
    assert random.getstate() == before[0]
    assert torch.equal(torch.random.get_rng_state(), before[1])


@pytest.mark.parametrize("written", ["", " \n\t"])
def test_an_empty_text_is_named_before_anything_is_embedded(written: str) -> None:
    rows = rows_of([*texts(3), written, *texts(2)]).select([5, 4, 3, 2, 1, 0])
    embedder = RecordingEmbedder()
    with pytest.raises(ValueError, match=r"text of example 3 is empty.*It was read from 'text'"):
        embed(rows, embedder, batch_size=1)
    assert embedder.batches == []


class NoTokens(RecordingEmbedder):
    def reader(self, dataset: Any, text: Any) -> Any:
        read = super().reader(dataset, text)
        return lambda rows: [
            Passage(passage.tokens, passage.tokens != ord("?"), text=passage.text) for passage in read(rows)
        ]


def test_a_text_without_a_token_is_named() -> None:
    with pytest.raises(ValueError, match="recorder finds no token in the text of example 1: drop the row"):
        embed(rows_of(["a?", "??", "b"]), NoTokens())


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_a_vector_that_is_not_finite_is_named(value: float) -> None:
    class Broken(RecordingEmbedder):
        def embed(self, passages: Any) -> Any:
            vectors = super().embed(passages)
            vectors[[len(passage.text) == 2 for passage in passages], 1] = value
            return vectors

    with pytest.raises(ValueError, match=r"recorder gives example 2 a vector that is not finite.*1 of 3 in its batch"):
        embed(rows_of(["a", "abc", "ab", "abcd", "abcde", "b"]), Broken(), batch_size=3)


@pytest.mark.parametrize(
    "give", [lambda made: made.astype(np.float64), lambda made: made[:-1], lambda made: made[:, :1]]
)
def test_an_embedder_that_gives_something_else_is_named(give: Any) -> None:
    class Wrong(RecordingEmbedder):
        def embed(self, passages: Any) -> Any:
            return give(super().embed(passages))

    with pytest.raises(ValueError, match=r"recorder gave float.* for a batch of 3 passages; float32\[3, 2\] was"):
        embed(rows_of(texts(3)), Wrong())


def without_ids() -> Dataset:
    return Dataset.from_dict({"text": ["a"]})


@pytest.mark.parametrize(
    ("dataset", "options", "error", "message"),
    [
        (without_ids, {}, ValueError, "no column 'example_id'"),
        (lambda: rows_of(["a"]).select([]), {}, ValueError, "the dataset has no rows"),
        (lambda: DatasetDict(train=rows_of(["a"])), {}, TypeError, "works on one dataset"),
        (lambda: rows_of(["a"]).to_iterable_dataset(), {}, TypeError, "embed needs a datasets.Dataset"),
        (lambda: rows_of(["a"]), {"batch_size": 0}, ValueError, "batch_size=0 must be at least 1"),
        (lambda: rows_of(["a"]), {"text": "words"}, ValueError, "has no column 'words'"),
        (lambda: rows_of(["a"]), {"max_length": 4}, ValueError, "are for an embedder given by name"),
        (lambda: rows_of(["a"]), {"device": "cpu"}, ValueError, "are for an embedder given by name"),
        (lambda: add_example_ids(Dataset.from_dict({"text": [None]})), {}, ValueError, "Row 0 .*has no text"),
    ],
)
def test_refused(dataset: Any, options: dict[str, Any], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        embed(dataset(), BagEmbedder(dimension=4), **options)


def test_a_model_is_no_embedder() -> None:
    with pytest.raises(TypeError, match=r"embedder must be the name .*HiddenStateEmbedder.*, not a LlamaForCausalLM"):
        embed(rows_of(["a"]), tiny_model("llama"))


def test_the_made_up_embedder_is_one() -> None:
    np.testing.assert_allclose(RecordingEmbedder().embed([as_passage("ab")]), [[97.5, (97**2 + 98**2) / 2]])
