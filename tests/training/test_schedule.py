"""When to record: T does not depend on anything but the options and the number of steps."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hf_datasel.training.schedule import CheckpointSchedule


@given(st.integers(1, 50), st.integers(0, 1000))
def test_a_count_is_kept_and_ends_with_training(count: int, more: int) -> None:
    steps = CheckpointSchedule(num_checkpoints=count).steps(count + more, 10)
    assert len(steps) == count
    assert steps[-1] == count + more
    gaps = [later - earlier for earlier, later in pairwise([0, *steps])]
    assert min(gaps) > 0
    assert max(gaps) - min(gaps) <= 1


def test_steps_epochs_and_fractions() -> None:
    assert CheckpointSchedule(checkpoint_steps=4).steps(13, 5) == [4, 8, 12]
    assert CheckpointSchedule(checkpoint_steps=[9, 2, 9]).steps(13, 5) == [2, 9]
    assert CheckpointSchedule(checkpoint_epochs=0.5).steps(20, 10) == [5, 10, 15, 20]
    assert CheckpointSchedule(checkpoint_epochs=1 / 3).steps(9, 9) == [3, 6, 9]
    assert CheckpointSchedule(checkpoint_fractions=[1.0, 0.25]).steps(10, 5) == [3, 10]


def test_before_training_is_a_step_that_may_be_listed_where_it_is_recorded() -> None:
    assert CheckpointSchedule(checkpoint_steps=[9, 0]).steps(13, 5, earliest=0) == [0, 9]
    assert CheckpointSchedule(checkpoint_fractions=[0, 0.01, 1.0]).steps(10, 5, earliest=0) == [0, 1, 10]
    assert CheckpointSchedule(checkpoint_steps=4).steps(13, 5, earliest=0) == [4, 8, 12]
    with pytest.raises(ValueError, match=r"gives step 12, but training has steps 0 to 10"):
        CheckpointSchedule(checkpoint_steps=[0, 12]).steps(10, 5, earliest=0)
    with pytest.raises(ValueError, match=r"must lie in \[0, 1\]"):
        CheckpointSchedule(checkpoint_fractions=[0, -0.1]).steps(10, 5, earliest=0)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({}, "exactly one.*none"),
        ({"num_checkpoints": 2, "checkpoint_steps": 2}, "exactly one.*num_checkpoints, checkpoint_steps"),
        ({"num_checkpoints": 0}, "num_checkpoints=0"),
        ({"num_checkpoints": 2.5}, r"num_checkpoints=2\.5"),
        ({"num_checkpoints": 11}, "num_checkpoints=11 does not fit into 10"),
        ({"checkpoint_steps": 11}, "checkpoint_steps gives no point"),
        ({"checkpoint_steps": [0]}, "checkpoint_steps gives step 0"),
        ({"checkpoint_steps": [3, 12]}, "checkpoint_steps gives step 12"),
        ({"checkpoint_epochs": 0.0}, r"checkpoint_epochs=0\.0"),
        ({"checkpoint_epochs": float("nan")}, "checkpoint_epochs=nan"),
        ({"checkpoint_fractions": [0.5, 1.5]}, r"checkpoint_fractions=\[0\.5, 1\.5\]"),
        ({"checkpoint_fractions": [0.0, 1.0]}, r"checkpoint_fractions=\[0\.0, 1\.0\]"),
        ({"checkpoint_fractions": []}, "checkpoint_fractions gives no point"),
    ],
)
def test_bad_options_are_named(options: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        CheckpointSchedule(**options).steps(10, 5)
