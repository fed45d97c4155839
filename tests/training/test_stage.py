"""The selection stage before and between the runs: what is refused at once, which weight checkpoint is whole."""

from pathlib import Path

import numpy as np
import pytest

from hf_datasel.selection import Selection
from hf_datasel.training.broadcast import decide_once, from_bytes, to_bytes
from hf_datasel.training.stage import last_checkpoint
from tests.training.selecting import selecting
from tests.training.tiny import tiny_model


def test_a_budget_above_the_rows_is_refused_before_the_proxy_is_trained(tmp_path: Path) -> None:
    trainer = selecting(tmp_path, proxy=tiny_model(seed=3), selection_budget=25)
    with pytest.raises(ValueError, match=r"budget=25 .*24 candidates"):
        trainer.train()
    assert not (tmp_path / "_selection_stage").exists()


def test_the_last_checkpoint_is_the_last_that_was_written_to_its_end(tmp_path: Path) -> None:
    assert last_checkpoint(tmp_path / "missing") is None
    for name, state in {"9": "{}", "10": "{}", "11": '{"epoch": 1.', "12": None, "best": "{}"}.items():
        folder = tmp_path / f"checkpoint-{name}"
        folder.mkdir()
        if state is not None:
            (folder / "trainer_state.json").write_text(state)
    assert last_checkpoint(tmp_path) == str(tmp_path / "checkpoint-10")


def test_a_selection_travels_as_bytes(tmp_path: Path) -> None:
    trainer = selecting(tmp_path, proxy=tiny_model(seed=3), max_steps=4)
    trainer.train()
    sent = trainer.selection
    received = from_bytes(decide_once(trainer.accelerator, lambda: to_bytes(sent), "Selecting"))
    assert received.ids.tolist() == sent.ids.tolist()
    assert received.clusters.tolist() == sent.clusters.tolist()
    assert received.scores is None
    assert received.fingerprint == sent.fingerprint
    assert list(received.provenance) == list(sent.provenance)


def test_strata_travel_with_their_names() -> None:
    sent = Selection(
        candidate_ids=np.arange(3),
        kept=np.array([True, False, True]),
        provenance=({"stratum_names": ["a", "b"]},),
        strata=np.int32([1, 0, 1]),
    )
    received = from_bytes(to_bytes(sent))
    assert (received.strata.tolist(), received.stratum_names) == ([1, 0, 1], ("a", "b"))
