"""Each row steps as in an optimizer of its own: torch.optim.AdamW and clip_grad_norm_ are the oracle."""

import hypothesis.strategies as st
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from torch.nn.utils import clip_grad_norm_

from hf_datasel.functional.stacked_adamw import adamw_rows_, clip_rows_


@settings(max_examples=40)
@given(
    num_rows=st.integers(1, 4),
    num_parameters=st.integers(1, 6),
    num_steps=st.integers(1, 6),
    weight_decay=st.sampled_from([0.0, 0.1]),
    max_norm=st.sampled_from([0.01, 1.0, 100.0]),
    epsilon=st.sampled_from([1e-8, 1e-3]),
    fused=st.booleans(),
    seed=st.integers(0, 2**31),
)
def test_each_row_steps_as_alone(
    num_rows, num_parameters, num_steps, weight_decay, max_norm, epsilon, fused, seed
) -> None:
    rng = np.random.default_rng(seed)
    start = torch.from_numpy(rng.normal(size=(num_rows, num_parameters)))
    # Gradients of any size, zeros among them; rates that change from step to step; rows that start late.
    gradients = torch.from_numpy(rng.normal(size=(num_steps, num_rows, num_parameters)) * 10.0 ** rng.integers(-6, 3))
    gradients[rng.random(gradients.shape) < 0.2] = 0.0
    rates = rng.random((num_steps, num_rows))
    late = rng.integers(0, num_steps, size=num_rows)
    late[0] = 0
    decayed = torch.from_numpy(rng.random(num_parameters) < 0.5)

    wanted = []
    for row in range(num_rows):
        parts = [start[row, decayed].clone().requires_grad_(), start[row, ~decayed].clone().requires_grad_()]
        groups = [
            {"params": [part], "weight_decay": decay} for part, decay in zip(parts, (weight_decay, 0.0), strict=True)
        ]
        optimizer = torch.optim.AdamW(groups, lr=0.0, betas=(0.8, 0.9), eps=epsilon, fused=fused)
        for step in range(late[row], num_steps):
            parts[0].grad, parts[1].grad = gradients[step, row, decayed], gradients[step, row, ~decayed]
            clip_grad_norm_(parts, max_norm)
            for group in optimizer.param_groups:
                group["lr"] = rates[step, row]
            optimizer.step()
        whole = torch.empty_like(start[row])
        whole[decayed], whole[~decayed] = parts[0].detach(), parts[1].detach()
        wanted.append(whole)

    found, first, second = start.clone(), torch.zeros_like(start), torch.zeros_like(start)
    for step in range(num_steps):
        running = np.flatnonzero(late <= step).tolist()
        states = [state[running] for state in (found, gradients[step], first, second)]
        clip_rows_(states[1], max_norm)
        adamw_rows_(
            *states,
            steps=[int(step - late[row]) + 1 for row in running],
            learning_rates=rates[step, running].tolist(),
            betas=(0.8, 0.9),
            epsilon=epsilon,
            weight_decay=weight_decay * decayed.to(found),
        )
        found[running], first[running], second[running] = states[0], states[2], states[3]
    # A step is at most about 1 / sqrt(1 - beta2) = 3 rates long, and some ten roundings went into it.
    torch.testing.assert_close(found, torch.stack(wanted), rtol=0, atol=num_steps * 100 * torch.finfo(start.dtype).eps)


def test_norms_are_those_before_clipping() -> None:
    gradients = torch.tensor([[3.0, 4.0], [0.0, 0.0]], dtype=torch.float64)
    assert clip_rows_(gradients, 1.0).tolist() == [5.0, 0.0]
    assert gradients[1].tolist() == [0.0, 0.0]
    assert abs(float(gradients[0].norm()) - 1.0) < 1e-6


def test_a_step_before_the_first_is_refused() -> None:
    zeros = [torch.zeros(1, 1) for _ in range(4)]
    with pytest.raises(ValueError, match=r"steps=\[0\]: AdamW counts from 1"):
        adamw_rows_(*zeros, steps=[0], learning_rates=[0.1], betas=(0.9, 0.9), epsilon=1e-8, weight_decay=0.0)
