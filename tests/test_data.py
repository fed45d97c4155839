"""Example ids, fingerprints, strata and annotations on real datasets."""

import numpy as np
import pytest
from datasets import (
    ClassLabel,
    Dataset,
    DatasetDict,
    Features,
    IterableDataset,
    Value,
    concatenate_datasets,
    load_dataset,
)

from hf_datasel import (
    DatasetFingerprint,
    RandomSelector,
    Selection,
    add_example_ids,
    annotate,
    dataset_fingerprint,
    rows,
    strata,
)
from hf_datasel.example_ids import stamped_fingerprint


@pytest.fixture
def plain():
    return Dataset.from_dict({"prompt": [f"question {i}" for i in range(12)], "source": ["a", "b", "a"] * 4})


@pytest.fixture
def dataset(plain):
    return add_example_ids(plain)


def with_ids(ids, kind="int64"):
    features = Features({"text": Value("string"), "example_id": Value(kind)})
    return Dataset.from_dict({"text": [str(i) for i in range(len(ids))], "example_id": ids}, features=features)


class TestAddExampleIds:
    def test_rows_are_numbered_in_their_order(self, dataset):
        assert dataset["example_id"][:] == list(range(12))
        assert dataset.features["example_id"] == Value("int64")

    def test_the_dataset_given_is_left_as_it_was(self, plain):
        plain.info.description = "Mine."
        added = add_example_ids(plain)
        assert plain.column_names == ["prompt", "source"]
        assert plain.info.description == "Mine."
        assert added.info.description.startswith("Mine.\n\nhf_datasel source: ")
        own = with_ids([3, 1, 2])
        add_example_ids(own)
        assert own.info.description == ""

    def test_twice_is_as_good_as_once(self, dataset):
        assert add_example_ids(dataset) is dataset

    def test_ids_that_are_there_stay_and_are_stamped(self):
        added = add_example_ids(with_ids([30, 10, 20]))
        assert added["example_id"][:] == [30, 10, 20]
        assert stamped_fingerprint(added).num_rows == 3

    def test_ids_and_stamp_survive_what_is_done_to_a_dataset(self, dataset, tmp_path):
        done = (
            dataset.shuffle(seed=0).filter(lambda row: row["source"] == "a").map(lambda row: {"n": len(row["prompt"])})
        )
        done = done.select(range(5)).train_test_split(test_size=2, seed=0)["train"]
        done.save_to_disk(tmp_path / "saved")
        loaded = Dataset.load_from_disk(str(tmp_path / "saved"))
        assert stamped_fingerprint(loaded) == stamped_fingerprint(dataset)
        assert all(row["prompt"] == f"question {row['example_id']}" for row in loaded)
        assert add_example_ids(loaded)["example_id"][:] == loaded["example_id"][:]

    def test_an_indexed_dataset_is_numbered_as_it_stands(self, plain):
        added = add_example_ids(plain.shuffle(seed=3))
        assert added["example_id"][:] == list(range(12))

    def test_concatenated_sources_are_refused_and_can_be_numbered_anew(self, dataset):
        other = add_example_ids(Dataset.from_dict({"prompt": ["x", "y"], "source": ["c", "c"]}))
        both = concatenate_datasets([dataset, other])
        assert stamped_fingerprint(both) is None
        with pytest.raises(ValueError, match="rows 0 and 12 have the same example id 0"):
            add_example_ids(both)
        anew = add_example_ids(both.remove_columns("example_id"))
        assert stamped_fingerprint(anew).num_rows == 14
        assert anew.info.description.count("hf_datasel source") == 1

    @pytest.mark.parametrize(
        ("ids", "kind", "message"),
        [
            ([1, None, 2], "int64", "Row 1 has no example id"),
            ([1, 2, 1], "int64", "rows 0 and 2 have the same example id 1"),
            ([1, -2], "int64", "row 1 has the negative example id -2"),
            ([1, 2], "int32", r"of int32, not of int64.*cast_column"),
            (["1", "2"], "string", "of string, not of int64"),
            ([1.0, 2.0], "float64", "of double, not of int64"),
        ],
    )
    def test_a_bad_column_is_refused_by_row(self, ids, kind, message):
        with pytest.raises(ValueError, match=message):
            add_example_ids(with_ids(ids, kind))

    def test_an_empty_dataset_is_refused(self, plain):
        with pytest.raises(ValueError, match="no rows"):
            add_example_ids(plain.select([]))

    def test_a_dictionary_of_splits_is_refused_with_the_way_out(self, plain):
        with pytest.raises(TypeError, match=r"dataset\['train'\]"):
            add_example_ids(DatasetDict(train=plain))

    def test_what_is_no_dataset_is_refused(self):
        with pytest.raises(TypeError, match="not list"):
            add_example_ids([{"text": "a"}])

    @pytest.mark.parametrize("known_columns", [True, False])
    def test_a_stream_is_numbered_as_it_flows_and_not_stamped(self, plain, known_columns):
        stream = plain.to_iterable_dataset()
        if not known_columns:
            stream = IterableDataset.from_generator(lambda: iter(plain.to_list()))
        numbered = add_example_ids(stream)
        assert [row["example_id"] for row in numbered] == list(range(12))
        assert stamped_fingerprint(numbered) is None

    def test_a_stream_keeps_the_ids_it_has(self, dataset):
        stream = dataset.shuffle(seed=1).to_iterable_dataset()
        assert add_example_ids(stream) is stream
        with pytest.raises(ValueError, match="of int32"):
            add_example_ids(with_ids([1, 2], "int32").to_iterable_dataset())
        unknown = add_example_ids(IterableDataset.from_generator(lambda: iter(dataset.to_list())))
        with pytest.raises(ValueError, match="row 0 of the stream already has an 'example_id'"):
            next(iter(unknown))

    def test_a_stream_of_several_shards_is_refused(self, plain):
        with pytest.raises(ValueError, match="3 shards, and each worker would number its own from 0"):
            add_example_ids(plain.to_iterable_dataset(num_shards=3))


class TestFingerprint:
    def test_the_order_of_rows_and_columns_does_not_matter(self, plain, dataset):
        shuffled = dataset.shuffle(seed=7)
        shuffled.info.description = ""
        assert dataset_fingerprint(shuffled) == dataset_fingerprint(dataset)
        turned = add_example_ids(plain.select_columns(["source", "prompt"]))
        assert dataset_fingerprint(turned) == dataset_fingerprint(dataset)

    @pytest.mark.parametrize(
        "changed",
        [
            {"prompt": ["question 0!"] + [f"question {i}" for i in range(1, 12)], "source": ["a", "b", "a"] * 4},
            {"prompt": [f"question {i}" for i in range(12)], "origin": ["a", "b", "a"] * 4},
            {"prompt": [f"question {i}" for i in range(12)]},
            {"prompt": [f"question {i}" for i in range(11)], "source": ["a", "b", "a"] * 3 + ["a", "b"]},
        ],
    )
    def test_other_content_has_another(self, dataset, changed):
        other = dataset_fingerprint(add_example_ids(Dataset.from_dict(changed)))
        assert other.digest != dataset_fingerprint(dataset).digest

    def test_other_ids_have_another(self):
        first, second = (add_example_ids(with_ids(ids)) for ids in ([0, 1, 2], [0, 1, 3]))
        assert dataset_fingerprint(first) != dataset_fingerprint(second)

    def test_the_stamp_of_the_source_stays_with_a_part_of_it(self, dataset):
        assert dataset_fingerprint(dataset.select([3, 4])) == dataset_fingerprint(dataset)

    def test_a_file_format_does_not_matter(self, dataset, tmp_path):
        dataset.to_parquet(str(tmp_path / "data.parquet"))
        dataset.to_json(str(tmp_path / "data.jsonl"))
        for kind, name in (("parquet", "data.parquet"), ("json", "data.jsonl")):
            files = str(tmp_path / name)
            loaded = load_dataset(kind, data_files=files, split="train", cache_dir=str(tmp_path / "cache"))
            assert dataset_fingerprint(loaded) == dataset_fingerprint(dataset)

    def test_a_stream_without_a_stamp_is_refused(self, plain):
        with pytest.raises(TypeError, match="not known before it has flowed by"):
            dataset_fingerprint(plain.to_iterable_dataset())

    def test_it_survives_json_and_a_description(self, dataset):
        fingerprint = dataset_fingerprint(dataset)
        assert DatasetFingerprint.from_dict(fingerprint.to_dict()) == fingerprint
        description = fingerprint.stamp_into("Words.\n" + fingerprint.stamp())
        assert description == f"Words.\n\n{fingerprint.stamp()}"
        assert "\n" not in fingerprint.stamp()
        assert DatasetFingerprint.from_stamp(None) is None

    def test_another_dataset_is_described(self, dataset):
        other = DatasetFingerprint("cd" * 16, 3, ("text",))
        with pytest.raises(ValueError, match=r"My trace belongs to another dataset: .*3 rows with columns \['text'\]"):
            dataset_fingerprint(dataset).require_same(other, "My trace")


def test_rows_are_the_ids_in_order_and_the_stamp(dataset):
    evidence = rows(dataset.shuffle(seed=0))
    assert evidence.ids.tolist() == list(range(12))
    assert evidence.fingerprint == dataset_fingerprint(dataset)


class TestStrata:
    def test_labels_go_with_their_ids(self, dataset):
        made = strata(dataset.shuffle(seed=0), "source")
        codes, names = made.codes(np.arange(12))
        assert names == ("a", "b")
        assert codes.tolist() == [0, 1, 0] * 4

    def test_class_labels_become_their_names_and_numbers_strings(self):
        features = Features({"kind": ClassLabel(names=["math", "code"]), "level": Value("int32")})
        dataset = add_example_ids(Dataset.from_dict({"kind": [1, 0], "level": [5, 6]}, features=features))
        assert list(strata(dataset, "kind").labels) == ["code", "math"]
        assert list(strata(dataset, "level").labels) == ["5", "6"]

    def test_a_missing_label_or_column_is_named(self):
        dataset = add_example_ids(Dataset.from_dict({"source": ["a", None]}))
        with pytest.raises(ValueError, match=r"Row 1 \(example 1\) has no label in column 'source'"):
            strata(dataset, "source")
        with pytest.raises(ValueError, match="no column 'origin'"):
            strata(dataset, "origin")


class TestAnnotate:
    def test_every_row_gets_what_the_selection_says_of_it(self, dataset):
        selection = Selection(
            candidate_ids=np.array([1, 4, 6]),
            kept=np.array([True, False, True]),
            scores=np.float32([0.5, 1.5, 2.5]),
            clusters=np.int32([7, 8, 9]),
        )
        shuffled = dataset.shuffle(seed=2)
        noted = annotate(shuffled, selection, prefix="s2l")
        assert noted["prompt"][:] == shuffled["prompt"][:]
        by_id = {row["example_id"]: row for row in noted}
        assert {i: row["s2l_kept"] for i, row in by_id.items()} == {i: i in (1, 6) for i in range(12)}
        assert [by_id[i]["s2l_score"] for i in (1, 4, 6)] == [0.5, 1.5, 2.5]
        assert [by_id[i]["s2l_cluster"] for i in (0, 1, 4, 6)] == [-1, 7, 8, 9]
        assert np.isnan(by_id[0]["s2l_score"])
        assert stamped_fingerprint(noted) == stamped_fingerprint(dataset)

    def test_what_the_selection_does_not_say_is_not_added(self, dataset):
        noted = annotate(dataset, RandomSelector(budget=3).select(dataset))
        assert noted.column_names == [*dataset.column_names, "selection_kept"]
        assert sum(noted["selection_kept"]) == 3

    def test_a_taken_name_is_refused(self, dataset):
        selection = RandomSelector(budget=3).select(dataset)
        with pytest.raises(ValueError, match=r"already has a column 'selection_kept'. Choose another prefix"):
            annotate(annotate(dataset, selection), selection)

    def test_another_dataset_and_streams_are_refused(self, dataset):
        other = add_example_ids(Dataset.from_dict({"prompt": ["x"]}))
        with pytest.raises(ValueError, match="belongs to another dataset"):
            annotate(dataset, RandomSelector(budget=1).select(other))
        with pytest.raises(TypeError, match="for a stream"):
            annotate(dataset.to_iterable_dataset(), RandomSelector(budget=1).select(dataset))
