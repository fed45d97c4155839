"""Companions: Traces that belong to a Trace, each whole by itself."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hf_datasel.fingerprint import DatasetFingerprint
from hf_datasel.trace import Trace

IDS = np.array([2, 3, 5, 8])
FINGERPRINT = DatasetFingerprint("ab" * 16, 9, ("prompt",))


@pytest.fixture(params=["on disk", "in memory"])
def trace(request, tmp_path):
    if request.param == "in memory":
        return Trace.from_arrays(IDS, np.ones((4, 2)), metric="influence", fingerprint=FINGERPRINT)
    made = Trace.create(tmp_path / "trace", IDS, metric="influence", mode="in_run", fingerprint=FINGERPRINT)
    for step in (1, 2):
        made.write_column(np.ones(4), step=step)
    made.finish()
    return made


def recorded(trace, name, num_columns=2, **options):
    companion = trace.create_companion(name, **{"metric": name, **options})
    for step in range(1, num_columns + 1):
        companion.write_column(companion.ids + step, step=step)
    companion.finish()
    return companion


def test_a_companion_is_a_trace_of_the_same_examples_and_mode_unless_told_otherwise(trace):
    assert trace.companions == ()
    recorded(trace, "loss", num_checkpoints=2, info={"unit": "nats"})
    recorded(trace, "anchors", ids=[0, 1, 2], metric="influence")
    assert trace.companions == ("anchors", "loss")
    loss, anchors = trace.companion("loss"), trace.companion("anchors")
    assert loss.values.tolist() == [[3, 4], [4, 5], [6, 7], [9, 10]]
    assert (loss.metric, loss.mode, loss.num_planned, loss.info) == ("loss", trace.mode, 2, {"unit": "nats"})
    assert (loss.fingerprint, anchors.fingerprint) == (FINGERPRINT, None)
    assert (anchors.ids.tolist(), anchors.mode) == ([0, 1, 2], trace.mode)
    assert trace.values.tolist() == [[1, 1]] * 4


def test_companions_have_companions(trace):
    anchors = recorded(trace, "anchors", ids=[0, 1], metric="influence")
    recorded(anchors, "loss")
    assert trace.companion("anchors").companion("loss").ids.tolist() == [0, 1]
    assert (trace.companions, trace.companion("anchors").companions) == (("anchors",), ("loss",))


def test_one_that_is_not_there_is_named_with_those_that_are(trace):
    with pytest.raises(ValueError, match="has no companion 'loss', none at all"):
        trace.companion("loss")
    recorded(trace, "cosine")
    recorded(trace, "anchors")
    for ask in (trace.companion, trace.open_companion):
        with pytest.raises(ValueError, match="has no companion 'loss', only 'anchors', 'cosine'"):
            ask("loss")


def test_one_that_is_there_is_opened_to_go_on_and_not_made_again(trace):
    companion = trace.create_companion("loss", metric="loss", num_checkpoints=2)
    companion.write_column(IDS, step=1)
    with pytest.raises(FileExistsError, match=r"already has a companion 'loss': go on with open_companion\('loss'\)"):
        trace.create_companion("loss", metric="loss")
    resumed = trace.open_companion("loss")
    resumed.drop_after(0)
    for step in (1, 2):
        resumed.write_column(IDS * step, step=step)
    resumed.finish()
    assert trace.companion("loss").values.tolist() == [[2, 4], [3, 6], [5, 10], [8, 16]]


@pytest.mark.parametrize("name", ["", "Loss", "../escape", "a b", "loss-2", "_loss", "a/b", "."])
def test_a_bad_name_is_refused(trace, name):
    with pytest.raises(ValueError, match="cannot name a companion"):
        trace.create_companion(name, metric="loss")
    with pytest.raises(ValueError, match="cannot name a companion"):
        Trace.from_arrays(IDS, np.ones((4, 1)), companions={name: trace})
    assert trace.companions == ()


@pytest.mark.parametrize("ids", [[2, 1], [1, 1], [-1], [], [0.5]])
def test_bad_ids_are_refused_and_nothing_is_made(trace, ids):
    with pytest.raises(ValueError, match="ids"):
        trace.create_companion("anchors", ids=ids, metric="influence")
    assert trace.companions == ()


def test_what_is_no_trace_is_no_companion():
    with pytest.raises(TypeError, match="Companion 'loss' must be a Trace, not ndarray"):
        Trace.from_arrays(IDS, np.ones((4, 1)), companions={"loss": np.ones((4, 1))})


@given(data=st.data(), name=st.from_regex(r"\A[a-z0-9]{1,5}(_[a-z0-9]{1,5}){0,2}\Z"))
def test_what_is_written_beside_is_what_is_read_beside(tmp_path_factory, data, name):
    ids = np.array(data.draw(st.lists(st.integers(0, 2**62), min_size=1, max_size=6, unique=True).map(sorted)))
    values = np.array(data.draw(st.lists(st.floats(-9, 9, width=32), min_size=len(ids), max_size=len(ids))))
    on_disk = Trace.create(tmp_path_factory.mktemp("traces") / "trace", [1, 2])
    companion = on_disk.create_companion(name, ids=ids, metric="loss")
    companion.write_column(values, step=7)
    companion.finish()
    held = Trace.from_arrays(
        [2, 1], np.ones((2, 1)), companions={name: Trace.from_arrays(ids[::-1], values[::-1, None])}
    )
    for each in (Trace.load(on_disk.path, partial=True), held):
        assert each.companions == (name,)
        assert each.companion(name).ids.tolist() == ids.tolist()
        np.testing.assert_array_equal(each.companion(name).column(0), values.astype(np.float32))


class TestOnDisk:
    @pytest.fixture
    def trace(self, tmp_path):
        made = Trace.create(tmp_path / "trace", IDS, metric="influence")
        made.write_column(np.ones(4), step=1)
        made.finish()
        return made

    def test_a_trace_is_loaded_though_a_companion_is_not_complete_which_is_refused_by_itself(self, trace):
        trace.create_companion("loss", metric="loss", num_checkpoints=3).write_column(IDS, step=1)
        whole, partial = Trace.load(trace.path), Trace.load(trace.path, partial=True)
        with pytest.raises(ValueError, match=r"companion-loss is incomplete: 1 checkpoints of 3 planned"):
            whole.companion("loss")
        assert partial.companion("loss").num_checkpoints == trace.companion("loss").num_checkpoints == 1

    def test_a_damaged_companion_is_named(self, trace):
        recorded(trace, "loss")
        file = trace.path / "companion-loss" / "columns" / "0000-step1.npy"
        content = bytearray(file.read_bytes())
        content[-1] ^= 1
        file.write_bytes(content)
        with pytest.raises(ValueError, match=r"companion-loss.*0000-step1.npy is damaged"):
            Trace.load(trace.path).companion("loss")

    def test_a_trace_that_is_replaced_takes_its_companions_along(self, trace):
        recorded(trace, "loss")
        assert Trace.create(trace.path, IDS, overwrite=True).companions == ()
        assert sorted(file.name for file in trace.path.iterdir()) == ["columns", "ids.npy", "manifest.json"]

    def test_opening_deletes_what_a_killed_run_was_making_and_loading_does_not(self, trace):
        building = trace.path / ".partial-companion-loss-123-abcd"
        building.mkdir()
        (building / "ids.npy").write_bytes(b"half")
        recorded(trace, "cosine")
        assert Trace.load(trace.path).companions == ("cosine",)
        assert building.exists()
        Trace.open(trace.path)
        assert not building.exists()
        assert Trace.load(trace.path).companions == ("cosine",)

    def test_a_resumed_companion_leaves_the_bytes_of_one_that_never_stopped(self, trace):
        recorded(trace, "whole", num_columns=3, metric="loss")
        recorded(trace, "resumed", metric="loss")
        resumed = trace.open_companion("resumed")
        resumed.drop_after(1)
        for step in (2, 3):
            resumed.write_column(IDS + step, step=step)
        resumed.finish()
        for file in (trace.path / "companion-whole").rglob("*.*"):
            twin = trace.path / "companion-resumed" / file.relative_to(trace.path / "companion-whole")
            assert twin.read_bytes() == file.read_bytes()
