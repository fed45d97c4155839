"""The options of `hf-datasel push`, as far as they are looked at before anything is sent."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from hf_datasel import Embeddings, Selection, Trace, Valuation
from hf_datasel.cli.recorded import load_recorded
from hf_datasel.storage import write_json


@pytest.fixture(autouse=True)
def token(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hf_datasel.hub.access.get_token", lambda: "hf_x")


@pytest.fixture
def data(tmp_path: Path) -> Path:
    path = tmp_path / "data.jsonl"
    path.write_text("".join(f'{{"text": "row {row}"}}\n' for row in range(40)))
    return path


@pytest.fixture
def selection_path(tmp_path: Path) -> Path:
    Selection(candidate_ids=np.arange(40), kept=np.arange(40) < 4).save(tmp_path / "selection")
    return tmp_path / "selection"


def test_what_is_needed(failing: Callable[..., str], selection_path: Path) -> None:
    assert failing(2, "push") == "the following arguments are required: --repo_id"
    line = ("push", "--repo_id", "me/set", "--selection_path", selection_path)
    assert failing(2, *line) == "the following arguments are required: --dataset"
    assert "did you mean --repo_id" in failing(2, "push", "--repo_ids", "me/set")


def test_what_is_not_there(failing: Callable[..., str], data: Path, selection_path: Path, tmp_path: Path) -> None:
    line = ("push", "--repo_id", "me/set", "--dataset", data, "--selection_path")
    assert "No Selection at" in failing(1, *line, tmp_path / "none")
    assert "no recipe at" in failing(1, *line, selection_path, "--recipe", tmp_path / "none.yaml")
    assert "No trace at" in failing(1, *line, selection_path, "--trace_dir", tmp_path / "none")
    assert str(tmp_path / "none") in failing(1, *line, selection_path, "--report_dir", tmp_path / "none")


def test_without_a_token(
    failing: Callable[..., str], data: Path, selection_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("hf_datasel.hub.access.get_token", lambda: None)
    line = ("push", "--repo_id", "me/set", "--dataset", data, "--selection_path", selection_path)
    assert "`hf auth login`" in failing(1, *line)


def test_what_was_recorded_is_read_as_what_it_is(tmp_path: Path) -> None:
    trace = Trace.create(tmp_path / "trace", [1, 2])
    trace.write_column(np.zeros(2, np.float32), step=1, learning_rate=0.1)
    trace.finish()
    Embeddings.from_arrays([1, 2], [[0.0], [1.0]], embedder={}).save(tmp_path / "embeddings")
    gradients = Trace.create(tmp_path / "gradients", [1, 2], metric="influence")
    gradients.write_column(np.ones(2, np.float32), step=1, learning_rate=0.5)
    gradients.finish()
    Valuation.from_trace(gradients).save(tmp_path / "valuation")
    kinds = {"trace": Trace, "embeddings": Embeddings, "valuation": Valuation}
    for name, kind in kinds.items():
        assert type(load_recorded(str(tmp_path / name))) is kind
    by_shed = Selection(
        candidate_ids=np.arange(2), kept=np.ones(2, bool), provenance=({"selector": "shed"},)
    )  # fmt: skip
    assert type(load_recorded(str(tmp_path / "gradients"), by_shed)) is Valuation
    Selection(candidate_ids=np.arange(2), kept=np.ones(2, bool)).save(tmp_path / "selection")
    with pytest.raises(ValueError, match=r"holds 'hf_datasel.selection', which is neither a trace"):
        load_recorded(str(tmp_path / "selection"))
    (tmp_path / "odd").mkdir()
    write_json(tmp_path / "odd" / "manifest.json", {})
    with pytest.raises(ValueError, match=r"holds None"):
        load_recorded(str(tmp_path / "odd"))
