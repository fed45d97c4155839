"""The LM head runs only where a label is predicted, whatever the architecture puts around it."""

import pytest
import torch
from peft import LoraConfig, get_peft_model
from transformers import Gemma2Config, Gemma2ForCausalLM, PreTrainedModel
from transformers.modeling_outputs import CausalLMOutput

from hf_datasel.functional.losses import token_log_probs
from hf_datasel.training.scoring import example_losses, head_at_labels
from tests.training.tiny import CONFIGS, tiny_model

BATCH = {
    "input_ids": torch.tensor([[7, 8, 9, 10, 11], [12, 13, 14, 0, 0], [9, 8, 7, 6, 5]]),
    "attention_mask": torch.tensor([[1, 1, 1, 1, 1], [1, 1, 1, 0, 0], [1, 1, 1, 1, 1]]),
}
# The first label of a row is never predicted; the last row has no other.
LABELS = torch.tensor([[-100, -100, 9, 10, 11], [-100, 13, 14, -100, -100], [9, -100, -100, -100, -100]])
PREDICTING = [(0, 1), (0, 2), (0, 3), (1, 0), (1, 1)]


def soft_capped() -> PreTrainedModel:
    """A model that bends its logits after the head."""
    sizes = {"vocab_size": 70, "hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 1, "head_dim": 16}
    config = Gemma2Config(**sizes, num_attention_heads=2, num_key_value_heads=1, final_logit_softcapping=2.0)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return Gemma2ForCausalLM(config)


def with_lora(target: str) -> torch.nn.Module:
    return get_peft_model(tiny_model("llama"), LoraConfig(r=2, target_modules=[target], init_lora_weights=False))


MODELS = {
    **{name: lambda name=name: tiny_model(name) for name in CONFIGS},
    "soft_capped": soft_capped,
    "lora": lambda: with_lora("q_proj"),
    "lora_on_the_head": lambda: with_lora("lm_head"),
}


@pytest.mark.parametrize("name", list(MODELS))
def test_logits_are_the_models_own(name: str) -> None:
    model = MODELS[name]().eval()
    with torch.no_grad():
        full = model(**BATCH).logits
        with head_at_labels(model, LABELS):
            picked = model(**BATCH).logits
        again = model(**BATCH).logits
    expected = torch.stack([full[row, position] for row, position in PREDICTING])
    assert picked.shape == (1, *expected.shape)
    torch.testing.assert_close(picked[0], expected, rtol=0, atol=1e-6)
    assert torch.equal(again, full), "nothing is left on the model"


@pytest.mark.parametrize("name", list(MODELS))
def test_losses_are_those_of_all_logits(name: str) -> None:
    model, inputs = MODELS[name]().eval(), {**BATCH, "labels": LABELS}
    with torch.no_grad():
        expected, counts = example_losses(model(**BATCH), inputs, 3)
        with head_at_labels(model, LABELS):
            losses, num_labels = example_losses(model(**BATCH), inputs, 3)
    torch.testing.assert_close(losses, expected, rtol=0, atol=1e-6, equal_nan=True)
    assert num_labels.tolist() == counts.tolist() == [3, 2, 0]
    assert losses.isnan().tolist() == [False, False, True]


class BareHead(torch.nn.Module):
    """A model that multiplies with its output embeddings' weight and never calls them, or has none."""

    def __init__(self, has_head: bool) -> None:
        super().__init__()
        self.inner = tiny_model("llama")
        self.has_head = has_head

    def get_output_embeddings(self) -> torch.nn.Module | None:
        return self.inner.lm_head if self.has_head else None

    def forward(self, **inputs: torch.Tensor) -> CausalLMOutput:
        return CausalLMOutput(logits=self.inner.model(**inputs).last_hidden_state @ self.inner.lm_head.weight.T)


@pytest.mark.parametrize("has_head", [True, False])
def test_a_model_that_does_not_call_its_head_is_scored_all_the_same(has_head: bool) -> None:
    model, inputs = BareHead(has_head).eval(), {**BATCH, "labels": LABELS}
    with torch.no_grad():
        expected, _ = example_losses(model.inner(**BATCH), inputs, 3)
        with head_at_labels(model, LABELS):
            losses, _ = example_losses(model(**BATCH), inputs, 3)
    torch.testing.assert_close(losses, expected, rtol=0, atol=1e-6, equal_nan=True)


def test_a_batch_without_labels_has_no_loss() -> None:
    model, labels = tiny_model("llama").eval(), torch.full((3, 5), -100)
    with torch.no_grad(), head_at_labels(model, labels):
        losses, num_labels = example_losses(model(**BATCH), {**BATCH, "labels": labels}, 3)
    assert losses.isnan().all()
    assert num_labels.tolist() == [0, 0, 0]


def test_an_error_leaves_nothing_on_the_model() -> None:
    model = tiny_model("llama").eval()
    with pytest.raises(ZeroDivisionError), head_at_labels(model, LABELS):
        raise ZeroDivisionError
    assert model(**BATCH).logits.shape == (3, 5, 70)


@pytest.mark.parametrize("vocabulary", [5, 300_000])
@pytest.mark.parametrize("chunk_tokens", [1, 4, 1024])
def test_log_probabilities_do_not_depend_on_the_chunk(vocabulary: int, chunk_tokens: int) -> None:
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(9, vocabulary, generator=generator)
    rows, targets = torch.tensor([8, 0, 3, 3, 1, 5]), torch.randint(0, vocabulary, (6,), generator=generator)
    expected = torch.log_softmax(logits.double(), -1)[rows, targets]
    found = token_log_probs(logits, targets, rows, chunk_tokens=chunk_tokens)
    torch.testing.assert_close(found.double(), expected, rtol=1e-6, atol=1e-6)
    torch.testing.assert_close(token_log_probs(logits[rows], targets, chunk_tokens=chunk_tokens), found)
