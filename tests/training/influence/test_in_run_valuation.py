"""The values of a recorded run add up to what the run did to the validation loss."""

from pathlib import Path

import numpy as np

from hf_datasel.valuation import Valuation
from tests.training.influence.runs import SFT_ROWS, run
from tests.training.influence.zoo import build


def test_rows_are_worth_together_the_fall_of_the_validation_loss(tmp_path: Path) -> None:
    """SGD, one row a step, the direction renewed at each: what remains is of second order in the learning rate.

    The rate falls to nothing, so an epoch's mean rate, by which its column is weighed, is not that of each visit.
    """
    epochs, rate = 2, 2e-4
    trace, watcher = run(
        tmp_path,
        "in_run",
        build("llama_tied"),
        steps=tuple(range(1, epochs * SFT_ROWS)),
        optim="sgd",
        learning_rate=rate,
        lr_scheduler_type="linear",
        max_grad_norm=0.0,
        per_device_train_batch_size=1,
        num_train_epochs=epochs,
    )
    before, after = (
        np.mean([one.loss for one in moment.validation]) for moment in (watcher.before[0], watcher.look())
    )
    valuation = Valuation.from_trace(trace)
    assert valuation.info["estimator"] == "in_run"
    assert valuation.num_evaluations.tolist() == [epochs] * SFT_ROWS
    assert valuation.values.sum() > 0
    np.testing.assert_allclose(valuation.values.sum(), before - after, rtol=0.05)
