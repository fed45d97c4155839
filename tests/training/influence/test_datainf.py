"""DataInf without one per-example gradient equals DataInf from gradients that are all formed."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hf_datasel.training.influence.baselines import record_datainf
from tests.training.influence import oracle
from tests.training.influence.measuring import plain_trainer, rows, tokenised
from tests.training.influence.runs import SFT_ROWS, SFT_VALIDATION, sft_trainer
from tests.training.influence.zoo import build


@pytest.mark.parametrize(
    ("name", "adapter", "plain"),
    [
        ("llama_untied", "qv", False),
        ("llama_biased", None, False),
        ("gpt2_tied", None, True),
        ("qwen3_tied", "linears", True),
    ],
)
def test_datainf(tmp_path: Path, name: str, adapter: str | None, plain: bool) -> None:
    model: Any = build(name, adapter=adapter)
    raw, train = rows("prompt_completion", SFT_ROWS, 0)
    held_out, validation = rows("prompt_completion", SFT_VALIDATION, 100)
    if plain:
        trainer: Any = plain_trainer(model, tmp_path / "out", tokenised(train))
        held_out = tokenised(validation)
    else:
        trainer = sft_trainer(model, tmp_path / "out", raw)
    trace = record_datainf(trainer, tmp_path / "trace", validation_dataset=held_out, tokens_per_batch=64)
    assert trace is not None
    assert trace.metric == "datainf"
    examples = [one.gradient for one in oracle.examples(model, train)]
    wanted = np.array(oracle.datainf(examples, oracle.mean(oracle.examples(model, validation))))
    # 1 / lambda is large, and multiplies a difference of directions that are close: some thousand roundings.
    np.testing.assert_allclose(trace.column(0), wanted, rtol=0, atol=1e-4 * np.abs(wanted).max())
    assert np.argsort(trace.column(0)).tolist() == np.argsort(wanted).tolist()
