"""Trace: what is written is what is read, and what is not there is not made up."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hf_datasel.fingerprint import DatasetFingerprint
from hf_datasel.trace import Trace

IDS = np.array([2, 3, 5, 8])
FINGERPRINT = DatasetFingerprint("ab" * 16, 9, ("prompt",))
NAN = math.nan


@pytest.fixture
def path(tmp_path):
    return tmp_path / "trace"


def recorded(path, num_columns=3, **options):
    trace = Trace.create(path, IDS, **options)
    for t in range(num_columns):
        trace.write_column(column(t), step=10 * (t + 1), epoch=t / 2, learning_rate=1e-3 / (t + 1))
    trace.finish()
    return trace


def column(t):
    return np.float32([1.5, 2.5, 3.5, 4.5]) + np.float32(t)


@given(
    ids=st.lists(st.integers(0, 2**62), min_size=1, max_size=12, unique=True).map(sorted),
    num_columns=st.integers(1, 5),
    data=st.data(),
)
@settings(deadline=None, max_examples=40)
def test_what_is_written_is_what_is_read(tmp_path_factory, ids, num_columns, data):
    number = st.floats(width=32, allow_infinity=False, allow_nan=True)
    columns = [data.draw(st.lists(number, min_size=len(ids), max_size=len(ids))) for _ in range(num_columns)]
    path = tmp_path_factory.mktemp("traces") / "trace"
    trace = Trace.create(path, ids, num_checkpoints=num_columns)
    for step, values in enumerate(columns):
        trace.write_column(values, step=step)
    trace.finish()
    table = np.array(columns, np.float32).T
    for each in (trace, Trace.load(path), Trace.from_arrays(ids[::-1], table[::-1])):
        assert each.ids.tolist() == ids
        np.testing.assert_array_equal(each.values, table)
        start, stop = sorted(data.draw(st.tuples(st.integers(0, len(ids)), st.integers(0, len(ids)))))
        np.testing.assert_array_equal(each.rows(start, stop), table[start:stop])
        positions = np.array(data.draw(st.lists(st.integers(0, len(ids) - 1), max_size=5)), np.int64)
        np.testing.assert_array_equal(each.take(positions), table[positions])
        np.testing.assert_array_equal(each.column(num_columns - 1), table[:, -1])


def test_everything_noted_survives_the_disk(path):
    info = {"model": "tiny", "numbers": [1, 2]}
    recorded(path, metric="influence", mode="in_run", fingerprint=FINGERPRINT, num_checkpoints=3, info=info)
    trace = Trace.load(path)
    assert (trace.metric, trace.mode, trace.fingerprint, trace.info) == ("influence", "in_run", FINGERPRINT, info)
    assert (trace.num_examples, trace.num_checkpoints, trace.num_planned, trace.complete) == (4, 3, 3, True)
    assert trace.steps.tolist() == [10, 20, 30]
    assert trace.epochs.tolist() == [0.0, 0.5, 1.0]
    assert trace.learning_rates.tolist() == [1e-3, 1e-3 / 2, 1e-3 / 3]
    assert (trace.steps.dtype, trace.values.dtype, trace.ids.dtype) == (np.int64, np.float32, np.int64)
    assert "4 examples x 3 checkpoints, complete" in repr(trace)


def test_epoch_and_learning_rate_are_nan_where_unknown(path):
    Trace.create(path, IDS).write_column(column(0), step=1)
    trace = Trace.load(path, partial=True)
    assert np.isnan([trace.epochs[0], trace.learning_rates[0]]).all()


def test_the_same_run_writes_the_same_bytes(tmp_path):
    contents = []
    for name in ("first", "second"):
        recorded(tmp_path / name, fingerprint=FINGERPRINT, info={"b": 1, "a": 2})
        files = sorted((tmp_path / name).rglob("*.*"))
        contents.append([(file.name, file.read_bytes()) for file in files])
    assert contents[0] == contents[1]


class TestIncomplete:
    def test_a_run_that_did_not_finish_is_refused_with_the_way_out(self, path):
        trace = Trace.create(path, IDS, num_checkpoints=3)
        trace.write_column(column(0), step=10)
        with pytest.raises(
            ValueError, match=r"1 checkpoints of 3 planned, and the run that records it did not finish"
        ):
            Trace.load(path)
        with pytest.raises(ValueError, match=r"resume_from_checkpoint=True.*partial=True"):
            Trace.load(path)
        assert Trace.load(path, partial=True).num_checkpoints == 1

    def test_a_run_that_ended_early_is_refused_too(self, path):
        recorded(path, num_columns=2, num_checkpoints=3)
        with pytest.raises(ValueError, match=r"2 checkpoints of 3 planned.*ended early"):
            Trace.load(path)

    def test_a_finished_trace_takes_no_more_columns_until_it_is_reopened(self, path):
        trace = recorded(path)
        with pytest.raises(RuntimeError, match="is finished"):
            trace.write_column(column(3), step=40)
        trace.drop_after(30)
        trace.write_column(column(3), step=40)
        assert not Trace.load(path, partial=True).complete

    @pytest.mark.parametrize(("step", "kept"), [(0, []), (10, [10]), (19, [10]), (20, [10, 20]), (99, [10, 20, 30])])
    def test_drop_after_removes_later_columns(self, path, step, kept):
        trace = recorded(path)
        trace.drop_after(step)
        assert trace.steps.tolist() == kept
        assert Trace.load(path, partial=True).steps.tolist() == kept
        assert len(list((path / "columns").iterdir())) == 2 * len(kept)

    def test_a_resumed_run_leaves_the_bytes_of_one_that_never_stopped(self, tmp_path):
        recorded(tmp_path / "whole")
        recorded(tmp_path / "resumed")
        trace = Trace.open(tmp_path / "resumed")
        trace.drop_after(15)
        for t in (1, 2):
            trace.write_column(column(t), step=10 * (t + 1), epoch=t / 2, learning_rate=1e-3 / (t + 1))
        trace.finish()
        for file in (tmp_path / "whole").rglob("*.*"):
            assert (tmp_path / "resumed" / file.relative_to(tmp_path / "whole")).read_bytes() == file.read_bytes()


class TestUnmeasured:
    def test_marked_rows_are_kept_apart_on_disk_and_in_memory(self, path):
        trace = Trace.create(path, IDS)
        trace.mark_unmeasurable([5], "every label is masked")
        trace.write_column([1.0, 2.0, NAN, 4.0], step=1)
        trace.mark_unmeasurable([5, 5], "asked again")
        trace.finish()
        for each in (trace, Trace.load(path)):
            assert {reason: ids.tolist() for reason, ids in each.unmeasurable.items()} == {
                "every label is masked": [5]
            }
            assert each.selectable.tolist() == [0, 1, 3]
            each.require_measured()

    def test_one_reason_may_be_given_in_several_calls(self, path):
        trace = Trace.create(path, IDS)
        trace.mark_unmeasurable([8], "masked")
        trace.mark_unmeasurable([2], "too long")
        trace.mark_unmeasurable([3, 8], "masked")
        marked = Trace.open(path).unmeasurable
        assert {reason: ids.tolist() for reason, ids in marked.items()} == {"masked": [3, 8], "too long": [2]}
        assert trace.marked_ids().tolist() == [2, 3, 8]

    def test_an_unmeasured_value_is_refused_by_id_and_step(self):
        trace = Trace.from_arrays(IDS, [[1, 1], [1, NAN], [1, 1], [NAN, 1]], steps=[10, 20])
        with pytest.raises(ValueError, match="loss of example 8 was not measured at step 10"):
            trace.require_measured()
        with pytest.raises(ValueError, match="loss of example 3 was not measured at step 20"):
            trace.require_measured(np.array([0, 1, 2]))
        trace.require_measured(np.array([0, 2]))

    def test_an_unmeasured_value_hides_behind_no_marked_one(self, path):
        trace = Trace.create(path, IDS)
        trace.write_column([1.0, NAN, NAN, 4.0], step=1)
        trace.mark_unmeasurable([5], "masked")
        with pytest.raises(ValueError, match="example 3 was not measured"):
            trace.require_measured()

    def test_nothing_recorded_is_refused(self, path):
        with pytest.raises(ValueError, match="no checkpoint yet"):
            Trace.create(path, IDS).require_measured()

    def test_a_value_and_a_mark_exclude_each_other(self, path):
        trace = Trace.create(path, IDS)
        trace.mark_unmeasurable([5], "masked")
        with pytest.raises(ValueError, match=r"Example 5 has a loss at step 1, but is marked unmeasurable \(masked\)"):
            trace.write_column(column(0), step=1)
        trace.write_column([1.0, 2.0, NAN, 4.0], step=1)
        with pytest.raises(ValueError, match="Example 8 has a loss at step 1"):
            trace.mark_unmeasurable([8], "too late")
        assert Trace.open(path).marked_ids().tolist() == [5]

    def test_marking_an_unknown_id_is_refused(self, path):
        with pytest.raises(ValueError, match="this Trace has no example 4"):
            Trace.create(path, IDS).mark_unmeasurable([2, 4], "masked")


class TestBadColumns:
    @pytest.mark.parametrize("value", [math.inf, -math.inf, 1e300])
    def test_an_infinite_value_is_named_and_nothing_is_written(self, path, value):
        trace = Trace.create(path, IDS)
        with pytest.raises(ValueError, match=r"loss of example 5 at step 7 is -?inf"):
            trace.write_column(np.array([1.0, 2.0, value, 4.0]), step=7)
        assert list((path / "columns").iterdir()) == []

    @pytest.mark.parametrize(
        "values", [[1.0, 2.0], [[1.0], [2.0], [3.0], [4.0]], list("abcd"), [True] * 4, [None] * 4]
    )
    def test_anything_but_one_number_an_id_is_refused(self, path, values):
        with pytest.raises(ValueError, match="A column needs 4 numbers"):
            Trace.create(path, IDS).write_column(values, step=1)

    @pytest.mark.parametrize("step", [10, 3, 0])
    def test_steps_must_grow(self, path, step):
        trace = Trace.create(path, IDS)
        trace.write_column(column(0), step=10)
        with pytest.raises(ValueError, match=f"step must grow: {step} comes after 10"):
            trace.write_column(column(1), step=step)

    @pytest.mark.parametrize("step", [-1, 1.5, True])
    def test_a_step_is_a_count(self, path, step):
        with pytest.raises(ValueError, match="step must be a non-negative integer"):
            Trace.create(path, IDS).write_column(column(0), step=step)


class TestBadTraces:
    @pytest.mark.parametrize("ids", [[3, 2], [1, 1], [-1, 2], [0.5, 1.0], [[1, 2]], []])
    def test_bad_ids_are_refused_and_nothing_is_made(self, path, ids):
        with pytest.raises(ValueError, match="ids"):
            Trace.create(path, ids)
        assert not path.exists()

    def test_an_id_given_twice_is_named(self):
        with pytest.raises(ValueError, match="rows 0 and 2 have the same example id 7"):
            Trace.from_arrays([7, 1, 7], np.ones((3, 1)))

    @pytest.mark.parametrize(
        ("options", "message"),
        [
            ({"steps": [1]}, "2 columns of values"),
            ({"learning_rates": [1.0]}, "2 columns"),
            ({"steps": [2, 1]}, "grow"),
        ],
    )
    def test_columns_that_do_not_fit_their_steps_are_refused(self, options, message):
        with pytest.raises(ValueError, match=message):
            Trace.from_arrays([1, 2], np.ones((2, 2)), **options)

    def test_values_that_do_not_fit_the_ids_are_refused(self):
        with pytest.raises(ValueError, match=r"\[3, T\]"):
            Trace.from_arrays([1, 2, 3], np.ones((2, 2)))

    @pytest.mark.parametrize("options", [{"mode": "guess"}, {"num_checkpoints": 0}])
    def test_bad_options_are_named(self, path, options):
        with pytest.raises(ValueError, match=next(iter(options))):
            Trace.create(path, IDS, **options)

    def test_a_path_that_is_taken_is_left_alone(self, path):
        recorded(path)
        with pytest.raises(FileExistsError, match="overwrite=True"):
            Trace.create(path, IDS)
        assert Trace.load(path).num_checkpoints == 3
        assert Trace.create(path, [1], overwrite=True).num_checkpoints == 0

    def test_what_is_no_trace_is_never_overwritten(self, path):
        path.mkdir()
        (path / "thesis.tex").write_text("years of work")
        with pytest.raises(FileExistsError, match="holds no Trace"):
            Trace.create(path, IDS, overwrite=True)
        assert (path / "thesis.tex").read_text() == "years of work"

    def test_another_dataset_is_refused(self, path):
        trace = recorded(path, fingerprint=FINGERPRINT)
        trace.require_same_examples(IDS[::-1], FINGERPRINT)
        trace.require_same_examples(IDS)
        with pytest.raises(ValueError, match=r"belongs to another dataset.*cdcdcd"):
            trace.require_same_examples(IDS, DatasetFingerprint("cd" * 16, 9, ("prompt",)))
        with pytest.raises(ValueError, match="other example ids"):
            trace.require_same_examples(IDS + 1, FINGERPRINT)
