"""Selection: immutable, written whole, and applied to nothing but the dataset it was made from."""

import json

import numpy as np
import pytest
from datasets import Dataset, DatasetDict, IterableDataset
from hypothesis import given, settings
from hypothesis import strategies as st

from hf_datasel.data import add_example_ids, dataset_fingerprint
from hf_datasel.fingerprint import DatasetFingerprint
from hf_datasel.selection import ARRAYS, Selection

CANDIDATES = np.array([1, 4, 6, 9])
KEPT = np.array([True, False, True, False])


@pytest.fixture
def selection():
    return Selection(
        candidate_ids=CANDIDATES,
        kept=KEPT,
        scores=np.float32([0.5, np.nan, -1, 2]),
        clusters=np.int32([0, -1, 3, 3]),
        fingerprint=DatasetFingerprint("ab" * 16, 10, ("prompt",)),
        provenance=({"selector": "s2l", "config": {"budget": 0.5}, "stratum_names": ["code", "math"]},),
        strata=np.int32([1, 0, 0, 1]),
    )


@pytest.fixture
def dataset():
    return add_example_ids(Dataset.from_dict({"prompt": [f"question {i}" for i in range(10)]}))


def made_for(dataset, ids=(1, 6)):
    kept = np.isin(CANDIDATES, ids)
    return Selection(candidate_ids=CANDIDATES, kept=kept, fingerprint=dataset_fingerprint(dataset))


def test_it_knows_its_kept_ids(selection):
    assert selection.ids.tolist() == [1, 6]
    assert selection.ids.dtype == np.int64
    assert len(selection) == 2


def test_it_cannot_be_changed(selection):
    with pytest.raises(AttributeError):
        selection.kept = KEPT
    for name in ARRAYS:
        with pytest.raises(ValueError, match="read-only"):
            getattr(selection, name)[0] = 0


@pytest.mark.parametrize(
    "arrays",
    [
        {"candidate_ids": np.int32([1, 4, 6, 9])},
        {"candidate_ids": np.array([1, 4, 4, 9])},
        {"candidate_ids": np.array([4, 1, 6, 9])},
        {"kept": KEPT[:3]},
        {"kept": KEPT.astype(int)},
        {"scores": np.ones(4)},
        {"clusters": np.int32([1])},
        {"strata": np.array([0, 0, 0, 0])},
        {"strata": np.int32([0, 1, 0, 2])},
        {"strata": np.int32([0, 1, 0, -1])},
    ],
)
def test_arrays_that_do_not_fit_are_named(arrays):
    with pytest.raises(ValueError, match=f"Selection.{next(iter(arrays))}"):
        Selection(
            **{"candidate_ids": CANDIDATES, "kept": KEPT, "provenance": ({"stratum_names": ["a", "b"]},), **arrays}
        )


class TestOnDisk:
    @given(
        ids=st.lists(st.integers(0, 2**62), max_size=20, unique=True).map(sorted), data=st.data(), scored=st.booleans()
    )
    @settings(deadline=None, max_examples=30)
    def test_what_is_saved_is_what_is_loaded(self, tmp_path_factory, ids, data, scored):
        kept = data.draw(st.lists(st.booleans(), min_size=len(ids), max_size=len(ids)))
        scores = np.arange(len(ids), dtype=np.float32) if scored else None
        provenance = ({"selector": "random", "note": "é", "counts": [1, 2]}, {"selector": "s2l"})
        saved = Selection(
            candidate_ids=np.array(ids, np.int64), kept=np.array(kept, bool), scores=scores, provenance=provenance
        )
        path = tmp_path_factory.mktemp("selections") / "selection"
        saved.save(path)
        loaded = Selection.load(path)
        assert loaded.candidate_ids.tolist() == ids
        assert loaded.kept.tolist() == kept
        assert (loaded.scores is None) == (not scored)
        assert (loaded.clusters, loaded.fingerprint, loaded.provenance) == (None, None, provenance)

    def test_everything_survives(self, selection, tmp_path):
        selection.save(tmp_path / "chosen")
        loaded = Selection.load(tmp_path / "chosen")
        for name in ARRAYS:
            np.testing.assert_array_equal(getattr(loaded, name), getattr(selection, name))
            assert getattr(loaded, name).dtype == getattr(selection, name).dtype
        assert (loaded.fingerprint, loaded.provenance) == (selection.fingerprint, selection.provenance)
        assert loaded.stratum_names == ("code", "math")
        assert [path.name for path in tmp_path.iterdir()] == ["chosen"]

    def test_one_without_strata_is_written_as_it_was_before_there_were_any(self, dataset, tmp_path):
        made_for(dataset).save(tmp_path / "chosen")
        assert sorted(path.name for path in (tmp_path / "chosen").iterdir()) == [
            "candidate_ids.npy",
            "kept.npy",
            "manifest.json",
        ]
        loaded = Selection.load(tmp_path / "chosen")
        assert (loaded.strata, loaded.stratum_names) == (None, ())

    def test_a_taken_path_is_replaced_only_when_asked_and_only_if_a_selection(self, selection, tmp_path, dataset):
        selection.save(tmp_path / "chosen")
        with pytest.raises(FileExistsError, match="overwrite=True"):
            selection.save(tmp_path / "chosen")
        made_for(dataset, ids=(9,)).save(tmp_path / "chosen", overwrite=True)
        assert Selection.load(tmp_path / "chosen").ids.tolist() == [9]
        (tmp_path / "file").write_text("mine")
        with pytest.raises(FileExistsError, match="holds no Selection"):
            selection.save(tmp_path / "file", overwrite=True)

    def test_an_empty_directory_is_used(self, selection, tmp_path):
        selection.save(tmp_path)
        assert len(Selection.load(tmp_path)) == 2

    @pytest.mark.parametrize("name", ARRAYS)
    def test_a_file_that_was_cut_off_or_is_gone_is_named(self, selection, tmp_path, name):
        selection.save(tmp_path / "chosen")
        file = tmp_path / "chosen" / f"{name}.npy"
        file.write_bytes(file.read_bytes()[:-1])
        with pytest.raises(ValueError, match=rf"{name}.npy is cut off"):
            Selection.load(tmp_path / "chosen")
        file.unlink()
        with pytest.raises(ValueError, match=rf"{name}.npy is missing"):
            Selection.load(tmp_path / "chosen")

    def test_another_number_of_kept_rows_is_noticed(self, selection, tmp_path):
        selection.save(tmp_path / "chosen")
        np.save(tmp_path / "chosen" / "kept.npy", ~KEPT & (CANDIDATES > 4))
        with pytest.raises(ValueError, match=r"kept.npy keeps 1 rows, but 2 were kept"):
            Selection.load(tmp_path / "chosen")

    def test_a_damaged_manifest_is_named(self, selection, tmp_path):
        selection.save(tmp_path)
        manifest = json.loads((tmp_path / "manifest.json").read_text())
        del manifest["arrays"]
        (tmp_path / "manifest.json").write_text(json.dumps(manifest))
        with pytest.raises(ValueError, match=r"manifest.json is damaged \(KeyError\('arrays'\)\)"):
            Selection.load(tmp_path)

    def test_nothing_there_is_said_so(self, tmp_path):
        with pytest.raises(FileNotFoundError, match="No Selection at"):
            Selection.load(tmp_path / "nowhere")


class TestApply:
    def test_kept_rows_come_in_the_order_of_the_dataset(self, dataset):
        applied = made_for(dataset).apply(dataset)
        assert applied["prompt"][:] == ["question 1", "question 6"]
        shuffled = dataset.shuffle(seed=1)
        expected = [row["example_id"] for row in shuffled if row["example_id"] in (1, 6)]
        assert made_for(dataset).apply(shuffled)["example_id"][:] == expected

    def test_other_columns_and_the_stamp_stay(self, dataset):
        applied = made_for(dataset).apply(dataset)
        assert applied.column_names == dataset.column_names
        assert dataset_fingerprint(applied) == dataset_fingerprint(dataset)

    def test_rows_that_were_not_kept_may_be_gone_but_kept_ones_may_not(self, dataset):
        fewer = dataset.filter(lambda row: row["example_id"] != 3)
        assert len(made_for(dataset).apply(fewer)) == 2
        with pytest.raises(ValueError, match="keeps example 6, which this dataset does not have"):
            made_for(dataset).apply(dataset.filter(lambda row: row["example_id"] != 6))

    def test_another_dataset_is_refused_where_both_are_known(self, dataset):
        other = add_example_ids(Dataset.from_dict({"prompt": [f"other {i}" for i in range(10)]}))
        with pytest.raises(ValueError, match="This Selection belongs to another dataset"):
            made_for(dataset).apply(other)
        unstamped = Dataset.from_dict({"prompt": ["a"] * 10, "example_id": list(range(10))})
        assert len(made_for(dataset).apply(unstamped)) == 2

    def test_a_dataset_without_ids_is_refused_with_the_way_out(self, dataset):
        with pytest.raises(ValueError, match=r"no column 'example_id'.*add_example_ids"):
            made_for(dataset).apply(dataset.remove_columns("example_id"))
        with pytest.raises(ValueError, match=r"no column 'example_id'.*add_example_ids"):
            made_for(dataset).apply(dataset.remove_columns("example_id").to_iterable_dataset())

    def test_an_id_twice_is_named(self, dataset):
        twice = dataset.select([0, 1, 2, 1])
        with pytest.raises(ValueError, match="rows 1 and 3 have the same example id 1"):
            made_for(dataset).apply(twice)

    def test_a_dictionary_of_splits_is_refused(self, dataset):
        with pytest.raises(TypeError, match=r"dataset\['train'\]"):
            made_for(dataset).apply(DatasetDict(train=dataset))

    def test_what_is_no_dataset_is_refused(self, dataset):
        with pytest.raises(TypeError, match="not list"):
            made_for(dataset).apply([{"example_id": 1}])

    @pytest.mark.parametrize("known_columns", [True, False])
    def test_a_stream_is_filtered_as_it_flows(self, dataset, known_columns):
        stream = dataset.to_iterable_dataset()
        if not known_columns:
            stream = IterableDataset.from_generator(lambda: iter(dataset.to_list()))
            assert stream.column_names is None
        applied = made_for(dataset).apply(stream)
        assert [row["prompt"] for row in applied] == ["question 1", "question 6"]
