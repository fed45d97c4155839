"""A killed run goes on where it was, a second one embeds nothing, and a damaged block is never used."""

import logging
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from hf_datasel import BagEmbedder, embed
from hf_datasel.training.embedding import Passage, run
from hf_datasel.training.embedding.cache import passages_digest
from tests.training.embedding.encoders import rows_of
from tests.training.embedding.recorder import RecordingEmbedder

WRITTEN = [f"{row:02d}" + "x" * (row % 5) for row in range(11)]
BLOCK_ROWS = 3


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run, "BLOCK_ROWS", BLOCK_ROWS)


def vectors(cache: Path | None, embedder: RecordingEmbedder | None = None, written: list[str] = WRITTEN) -> np.ndarray:
    return embed(rows_of(written), embedder or RecordingEmbedder(), batch_size=2, cache_dir=cache).vectors


def test_a_second_run_embeds_nothing(tmp_path: Path) -> None:
    first, second = RecordingEmbedder(), RecordingEmbedder()
    expected = vectors(None)
    np.testing.assert_array_equal(vectors(tmp_path, first), expected)
    np.testing.assert_array_equal(vectors(tmp_path, second), expected)
    assert first.seen == WRITTEN
    assert second.batches == []


@pytest.mark.parametrize("fail_after", [0, 1, 2, 3, 5, 6])
def test_a_killed_run_goes_on(tmp_path: Path, fail_after: int) -> None:
    killed, resumed = RecordingEmbedder(fail_after=fail_after), RecordingEmbedder()
    with pytest.raises(KeyboardInterrupt):
        vectors(tmp_path, killed)
    np.testing.assert_array_equal(vectors(tmp_path, resumed), vectors(None))
    whole_blocks = WRITTEN[: fail_after // 2 * BLOCK_ROWS]  # two batches a block
    assert resumed.seen == sorted(set(WRITTEN) - set(whole_blocks))


def test_the_order_of_rows_does_not_matter(tmp_path: Path) -> None:
    vectors(tmp_path)
    again = RecordingEmbedder()
    embed(rows_of(WRITTEN).shuffle(seed=1), again, batch_size=4, cache_dir=tmp_path)
    assert again.batches == []


def test_only_what_changed_is_embedded_again(tmp_path: Path) -> None:
    vectors(tmp_path)
    changed, embedder = [*WRITTEN[:4], "other", *WRITTEN[5:]], RecordingEmbedder()
    np.testing.assert_array_equal(vectors(tmp_path, embedder, changed), vectors(None, written=changed))
    assert embedder.seen == sorted(changed[3:6])


def test_another_embedder_has_vectors_of_its_own(tmp_path: Path) -> None:
    vectors(tmp_path)
    other = RecordingEmbedder(hash="1")
    vectors(tmp_path, other)
    assert other.seen == WRITTEN
    options = [{"seed": 1}, {"seed": 2}, {"seed": 1, "normalize": False}, {"seed": 1, "dimension": 3}]
    for given in options:
        embed(rows_of(WRITTEN), BagEmbedder(**{"dimension": 4, "num_buckets": 64, **given}), cache_dir=tmp_path)
    assert len(list(tmp_path.iterdir())) == 2 + len(options)


def flip_a_bit(path: Path) -> None:
    content = bytearray(path.with_suffix(".npy").read_bytes())
    content[-1] ^= 1
    path.with_suffix(".npy").write_bytes(content)


def cut_off(path: Path) -> None:
    path.with_suffix(".npy").write_bytes(path.with_suffix(".npy").read_bytes()[:-4])


DAMAGES: dict[str, Callable[[Path], object]] = {
    "flip": flip_a_bit,
    "cut": cut_off,
    "gone": lambda path: path.with_suffix(".npy").unlink(),
    "no json": lambda path: path.write_text("{"),
    "no checksum": lambda path: path.write_text("{}"),
    "other shape": lambda path: np.save(path.with_suffix(".npy"), np.zeros((2, 2), np.float32)),
}


@pytest.mark.parametrize("damage", list(DAMAGES))
def test_a_damaged_block_is_made_again_and_reported(
    tmp_path: Path, damage: str, caplog: pytest.LogCaptureFixture
) -> None:
    expected = vectors(tmp_path)
    (folder,) = tmp_path.iterdir()
    DAMAGES[damage](min(folder.glob("*.json")))
    with caplog.at_level(logging.WARNING):
        once, twice = RecordingEmbedder(), RecordingEmbedder()
        np.testing.assert_array_equal(vectors(tmp_path, once), expected)
        np.testing.assert_array_equal(vectors(tmp_path, twice), expected)
    assert 0 < len(once.seen) <= BLOCK_ROWS
    assert twice.batches == []
    (message,) = [record.getMessage() for record in caplog.records]
    assert message.startswith(f"The cache is damaged, so {len(once.seen)} examples are embedded again.")
    assert str(folder) in message


def test_vectors_without_their_checksum_do_not_exist(tmp_path: Path) -> None:
    vectors(tmp_path)
    (folder,) = tmp_path.iterdir()
    min(folder.glob("*.json")).unlink()
    again = RecordingEmbedder()
    np.testing.assert_array_equal(vectors(tmp_path, again), vectors(None))
    assert 0 < len(again.seen) <= BLOCK_ROWS


def test_a_vector_that_is_not_finite_is_not_kept(tmp_path: Path) -> None:
    class Broken(RecordingEmbedder):
        def embed(self, passages):
            return super().embed(passages) * np.float32(np.nan)

    with pytest.raises(ValueError, match="not finite"):
        vectors(tmp_path, Broken())
    assert list(tmp_path.rglob("*.json")) == []


def test_whatever_is_read_is_in_the_digest() -> None:
    tokens, all_of_them = np.array([3, 5, 5]), np.ones(3, dtype=bool)
    ways = [
        [Passage(tokens, all_of_them)],
        [Passage(tokens[::-1], all_of_them)],
        [Passage(tokens, tokens == 5)],
        [Passage(tokens, all_of_them, text="a")],
        [Passage(tokens[:1], all_of_them[:1]), Passage(tokens[1:], all_of_them[1:])],
        [Passage(tokens[:2], all_of_them[:2]), Passage(tokens[2:], all_of_them[2:])],
    ]
    assert len({passages_digest(passages) for passages in ways}) == len(ways)
    assert passages_digest(ways[0]) == passages_digest([Passage(tokens.astype(np.int32), all_of_them, num_cut=2)])
