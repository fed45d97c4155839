"""The batched product equals each row's own two layers, in any shape, type and grouping."""

import hypothesis.strategies as st
import pytest
import torch
from hypothesis import given, settings
from torch.nn.functional import linear

from hf_datasel.functional.stacked_lora import add_stacked_lora

WIDTHS = st.integers(1, 9)


@settings(max_examples=60)
@given(
    st.integers(1, 4),
    st.integers(1, 3),
    st.lists(st.integers(1, 5), max_size=2),
    WIDTHS,
    WIDTHS,
    st.integers(1, 4),
    st.sampled_from([torch.float32, torch.float64]),
    st.integers(0, 2**31),
)
def test_each_row_meets_its_own_adapter(groups, rows_of_each, inner, d, o, rank, dtype, seed) -> None:
    generator = torch.Generator().manual_seed(seed)

    def draw(*shape: int) -> torch.Tensor:
        return torch.randn(*shape, dtype=dtype, generator=generator, requires_grad=True)

    rows = groups * rows_of_each
    outputs, inputs = draw(rows, *inner, o), draw(rows, *inner, d)
    a, b = draw(groups, rank, d), draw(groups, o, rank)
    found = add_stacked_lora(outputs, inputs, a, b, 1.5)
    one_by_one = [
        outputs[row] + 1.5 * linear(linear(inputs[row], a[row // rows_of_each]), b[row // rows_of_each])
        for row in range(rows)
    ]
    wanted = torch.stack(one_by_one)
    # Each number is a sum of d * rank products and o + 1 sums of those, of terms within about 5^3.
    tolerance = 4 * d * rank * torch.finfo(dtype).eps * 125
    torch.testing.assert_close(found, wanted, rtol=0, atol=tolerance)
    for tensor, gradient in zip(
        torch.autograd.grad(found.sum(), (outputs, inputs, a, b)),
        torch.autograd.grad(wanted.sum(), (outputs, inputs, a, b)),
        strict=True,
    ):
        torch.testing.assert_close(tensor, gradient, rtol=0, atol=tolerance * max(1, o, found.numel()))


def test_the_sum_has_the_type_of_the_layer_and_the_product_that_of_the_adapter() -> None:
    outputs, inputs = torch.ones(2, 3, dtype=torch.bfloat16), torch.ones(2, 2, dtype=torch.bfloat16)
    a, b = torch.full((1, 1, 2), 2.0**-10), torch.ones(1, 3, 1)
    found = add_stacked_lora(outputs, inputs, a, b, 1.0)
    assert found.dtype == torch.bfloat16
    assert torch.equal(found, outputs)  # 1 + 2^-9 has no room in bfloat16, as with PEFT
    found = add_stacked_lora(torch.zeros_like(outputs), inputs, a, b, 1.0)
    assert torch.equal(found, torch.full((2, 3), 2.0**-9, dtype=torch.bfloat16))


def test_rows_that_cannot_be_shared_are_refused() -> None:
    with pytest.raises(ValueError, match="3 rows cannot be shared evenly by 2 adapters"):
        add_stacked_lora(torch.ones(3, 1), torch.ones(3, 1), torch.ones(2, 1, 1), torch.ones(2, 1, 1), 1.0)
