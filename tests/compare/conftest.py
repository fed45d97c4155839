"""One thread for every training: sums in one order, so that runs compare bit for bit."""

import pytest
import torch


@pytest.fixture(autouse=True, scope="package")
def one_thread() -> None:
    torch.set_num_threads(1)
