"""The model whose loss trajectories are recorded: a small proxy, or a copy of the model to be trained."""

from __future__ import annotations

import copy
import dataclasses
from pathlib import Path
from typing import Any

import torch
from peft import PeftModel
from safetensors.torch import load_file, save
from transformers import AutoConfig, AutoTokenizer, PreTrainedModel, PreTrainedTokenizerBase
from trl import SFTConfig, SFTTrainer
from trl.data_utils import is_conversational

from hf_datasel.storage import write_atomic
from hf_datasel.training.config import SelectingSFTConfig

# What these say holds for the whole process, or makes no sense for a stage whose weights are thrown away.
NOT_FOR_A_PROXY = ("output_dir", "fp16", "bf16", "fsdp", "deepspeed", "parallelism_config", "push_to_hub")
MAX_UNKNOWN_SHARE = 0.5


def proxy_args(args: SelectingSFTConfig, output_dir: str) -> SFTConfig:
    """Arguments of the proxy stage: those of the run, with ``proxy_training_args`` in place of some.

    Raises:
        ValueError: ``proxy_training_args`` names no field of SFTConfig, or one that holds for the whole process.
    """
    own = args.proxy_training_args or {}
    if not isinstance(own, dict):
        raise ValueError(f"proxy_training_args={own!r} is no JSON object of SFTConfig fields.")
    known = {field.name for field in dataclasses.fields(SFTConfig) if field.init}
    for name in own:
        if name not in known:
            raise ValueError(f"proxy_training_args: '{name}' is no field of SFTConfig.")
        if name in NOT_FOR_A_PROXY:
            raise ValueError(f"proxy_training_args: '{name}' cannot differ between the proxy stage and the run.")
    inherited = {name: getattr(args, name) for name in known}
    fixed = {
        "output_dir": output_dir,
        "push_to_hub": False,
        "report_to": "none",
        "eval_strategy": "no",
        "load_best_model_at_end": False,
        "model_init_kwargs": args.proxy_model_init_kwargs,
    }
    return SFTConfig(**{**inherited, **fixed, **own})


def proxy_tokenizer(
    proxy: str | PreTrainedModel, given: PreTrainedTokenizerBase | None, of_target: PreTrainedTokenizerBase
) -> PreTrainedTokenizerBase:
    """The tokenizer a proxy reads with: the one given, else its own, else (for a model object) the target's.

    Raises:
        ValueError: a proxy named by name or path brings no tokenizer.
    """
    if given is not None:
        return given
    if not isinstance(proxy, str):
        return of_target
    try:
        return AutoTokenizer.from_pretrained(proxy)
    except (OSError, ValueError) as error:
        raise ValueError(
            f"proxy_model '{proxy}' brings no tokenizer that can be loaded ({str(error).splitlines()[0]}). Pass "
            "proxy_processing_class=..."
        ) from error


def require_readable(
    proxy: str | PreTrainedModel, tokenizer: PreTrainedTokenizerBase, rows: list[dict[str, Any]], text_field: str
) -> None:
    """Refuse a proxy that cannot read the data.

    Args:
        proxy: model, or its name or path.
        tokenizer: what it reads with.
        rows: some examples, as given to the trainer.
        text_field: the column of plain-text data.

    Raises:
        ValueError: no chat template for conversations, more tokens than embeddings, or mostly unknown tokens.
    """
    name = proxy if isinstance(proxy, str) else type(proxy).__name__
    if is_conversational(rows[0]) and tokenizer.chat_template is None:
        raise ValueError(
            f"The data are conversations, but the tokenizer of the proxy '{name}' has no chat template: set "
            "tokenizer.chat_template and pass it as proxy_processing_class, or choose a chat model as proxy."
        )
    config = AutoConfig.from_pretrained(proxy) if isinstance(proxy, str) else proxy.config
    vocabulary = config.get_text_config().vocab_size
    if len(tokenizer) > vocabulary:
        raise ValueError(
            f"The tokenizer has {len(tokenizer)} tokens but the proxy '{name}' embeds {vocabulary}: pass the proxy's "
            "own tokenizer as proxy_processing_class."
        )
    texts = [_text(row, tokenizer, text_field) for row in rows]
    tokens = [token for ids in tokenizer([text for text in texts if text])["input_ids"] for token in ids]
    unknown = sum(token == tokenizer.unk_token_id for token in tokens) if tokenizer.unk_token_id is not None else 0
    if unknown > MAX_UNKNOWN_SHARE * len(tokens):
        raise ValueError(
            f"The tokenizer of the proxy '{name}' knows only {len(tokens) - unknown} of {len(tokens)} tokens in the "
            f"first {len(rows)} examples: choose a proxy whose tokenizer reads this language."
        )


def _text(row: dict[str, Any], tokenizer: PreTrainedTokenizerBase, text_field: str) -> str:
    if is_conversational(row):
        messages = row["messages"] if "messages" in row else [*row.get("prompt", []), *row.get("completion", [])]
        return str(tokenizer.apply_chat_template(messages, tokenize=False))
    parts = [row.get(name) for name in (text_field, "prompt", "completion")]
    return "".join(part for part in parts if isinstance(part, str))


def warm_up_copy(model: PreTrainedModel | PeftModel) -> PreTrainedModel | PeftModel:
    """A copy of an SFTTrainer's model that may be trained without touching it.

    TRL patches the instance's ``forward`` with a function that still calls the original model, so the copy goes back
    to its class's forward; the trainer it is given to patches it again.
    """
    twin = copy.deepcopy(model)
    base = twin.get_base_model() if isinstance(twin, PeftModel) else twin
    base.__dict__.pop("forward", None)
    return twin


def save_trainable(model: PreTrainedModel | PeftModel, path: Path) -> None:
    """Write the weights that training changed, whole or not at all."""
    weights = {
        name: value.detach().cpu().contiguous() for name, value in model.named_parameters() if value.requires_grad
    }
    payload = save(weights)
    write_atomic(path, lambda file: file.write(payload), len(payload))


def load_trainable(model: PreTrainedModel | PeftModel, path: Path) -> None:
    """Put the weights of :func:`save_trainable` into a model of the same make."""
    parameters = dict(model.named_parameters())
    with torch.no_grad():
        for name, value in load_file(path).items():
            parameters[name].copy_(value)


def make_proxy_trainer(
    args: SFTConfig,
    model: str | PreTrainedModel | PeftModel,
    dataset: Any,
    tokenizer: PreTrainedTokenizerBase,
    **options: Any,
) -> SFTTrainer:
    """An SFTTrainer for the proxy stage; ``options`` are its ``peft_config``, ``formatting_func`` and the like."""
    return SFTTrainer(model=model, args=args, train_dataset=dataset, processing_class=tokenizer, **options)
