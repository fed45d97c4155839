"""Two processes share the work, and both end with what one has."""

import json
import logging
from pathlib import Path

import numpy as np
import pytest
import torch

from hf_datasel import Embeddings
from tests.training.embedding import two_processes
from tests.training.embedding.encoders import TOLERANCE, save_encoder, texts
from tests.training.launching import launch


def texts_in(path: Path) -> list[str]:
    return [text for line in path.read_text().splitlines() for text in json.loads(line)] if path.exists() else []


def test_two_processes_share_the_work(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    two, one = tmp_path / "two", tmp_path / "one"
    for folder in (two, one):
        save_encoder(folder / "encoder")
    ended = launch(two_processes.__file__, two)
    assert ended.returncode == 0, ended.stderr
    stderr = ended.stderr
    torch.set_num_threads(1)
    monkeypatch.setattr(two_processes.run, "BLOCK_ROWS", two_processes.BLOCK_ROWS)
    with caplog.at_level(logging.WARNING):
        two_processes.record(one, 0)

    for name in ("encoder", "hidden_states", "one_block", "first", "second"):
        alone = Embeddings.load(one / "rank0" / name)
        for rank in ("rank0", "rank1"):
            found = Embeddings.load(two / rank / name)
            assert found.ids.tolist() == alone.ids.tolist()
            assert found.embedder == {**alone.embedder, "name": found.embedder["name"]}
            # Batches are the same, so only what a matmul does with the machine's threads could differ.
            np.testing.assert_allclose(found.vectors, alone.vectors, rtol=TOLERANCE, atol=TOLERANCE)
        assert np.ptp(alone.vectors, axis=0).max() > 1000 * TOLERANCE

    shares = [texts_in(two / f"rank{rank}" / "first.log") for rank in (0, 1)]
    assert sorted(shares[0] + shares[1]) == sorted(texts(two_processes.NUM_ROWS, high=40))
    assert [len(share) for share in shares] == [12, 11]
    assert not any((two / f"rank{rank}" / "second.log").exists() for rank in (0, 1))
    (message,) = {record.getMessage() for record in caplog.records if "longer than" in record.getMessage()}
    assert stderr.count("longer than the 40 tokens") == 1, "by one process, for both"
    assert message.split(" examples")[0] in stderr
