"""Embeddings: whole on disk or not at all, finite, in the order of their ids."""

import json
import mmap

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hf_datasel import DatasetFingerprint, Embeddings
from hf_datasel.trace import Trace

EMBEDDER = {"name": "bag", "hash": "0f3a", "pooling": "mean"}
FINGERPRINT = DatasetFingerprint("0f", 3, ("text",))


def embeddings(num_examples=5, dimension=3, **options):
    vectors = np.random.default_rng(0).normal(size=(num_examples, dimension)).astype(np.float32)
    return Embeddings.from_arrays(np.arange(num_examples) * 2, vectors, embedder=EMBEDDER, **options)


@given(order=st.permutations(range(12)))
@settings(deadline=None, max_examples=20)
def test_rows_go_with_their_ids_in_whatever_order_they_come(order):
    vectors = np.arange(24, dtype=np.float64).reshape(12, 2)
    made = Embeddings.from_arrays([3 * row for row in order], vectors[list(order)], embedder=EMBEDDER)
    assert made.ids.tolist() == list(range(0, 36, 3))
    assert made.vectors.dtype == np.float32
    assert np.array_equal(made.vectors, vectors)


def test_ascending_float32_is_not_copied_and_cannot_be_written():
    vectors = np.ones((2, 4), np.float32)
    made = Embeddings.from_arrays([1, 2], vectors, embedder=EMBEDDER)
    assert np.shares_memory(made.vectors, vectors)
    assert (len(made), made.dimension, repr(made)) == (2, 4, "Embeddings(2 examples x 4 dimensions, by 'bag')")
    with pytest.raises(ValueError, match="read-only"):
        made.vectors[0] = 0


@pytest.mark.parametrize("fingerprint", [None, FINGERPRINT])
def test_they_survive_the_disk_as_a_memory_map(tmp_path, fingerprint):
    made = embeddings(fingerprint=fingerprint)
    made.save(tmp_path / "e")
    loaded = Embeddings.load(tmp_path / "e")
    assert np.array_equal(loaded.ids, made.ids)
    assert np.array_equal(loaded.vectors, made.vectors)
    base = loaded.vectors
    while isinstance(base, np.ndarray):
        base = base.base
    assert isinstance(base, mmap.mmap)
    assert (loaded.embedder, loaded.fingerprint) == (EMBEDDER, fingerprint)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["e"]


def test_only_embeddings_are_replaced_and_only_when_asked(tmp_path):
    embeddings().save(tmp_path / "e")
    with pytest.raises(FileExistsError, match="already holds"):
        embeddings().save(tmp_path / "e")
    embeddings(2).save(tmp_path / "e", overwrite=True)
    assert len(Embeddings.load(tmp_path / "e")) == 2
    Trace.create(tmp_path / "trace", [1])
    with pytest.raises(FileExistsError, match=r"holds a 'hf_datasel.trace', no Embeddings"):
        embeddings().save(tmp_path / "trace", overwrite=True)
    assert Trace.open(tmp_path / "trace").ids.tolist() == [1]


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, 1e39])
def test_a_vector_that_is_not_finite_is_named_by_its_example(value):
    vectors = np.zeros((9, 2))
    vectors[6, 1] = value
    with pytest.raises(ValueError, match="The vector of example 106 is not finite"):
        Embeddings.from_arrays(np.arange(9) + 100, vectors, embedder=EMBEDDER)


def test_looking_for_it_in_blocks_names_the_same_example(monkeypatch):
    monkeypatch.setattr("hf_datasel.embeddings._BLOCK", 4)
    vectors = np.zeros((9, 2))
    vectors[[5, 7], 0] = np.nan
    with pytest.raises(ValueError, match="example 5 is not finite"):
        Embeddings.from_arrays(np.arange(9), vectors, embedder=EMBEDDER)


@pytest.mark.parametrize(
    ("ids", "vectors", "message"),
    [
        ([1, 2], [[1.0]], r"vectors must be \[2, d\]"),
        ([1], [1.0], r"vectors must be \[1, d\]"),
        ([], np.zeros((0, 3)), "of N >= 1 examples"),
        ([1], np.zeros((1, 0)), "of N >= 1 examples"),
        ([4, 4], [[1.0], [2.0]], "same example id 4"),
        ([-1], [[1.0]], "negative example id -1"),
    ],
)
def test_what_does_not_fit_together_is_refused(ids, vectors, message):
    with pytest.raises(ValueError, match=message):
        Embeddings.from_arrays(ids, vectors, embedder=EMBEDDER)


def test_the_constructor_takes_only_what_is_in_order():
    vectors = np.zeros((2, 1), np.float32)
    with pytest.raises(ValueError, match=r"Embeddings.ids must ascend: Embeddings.from_arrays"):
        Embeddings(np.array([2, 1]), vectors)
    with pytest.raises(ValueError, match=r"Embeddings.vectors must be float32\[N, d\]"):
        Embeddings(np.array([1, 2]), vectors.astype(np.float64))
    with pytest.raises(ValueError, match=r"Embeddings.ids must be int64\[N\]"):
        Embeddings(np.array([1, 2], np.int32), vectors)


class TestDamage:
    @pytest.fixture
    def path(self, tmp_path):
        embeddings().save(tmp_path / "e")
        return tmp_path / "e"

    def test_another_byte_is_noticed(self, path):
        content = bytearray((path / "vectors.npy").read_bytes())
        content[-3] ^= 1
        (path / "vectors.npy").write_bytes(content)
        with pytest.raises(ValueError, match=r"vectors.npy is damaged: it is not what was written"):
            Embeddings.load(path)

    def test_a_file_that_is_cut_off_or_gone_is_named(self, path):
        content = (path / "vectors.npy").read_bytes()
        (path / "vectors.npy").write_bytes(content[:-8])
        with pytest.raises(ValueError, match=r"vectors.npy is cut off or damaged"):
            Embeddings.load(path)
        (path / "ids.npy").unlink()
        with pytest.raises(ValueError, match=r"ids.npy is missing"):
            Embeddings.load(path)

    @pytest.mark.parametrize("key", ["arrays", "embedder", "fingerprint"])
    def test_a_manifest_that_lacks_something_is_named(self, path, key):
        manifest = json.loads((path / "manifest.json").read_text())
        del manifest[key]
        (path / "manifest.json").write_text(json.dumps(manifest))
        with pytest.raises(
            ValueError, match=rf"manifest.json is damaged \(KeyError\('{key}'\)\). Make the Embeddings"
        ):
            Embeddings.load(path)

    def test_another_version_is_refused(self, path):
        manifest = json.loads((path / "manifest.json").read_text())
        (path / "manifest.json").write_text(json.dumps({**manifest, "version": 2}))
        with pytest.raises(ValueError, match="has format version 2; this hf_datasel reads version 1"):
            Embeddings.load(path)

    def test_nothing_is_a_file_not_found(self, tmp_path):
        with pytest.raises(FileNotFoundError, match="No Embeddings at"):
            Embeddings.load(tmp_path / "nothing")
