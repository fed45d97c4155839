"""Bad input is refused by name: what is wrong, where, and the way out."""

from pathlib import Path
from typing import Any

import pytest
import torch
from datasets import Dataset
from peft import LoraConfig, get_peft_model

from hf_datasel import GradientTraceCallback
from tests.training.influence.measuring import influence, plain_trainer, rows, score, step_without_moving, tokenised
from tests.training.influence.runs import SFT_ROWS, held_out, sft_trainer
from tests.training.influence.zoo import build
from tests.training.tiny import make_dataset

EMPTY = Dataset.from_dict({"prompt": [], "completion": []})
FOREIGN = Dataset.from_dict({"question": ["w1 "], "reply": ["w2"]})


def callback(folder: Path, model: Any = None, training: dict[str, Any] | None = None, **options: Any) -> Any:
    trainer = sft_trainer(build("llama_untied") if model is None else model, folder / "out", **(training or {}))
    return GradientTraceCallback(trainer, folder / "trace", **{**held_out(), **options})


@pytest.mark.parametrize("option", ["validation_dataset", "anchor_dataset"])
@pytest.mark.parametrize(
    ("held", "error", "message"),
    [
        (EMPTY, ValueError, "is empty: give it trusted examples"),
        (FOREIGN, ValueError, "has the columns ['question', 'reply'], of which SFTTrainer reads none"),
        ([{"prompt": "w1 ", "completion": "w2"}], TypeError, "must be a datasets.Dataset, not list"),
        (
            rows("prompt_completion", SFT_ROWS, 0)[0].select([7, 3]),
            ValueError,
            "Row 1 of {} is also training example 3",
        ),
    ],
    ids=["empty", "foreign", "no_dataset", "leaking"],
)
def test_held_out_rows(tmp_path: Path, option: str, held: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error) as raised:
        callback(tmp_path, **{option: held})
    text = str(raised.value)
    assert option in text
    # Either row that leaks may be the one that is named.
    wanted = message.replace("{}", option)
    assert wanted in text or wanted.replace("Row 1", "Row 0").replace("example 3", "example 7") in text


def test_held_out_rows_that_truncation_leaves_without_a_label(tmp_path: Path) -> None:
    long = Dataset.from_dict({"prompt": ["w1 " * 30], "completion": ["w2"]})
    with pytest.raises(ValueError, match="No row of anchor_dataset has a label left after truncation to max_length"):
        callback(tmp_path, anchor_dataset=long, training={"max_length": 9})


def frozen() -> Any:
    model = build("llama_untied")
    model.requires_grad_(False)
    return model


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"parameters": "lora"}, r"parameters='lora' matches no parameter; trained are model\.embed_tokens\.weight"),
        ({"parameters": ["all", "nowhere"]}, "parameters='nowhere' matches no parameter"),
        ({"parameters": "("}, r"parameters='\(' is neither one of .* nor a regular expression"),
        ({"parameters": []}, r"parameters=\[\] names nothing"),
        ({"low_rank": 0}, "low_rank=0: pass an int of at least 1"),
        ({"precondition": "sgd"}, "precondition='sgd' must be one of"),
        ({"precondition": "official", "norms": True}, "precondition='official' is not linear"),
        ({"precondition": "official", "low_rank": 2}, "precondition='official' is not linear"),
        ({"group_column": "language"}, "group_column='language' is not a column of validation_dataset"),
        ({"group_weights": {"a": 1.0}}, "group_weights needs group_column"),
        ({"group_column": "source", "group_weights": {"even": 1.0}}, "group 'odd' has no weight"),
        ({"group_column": "source", "group_weights": {"even": 1.0, "odd": 1.0, "x": 1.0}}, "group 'x' is not in"),
        ({"score_every": 2}, "score_every=2 .* applies to mode='in_run' only"),
        ({"mode": "in_run", "score_every": 0}, "score_every=0 must be a whole number"),
        ({"mode": "in_run", "precondition": "adam"}, "precondition='adam' needs second moments"),
        ({"mode": "sometimes"}, "mode='sometimes': choose 'probe'"),
        ({"num_checkpoints": 2, "checkpoint_steps": 1}, "Set exactly one of num_checkpoints"),
    ],
)
def test_options(tmp_path: Path, options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        callback(tmp_path, **options)


@pytest.mark.parametrize(
    ("training", "mode", "message"),
    [
        ({"packing": True, "max_length": 40}, "probe", "pass the dataset given to the trainer as dataset="),
        ({"packing": True, "packing_strategy": "wrapped", "max_length": 40}, "in_run", "packing_strategy='wrapped'"),
        ({"loss_type": "dft"}, "in_run", "loss_type='dft'; use mode='probe'"),
    ],
)
def test_settings_of_a_trainer(tmp_path: Path, training: dict[str, Any], mode: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        callback(tmp_path, training=training, mode=mode)


@pytest.mark.parametrize(
    ("training", "loss", "message"),
    [
        ({}, lambda outputs, labels, **kwargs: outputs.logits.sum(), "compute_loss_func is a loss of your own"),
        ({"label_smoothing_factor": 0.1}, None, "label_smoothing_factor changes the loss; use mode='probe'"),
        ({"torch_compile": True}, None, "torch_compile=True builds a graph that hooks would break up"),
    ],
)
def test_another_loss(tmp_path: Path, training: dict[str, Any], loss: Any, message: str) -> None:
    trainer = plain_trainer(build("llama_untied"), tmp_path, **training)
    trainer.compute_loss_func = loss
    with pytest.raises(ValueError, match=message):
        GradientTraceCallback(
            trainer,
            tmp_path / "trace",
            mode="in_run",
            validation_dataset=tokenised(rows("prompt_completion", 3, 9)[1]),
        )


def test_rows_without_ids(tmp_path: Path) -> None:
    trainer = sft_trainer(build("llama_untied"), tmp_path, make_dataset(num_rows=4).remove_columns("example_id"))
    with pytest.raises(ValueError, match="train_dataset has no column 'example_id'"):
        GradientTraceCallback(trainer, tmp_path / "trace", **held_out())


def test_a_frozen_model(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="No parameter of the model is trained"):
        influence(plain_trainer(frozen(), tmp_path))


@pytest.mark.parametrize(
    ("lora", "message"),
    [
        ({"use_dora": True}, "lora_magnitude_vector.* has no rule .* DoraLinearLayer"),
        ({"target_modules": ["embed_tokens"]}, "lora_embedding_A.* has no rule"),
        ({"trainable_token_indices": [3]}, "trainable_tokens_delta.* has no rule"),
    ],
)
def test_parameters_without_a_rule(tmp_path: Path, lora: dict[str, Any], message: str) -> None:
    config = LoraConfig(**{"target_modules": ["q_proj"], "task_type": "CAUSAL_LM", **lora})
    with pytest.raises(ValueError, match=message):
        influence(plain_trainer(get_peft_model(build("llama_untied"), config), tmp_path))


@pytest.mark.parametrize("options", [{"precondition": "adam", "norms": True}, {"precondition": "official"}])
def test_norms_of_a_tied_weight_in_a_space_of_its_own(tmp_path: Path, options: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"embed_tokens\.weight is shared by several modules"):
        influence(plain_trainer(build("llama_tied"), tmp_path), **options)


@pytest.mark.parametrize("precondition", ["adam", "official"])
@pytest.mark.parametrize(
    ("optim", "message"), [("sgd", "SGD holds no second moment"), ("adafactor", "Adafactor holds no")]
)
def test_an_optimizer_without_second_moments(tmp_path: Path, optim: str, message: str, precondition: Any) -> None:
    trainer = plain_trainer(build("llama_untied"), tmp_path, optim=optim)
    step_without_moving(trainer)
    with pytest.raises(ValueError, match=message):
        score(influence(trainer, precondition=precondition))


def test_an_optimizer_that_has_made_no_step(tmp_path: Path) -> None:
    trainer = plain_trainer(build("llama_untied"), tmp_path)
    trainer.create_optimizer()
    with pytest.raises(ValueError, match="has made no step"):
        score(influence(trainer, precondition="adam"))


class Poison(torch.autograd.Function):
    """The identity, whose gradient is NaN where it is told."""

    @staticmethod
    def forward(ctx: Any, hidden: torch.Tensor, where: torch.Tensor) -> torch.Tensor:
        ctx.where = where
        return hidden.clone()

    @staticmethod
    def backward(ctx: Any, grads: torch.Tensor) -> tuple[torch.Tensor, None]:
        return grads.masked_fill(ctx.where[..., None], torch.nan), None


@pytest.mark.parametrize("what", ["loss", "gradient"])
def test_what_is_not_finite_is_named(tmp_path: Path, what: str) -> None:
    """A word that only one training row has breaks that row's loss, or its gradient alone."""
    model = build("llama_untied")
    examples, validation = rows("prompt_completion", SFT_ROWS, 0)[1], rows("prompt_completion", 6, 100)[1]
    known = [set(ids[:-1]) for ids, _ in [*examples, *validation]]
    row, word = next(
        (row, word)
        for row in range(SFT_ROWS)
        for word in sorted(known[row])
        if not any(word in other for place, other in enumerate(known) if place != row)
    )
    if what == "loss":
        with torch.no_grad():
            model.get_input_embeddings().weight[word] = torch.nan
    else:
        seen = []
        model.get_input_embeddings().register_forward_pre_hook(lambda module, inputs: seen.append(inputs[0]))
        model.model.layers[0].register_forward_pre_hook(
            lambda module, inputs: (Poison.apply(inputs[0], seen[-1] == word), *inputs[1:])
        )
    engine = influence(plain_trainer(model, tmp_path, tokenised(examples)), tokenised(validation))
    with pytest.raises(ValueError, match=rf"{what}.* of example id {row} is nan|example id {row} is nan"):
        score(engine)


def test_a_validation_gradient_that_is_not_finite(tmp_path: Path) -> None:
    model = build("llama_untied")
    with torch.no_grad():
        model.model.norm.weight[0] = torch.inf
    with pytest.raises(ValueError, match=r"not finite|is nan"):
        score(influence(plain_trainer(model, tmp_path)))
