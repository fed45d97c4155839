"""What is published, before it is sent: rows, scores, shards, manifest; features survive, and sizes are bounded."""

import io
import itertools
import json
import wave
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from datasets import Array2D, Audio, ClassLabel, Dataset, Features, Image, List, Value, load_dataset
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image as Pillow

from hf_datasel import Embeddings, RandomSelector, Selection, Trace, add_example_ids
from hf_datasel.content import row_digests
from hf_datasel.hub import tables
from hf_datasel.hub.build import write_content
from hf_datasel.hub.head import Head
from hf_datasel.hub.shards import ROW_GROUP_BYTES, write_shards
from hf_datasel.report.material import gather_material
from tests.hub.pushing import clustered_selection, random_selection, scored_selection, source, trace


def written(folder: Path, dataset: Any, selection: Selection, evidence: Any = None, max_bytes: int = 1 << 30) -> Any:
    material = gather_material(selection, dataset, evidence)
    return write_content(folder, material, source=None, pictures=(), recipe="a: 1\n", max_bytes=max_bytes)


def loaded(folder: Path, files: dict[str, Path], config: str) -> Dataset:
    paths = [str(path) for name, path in sorted(files.items()) if name.startswith(f"{config}/")]
    return load_dataset("parquet", data_files=paths, split="train", cache_dir=str(folder / "cache"))


def bytes_of(files: dict[str, Path]) -> dict[str, bytes]:
    return {name: path.read_bytes() for name, path in files.items()}


def test_images_and_audio_are_published_with_their_content(tmp_path: Path) -> None:
    colours, sounds = [], []
    for number in range(6):
        colours.append(str(tmp_path / f"{number}.png"))
        Pillow.new("RGB", (2, 2), (number, 0, 0)).save(colours[-1])
        sounds.append(str(tmp_path / f"{number}.wav"))
        with wave.open(sounds[-1], "wb") as sound:
            sound.setparams((1, 2, 8000, 0, "NONE", ""))
            sound.writeframes(bytes([number, 0]) * 8)
    columns = {"image": colours, "sound": sounds, "pair": [[one, colours[0]] for one in colours]}
    features = Features({"image": Image(), "sound": Audio(), "pair": List(Image())})
    rows = add_example_ids(Dataset.from_dict(columns).cast(features))
    selection = Selection(candidate_ids=np.arange(6), kept=np.arange(6) % 2 == 1)
    content = written(tmp_path / "repo", rows, selection)
    for path in (*colours, *sounds):
        Path(path).unlink()
    back = loaded(tmp_path, content.files, "data")
    assert back.features == {**features, "example_id": Value("int64")}
    raw = back.cast_column("sound", Audio(decode=False))
    assert [row["image"].getpixel((0, 0))[0] for row in raw] == [1, 3, 5]
    assert [row["pair"][1].getpixel((0, 0))[0] for row in raw] == [0, 0, 0]
    assert [row["sound"]["path"] for row in raw] == ["1.wav", "3.wav", "5.wav"]
    with wave.open(io.BytesIO(raw[1]["sound"]["bytes"])) as sound:
        assert sound.readframes(1) == bytes([3, 0])
    # what is published has the content hashes that are published for it
    scores = loaded(tmp_path, content.files, "scores")
    hashes = row_digests(back, tables.hashed_columns(content.manifest["columns"]))
    assert scores.filter(lambda row: row["kept"])["content_hash"][:] == hashes.tolist()
    assert content.examples == [{"example_id": 1}, {"example_id": 3}, {"example_id": 5}]


def test_features_and_values_come_back(tmp_path: Path) -> None:
    features = Features(
        {
            "label": ClassLabel(names=["no", "yes"]),
            "matrix": Array2D((2, 2), "float32"),
            "messages": List({"role": Value("string"), "content": Value("large_string")}),
            "when": Value("timestamp[s]"),
            "days": List(Value("date64")),
            "raw": Value("binary"),
        }
    )
    columns = {
        "label": [0, 1, None, 1],
        "matrix": [[[row, 1.0], [2.0, 3.0]] for row in range(4)],
        "messages": [[{"role": "user", "content": "ü" * row}] * row for row in range(4)],
        "when": [0, 1, 2, None],
        "days": [[None]] * 4,
        "raw": [b"", b"\\0", None, b"x"],
    }
    rows = add_example_ids(Dataset.from_dict(columns, features=features)).shuffle(seed=1)
    selection = RandomSelector(budget=3).select(rows)
    content = written(tmp_path / "repo", rows, selection)
    back = loaded(tmp_path, content.files, "data")
    as_stored = {"when": Value("timestamp[ms]"), "days": List(Value("date32"))}
    assert back.features == {**rows.features, **as_stored}
    assert back.to_dict() == selection.apply(rows).to_dict()
    scores = loaded(tmp_path, content.files, "scores")
    hashes = row_digests(back, tables.hashed_columns(content.manifest["columns"]))
    assert (
        dict(zip(back["example_id"], hashes.tolist(), strict=True)).items()
        <= dict(zip(scores["example_id"], scores["content_hash"], strict=True)).items()
    )


def test_scores_of_clusters_and_of_strata(tmp_path: Path) -> None:
    rows = source()
    clustered = clustered_selection(rows)
    table = pa.concat_tables(tables.scores_tables(rows, clustered, lambda _: None))
    assert table["cluster"].to_pylist() == clustered.clusters.tolist()
    assert "score" not in table.column_names
    scored = scored_selection(rows)
    shuffled = rows.shuffle(seed=3)
    of_shuffled = pa.concat_tables(tables.scores_tables(shuffled, scored, lambda _: None))
    assert of_shuffled == pa.concat_tables(tables.scores_tables(rows, scored, lambda _: None))
    assert of_shuffled["score"].null_count == of_shuffled["stratum"].null_count == 3


@settings(max_examples=25)
@given(
    num_rows=st.integers(1, 40),
    first_rows=st.integers(1, 9),
    batch_bytes=st.integers(1, 2000),
    seed=st.integers(0, 5),
    max_bytes=st.integers(1, 3000),
    data=st.data(),
)
def test_batches_and_shards_are_the_rows_whatever_their_sizes(
    tmp_path_factory: pytest.TempPathFactory, num_rows: int, first_rows: int, batch_bytes: int, seed: int,
    max_bytes: int, data: st.DataObject,
) -> None:  # fmt: skip
    rows = add_example_ids(Dataset.from_dict({"text": [f"{row}" * (row % 7) for row in range(num_rows)]}))
    rows = rows.shuffle(seed=seed)
    kept = np.array(data.draw(st.lists(st.booleans(), min_size=num_rows, max_size=num_rows).filter(any)))
    selection = Selection(candidate_ids=np.arange(num_rows), kept=kept)
    seen: list[int] = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tables, "FIRST_ROWS", first_rows)
        patch.setattr(tables, "BATCH_BYTES", batch_bytes)
        stream = tables.selected_tables(rows, selection, seen.append)
        schema = rows.features.arrow_schema
        paths = write_shards(stream, schema, tmp_path_factory.mktemp("repo"), "data/selected", max_bytes)
    assert sum(seen) == kept.sum()
    count = len(paths)
    assert list(paths) == [f"data/selected-{number:05d}-of-{count:05d}.parquet" for number in range(count)]
    shards = [pq.read_table(path) for path in paths.values()]
    assert pa.concat_tables(shards).to_pylist() == selection.apply(rows).to_list()
    expected, start, singly = selection.apply(rows).with_format("arrow"), 0, []
    for shard in shards:
        assert shard.num_rows == 1 or expected[start : start + shard.num_rows].nbytes <= max_bytes
        singly.append(sum(expected[row : row + 1].nbytes for row in range(start, start + shard.num_rows)))
        start += shard.num_rows
    # two that follow each other would not have fitted into one
    assert all(sum(pair) > max_bytes for pair in itertools.pairwise(singly))


def test_a_row_group_is_bounded_and_one_table_is_held_at_a_time(tmp_path: Path, monkeypatch: Any) -> None:
    assert ROW_GROUP_BYTES < 1 << 26
    monkeypatch.setattr("hf_datasel.hub.shards.ROW_GROUP_BYTES", 1000)
    taken = 0

    def stream() -> Any:
        nonlocal taken
        for _ in range(30):
            taken += 1
            yield pa.table({"x": np.arange(50)})

    paths = write_shards(stream(), pa.schema([("x", pa.int64())]), tmp_path, "data/x", 5000)
    groups = [pq.ParquetFile(path).metadata for path in paths.values()]
    assert taken == 30
    assert len(groups) == 3
    assert all(one.row_group(number).num_rows <= 125 for one in groups for number in range(one.num_row_groups))


def test_equal_content_is_equal_bytes(tmp_path: Path) -> None:
    rows = source()
    first, second = (
        written(tmp_path / name, rows, clustered_selection(rows), trace(rows), 400) for name in ("first", "second")
    )
    assert len(first.files) > 6
    assert bytes_of(first.files) == bytes_of(second.files)


def test_the_manifest_says_what_the_evidence_says(tmp_path: Path) -> None:
    rows = source()
    selection = random_selection(rows)
    info = {"model": "tiny/llama", "model_type": "llama", "tokenizer": None, "seed": 1, "hub_token": "hf_secret"}
    recorded = Trace.create(tmp_path / "trace", range(40), info=info)
    recorded.write_column(np.zeros(40, np.float32), step=1, learning_rate=0.1)
    recorded.finish()
    told = written(tmp_path / "of trace", rows, selection, recorded).manifest
    assert told["models"] == [{"model": "tiny/llama", "model_type": "llama"}]
    assert (told["method"], told["seed"], told["embedder"]) == ("random", 0, None)
    assert told["columns"] == ["text", "kind", "example_id"]
    assert "hf_secret" not in json.dumps(told)
    embeddings = Embeddings.from_arrays(range(40), np.eye(40), embedder={"name": "mine", "hash": "0f", "api_key": "x"})
    told = written(tmp_path / "of embeddings", rows, selection, embeddings).manifest
    assert (told["models"], told["embedder"]) == ([], {"name": "mine", "hash": "0f"})


def test_what_is_left_over_of_a_push_never_is_somebody_elses() -> None:
    names = ["data/selected-00001-of-00002.parquet", "assets/a.png", "assets/mine.png", "other/x", "README.md"]
    manifest = {"files": {names[0]: {}, "other/x": {}}, "assets": ["assets/a.png", "README.md", 7]}
    head = Head("0" * 40, private=False, files=dict.fromkeys(names), card=None, manifest=manifest)
    assert head.left_over([]) == ["assets/a.png", "data/selected-00001-of-00002.parquet"]
    assert head.left_over(["assets/a.png"]) == ["data/selected-00001-of-00002.parquet"]
    strange = Head("0" * 40, private=False, files=dict.fromkeys(names), card=None, manifest={"files": 3, "assets": 4})
    assert strange.left_over([]) == ["data/selected-00001-of-00002.parquet"]
