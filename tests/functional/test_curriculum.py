"""A curriculum's epochs: long as any, nothing before it is due, nothing twice before all of a pass."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from hf_datasel.functional.curriculum import curriculum_epoch, num_available

SHARES = st.floats(0.01, 1.0)


@given(
    num_rows=st.integers(1, 60),
    num_epochs=st.floats(0.5, 6),
    start_share=SHARES,
    full_at=SHARES,
    seed=st.integers(0, 99),
)
def test_nothing_comes_before_it_is_due_and_nothing_twice_in_a_pass(num_rows, num_epochs, start_share, full_at, seed):
    easiest_first = np.random.default_rng(seed).permutation(num_rows) * 3
    rank = {row: number for number, row in enumerate(easiest_first.tolist())}
    for epoch in range(int(np.ceil(num_epochs))):
        visits = curriculum_epoch(
            easiest_first, epoch, num_epochs, start_share=start_share, full_at=full_at,
            generator=np.random.default_rng(seed),
        ).tolist()  # fmt: skip
        assert len(visits) == num_rows
        for position, row in enumerate(visits):
            share = min(1.0, start_share + (1 - start_share) * (epoch + position / num_rows) / num_epochs / full_at)
            assert rank[row] < max(1, np.floor(share * num_rows + 0.5))
        done = 0
        while done < num_rows:
            there = num_available((epoch + done / num_rows) / num_epochs, num_rows, start_share, full_at)
            of_pass = visits[done : done + there]
            assert len(set(of_pass)) == len(of_pass)
            if done + there <= num_rows:
                assert sorted(rank[row] for row in of_pass) == list(range(there))
            done += there


def test_the_share_grows_linearly_to_everything():
    assert [num_available(t, 10, 0.3, 0.7) for t in (0, 0.1, 0.2, 0.7, 0.9, 1.0)] == [3, 4, 5, 10, 10, 10]
    assert num_available(0.0, 5, 0.01, 1.0) == 1


def test_when_all_is_there_an_epoch_is_a_uniform_shuffle():
    counts = np.zeros((4, 4))
    for seed in range(2000):
        visits = curriculum_epoch(
            np.arange(4), 1, 2, start_share=0.25, full_at=0.5, generator=np.random.default_rng(seed)
        )
        counts[np.arange(4), visits] += 1
    # each count is binomial with mean 500 and standard deviation 19
    assert np.abs(counts - 500).max() < 5 * 20
