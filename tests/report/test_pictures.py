"""Which pictures are drawn from what, and what does not belong together is refused."""

from pathlib import Path

import numpy as np
import pytest
from datasets import Dataset

from hf_datasel import Embeddings, RandomSelector, Selection, Trace, add_example_ids, make_pictures
from hf_datasel.report import Picture
from hf_datasel.report import pictures as module
from hf_datasel.report.figure import short_name
from tests.report.conftest import RESULTS, World, read_csv


def stems(pictures: list[Picture]) -> list[str]:
    for picture in pictures:
        assert picture.path.read_bytes().startswith(b"\x89PNG")
        assert picture.data == picture.path.with_suffix(".csv")
        assert read_csv(picture.data)
        assert picture.title
        assert picture.alt.endswith(".")
    return [picture.path.stem for picture in pictures]


def test_what_is_given_decides_which_are_drawn(world: World, tmp_path: Path) -> None:
    assert make_pictures(world.s2l, tmp_path / "none") == []
    assert stems(make_pictures(world.shed, tmp_path)) == ["scores"]
    everything = make_pictures(
        world.s2l, tmp_path, dataset=world.dataset, evidence=world.losses, results=RESULTS, group_columns=["skill"]
    )
    assert stems(everything) == ["trajectory_clusters", "metric_by_budget", "map", "lengths", "groups_skill"]
    assert all(row["content"].startswith("skill ") for row in read_csv(everything[0].data))
    assert "loss trajectories" in everything[2].title
    by_embeddings = make_pictures(world.s2l, tmp_path, evidence=world.embeddings)
    assert stems(by_embeddings) == ["map"]
    assert "embeddings" in by_embeddings[0].title
    random = RandomSelector(budget=10).select(world.dataset)
    assert stems(make_pictures(random, tmp_path, dataset=world.dataset)) == ["lengths"]


def test_lengths_are_tokens_where_a_trace_counted_them_else_characters(world: World, tmp_path: Path) -> None:
    kept = set(world.s2l.ids.tolist())

    def lengths(name: str, **given: object) -> tuple[Picture, list[int]]:
        [picture] = [one for one in make_pictures(world.s2l, tmp_path / name, **given) if one.path.stem == "lengths"]
        return picture, [int(row["rows_after"]) for row in read_csv(picture.data) if int(row["rows_after"])]

    tokens, counted = lengths("tokens", evidence=world.influence, dataset=world.dataset)
    assert "tokens with a label" in tokens.alt
    numbers = world.influence.companion("num_labels").values[:, 0]
    assert f"the median of all is {np.median(numbers):,.4g}" in tokens.alt
    assert sum(counted) == len(kept)
    characters, _ = lengths("characters", dataset=world.dataset)
    assert "characters of prompt and completion" in characters.alt
    told = {row["example_id"]: len(row["prompt"]) + len(row["completion"]) for row in world.dataset}
    assert f"of the kept ones {np.median([told[example] for example in kept]):,.4g}." in characters.alt


def test_lengths_of_large_sets_are_sampled(world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "LENGTH_SAMPLE", 70)
    numbers = [
        read_csv(make_pictures(world.s2l, tmp_path, dataset=world.dataset, seed=seed)[0].data) for seed in (0, 0, 1)
    ]
    assert numbers[0] == numbers[1] != numbers[2]
    assert sum(int(row["rows_before"]) for row in numbers[0]) == 70
    assert sum(int(row["rows_after"]) for row in numbers[0]) == 60


def test_a_dataset_without_ids_or_in_another_order_gives_the_same(world: World, tmp_path: Path) -> None:
    def counts(name: str, dataset: Dataset) -> list[dict[str, str]]:
        given = {"dataset": dataset, "group_columns": ["skill"]}
        return [row for one in make_pictures(world.s2l, tmp_path / name, **given) for row in read_csv(one.data)]

    expected = counts("one", world.dataset)
    assert counts("two", world.dataset.remove_columns("example_id")) == expected
    assert counts("three", world.dataset.shuffle(seed=1)) == expected


def test_what_does_not_belong_together_is_refused(world: World, tmp_path: Path) -> None:
    def refused(message: str, error: type[Exception] = ValueError, selection: Selection = world.s2l, **given: object):
        with pytest.raises(error, match=message):
            make_pictures(selection, tmp_path / "out", **given)

    nothing = Selection(candidate_ids=np.arange(4), kept=np.zeros(4, bool))
    refused("kept none of its 4 candidates.*larger budget", selection=nothing)
    other = add_example_ids(Dataset.from_dict({"prompt": ["a"] * 300, "completion": ["b"] * 300}))
    refused("This Selection belongs to another dataset", dataset=other)
    unstamped = Selection(candidate_ids=world.s2l.candidate_ids, kept=world.s2l.kept)
    some = Dataset.from_dict({"text": ["a", "b"]})
    refused("example 2, which this dataset does not have.*not what was kept", selection=unstamped, dataset=some)
    refused("no rows", dataset=Dataset.from_dict({"text": []}))
    refused("a stream", TypeError, dataset=world.dataset.to_iterable_dataset())
    refused("splits", TypeError, dataset={"train": world.dataset})
    few = Trace.from_arrays([0, 1], [[1.0], [2.0]])
    refused("The Trace passed as evidence does not have example 2", evidence=few)
    strange = Embeddings.from_arrays([0, 1], [[1.0], [2.0]], embedder={})
    refused("The Embeddings passed as embeddings does not have example 2", embeddings=strange)
    refused("must be of Trace, Valuation, Embeddings, not dict", TypeError, evidence={})
    refused("no column 'skil' to group by, only", dataset=world.dataset, group_columns=["skil"])
    refused("'skill' without the dataset", group_columns=["skill"])
    nested = world.dataset.add_column("tags", [["a"]] * 300)
    nested.info.description = ""
    refused("'tags' cannot group rows", selection=unstamped, dataset=nested, group_columns=["tags"])
    assert not (tmp_path / "out").exists()


def test_odd_column_names_and_labels_can_be_drawn(tmp_path: Path) -> None:
    odd = ["W" * 60, "$a_{$", "数据 \U0001f600", "a\nb\u202e\x00", ""]
    dataset = Dataset.from_dict({"text": ["x"] * 5, "$../a b数": odd, "a b": odd, "A_b": odd})
    selection = Selection(candidate_ids=np.arange(5), kept=np.arange(5) < 2)
    pictures = make_pictures(selection, tmp_path, dataset=dataset, group_columns=["$../a b数", "a b", "A_b"])
    assert stems(pictures) == ["lengths", "groups_____a_b_", "groups_a_b", "groups_A_b_2"]
    assert {row["group"] for row in read_csv(pictures[1].data)} == set(odd)
    assert short_name("") == "(empty)"


@pytest.mark.parametrize("num_rows", [1, 3])
def test_the_smallest_selections_and_those_that_keep_everything_can_be_drawn(num_rows: int, tmp_path: Path) -> None:
    ids = np.arange(num_rows)
    equal = Trace.from_arrays(ids, np.ones((num_rows, 2)))
    selection = Selection(
        candidate_ids=ids,
        kept=np.ones(num_rows, bool),
        scores=np.ones(num_rows, np.float32),
        clusters=np.zeros(num_rows, np.int32),
    )
    dataset = Dataset.from_dict({"text": [""] * num_rows, "source": [None] * num_rows})
    drawn = stems(make_pictures(selection, tmp_path, dataset=dataset, evidence=equal, group_columns=["source"]))
    assert drawn == ["trajectory_clusters", "scores", "map", "lengths", "groups_source"]
