"""The head that TRL fuses with the loss: its part comes out right whatever lies between the head and the loss."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from transformers import CohereConfig, Gemma2Config, GraniteConfig, LlamaConfig
from transformers.models.auto.modeling_auto import AutoModelForCausalLM
from trl import SFTTrainer
from trl.kernels import chunked_logprob

from hf_datasel import GradientTraceCallback, Trace
from tests.training.tiny import SIZES, make_dataset, sft_args, word_tokenizer

HEADS: dict[str, Any] = {
    "plain": lambda: LlamaConfig(**SIZES, intermediate_size=48),
    "softcap": lambda: Gemma2Config(
        **SIZES, intermediate_size=48, num_key_value_heads=1, head_dim=16, final_logit_softcapping=0.5
    ),
    "divided": lambda: GraniteConfig(**SIZES, intermediate_size=48, logits_scaling=4.0, tie_word_embeddings=False),
    "multiplied": lambda: CohereConfig(**SIZES, intermediate_size=48, logit_scale=0.25),
}


def scores(folder: Path, head: str, mode: str, norms: bool, parameters: str) -> tuple[np.ndarray, np.ndarray]:
    """Products and cosines of a training that does not move (learning rate 0), by the way they are recorded."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = AutoModelForCausalLM.from_config(HEADS[head]())
    dataset = make_dataset(num_rows=10)
    trainer = SFTTrainer(
        model,
        args=sft_args(folder, learning_rate=0.0, num_train_epochs=1),
        train_dataset=dataset,
        processing_class=word_tokenizer(),
    )
    trainer.add_callback(
        GradientTraceCallback(
            trainer,
            folder / "trace",
            validation_dataset=make_dataset(num_rows=5, seed=9),
            mode=mode,
            norms=norms,
            num_checkpoints=1,
            parameters=parameters,
        )
    )
    trainer.train()
    trace = Trace.load(folder / "trace")
    return trace.values[:, 0], trace.companion("cosine").values[:, 0] if norms else np.zeros(1)


@pytest.mark.parametrize("norms", [False, True], ids=["products", "cosines"])
@pytest.mark.parametrize("head", HEADS)
def test_the_fused_head_adds_what_a_head_called_as_a_module_adds(head: str, norms: bool, tmp_path: Path) -> None:
    model_head = "embed_tokens|lm_head"  # tied in some: then the embedding's name is the head's too
    probe, probe_cosines = scores(tmp_path / "probe", head, "probe", norms, model_head)
    in_run, in_run_cosines = scores(tmp_path / "in_run", head, "in_run", norms, model_head)
    np.testing.assert_allclose(in_run, probe, rtol=1e-4, atol=1e-5 * np.abs(probe).max())
    np.testing.assert_allclose(in_run_cosines, probe_cosines, atol=1e-5)


def test_trl_forms_the_weight_gradient_where_we_look(monkeypatch: pytest.MonkeyPatch) -> None:
    seen = []
    original = chunked_logprob._addmm_fp32
    monkeypatch.setattr(chunked_logprob, "_addmm_fp32", lambda *parts: (seen.append(parts), original(*parts)))
    hidden, weight = torch.randn(5, 4, requires_grad=True), torch.randn(7, 4, requires_grad=True)
    targets = torch.tensor([0, 1, 2, 3, 4])
    log_probs = chunked_logprob.ChunkedLogProbFunction.apply(hidden, weight, None, targets, 1.0, 3, None, 1.0, ())[0]
    log_probs.sum().backward()
    of_weight = [(sums, tile, rows) for sums, tile, rows in seen if len(sums) == len(tile) and tile.stride(0) == 1]
    assert len(seen) == 6
    assert [len(tile) for _, tile, _ in of_weight] == [3, 3, 1]  # three tiles of words
    assert [sums.storage_offset() // 4 for sums, _, _ in of_weight] == [0, 3, 6]


def test_a_backward_that_forms_it_elsewhere_is_an_error(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("hf_datasel.training.influence.fused_head.FusedHead.meant", lambda *parts: False)
    with pytest.raises(RuntimeError, match="TRL's fused head did not form its weight gradient where"):
        scores(tmp_path, "plain", "in_run", False, "lm_head")
