"""What cannot be trained several coalitions at once with the same result as one by one: refused by name."""

from __future__ import annotations

import dataclasses
import inspect
from typing import Any

from peft import LoraConfig, PeftConfig, PeftType
from torch import nn
from transformers import PreTrainedModel, TrainingArguments

from hf_datasel.training.lending import PLAIN_INITS

WAY_OUT = "change it, or train one by one"
# Fields of a LoraConfig that say where adapters are and how they are scaled; every other must be as PEFT has it.
KNOWN_FIELDS = {
    "r",
    "lora_alpha",
    "target_modules",
    "exclude_modules",
    "fan_in_fan_out",
    "use_rslora",
    "init_lora_weights",
    "layers_to_transform",
    "layers_pattern",
    "rank_pattern",
    "alpha_pattern",
    "runtime_config",
    *(field.name for field in dataclasses.fields(PeftConfig)),
}


def refuse_unstackable(model: PreTrainedModel, peft_config: PeftConfig, args: TrainingArguments | None = None) -> None:
    """Raise if coalitions trained at once would not come out as one by one.

    Args:
        model: the base.
        peft_config: of the adapters.
        args: of the training, if there is one.

    Raises:
        ValueError: names the option that stands in the way.
    """
    reasons = [*_config(peft_config), *_model(model), *(_args(args) if args is not None else [])]
    for wrong, message in reasons:
        if wrong:
            raise ValueError(f"Coalitions cannot be trained several at once here: {message}; {WAY_OUT}.")


def _config(config: PeftConfig) -> list[tuple[bool, str]]:
    if config.peft_type != PeftType.LORA or not isinstance(config, LoraConfig):
        return [(True, f"peft_config is a {type(config).__name__}, not a LoraConfig")]
    start = config.init_lora_weights
    changed = [
        field.name
        for field in dataclasses.fields(config)
        if field.name not in KNOWN_FIELDS and getattr(config, field.name) != _default(field)
    ]
    return [
        (
            config.lora_dropout > 0,
            f"lora_dropout={config.lora_dropout} draws other numbers in a larger batch",
        ),
        (
            start not in PLAIN_INITS,
            f"init_lora_weights={start!r} changes the base model or the adapter's form",
        ),
        (bool(changed), "peft_config sets " + ", ".join(f"{name}={getattr(config, name)!r}" for name in changed)),
    ]


def _default(field: dataclasses.Field) -> Any:
    return field.default if field.default_factory is dataclasses.MISSING else field.default_factory()


def _model(model: PreTrainedModel) -> list[tuple[bool, str]]:
    config = model.config.get_text_config()
    dropout = next(
        (
            f"{name}.{key}".lstrip(".") + f"={value}"
            for name, module in model.named_modules()
            for key, value in _dropouts(module)
        ),
        None,
    )
    forward = inspect.signature(type(model).forward).parameters.values()
    takes_count = getattr(model, "accepts_loss_kwargs", any(one.kind is one.VAR_KEYWORD for one in forward))
    return [
        (
            hasattr(model, "peft_config") or bool(getattr(model, "_hf_peft_config_loaded", False)),
            "the model has adapters already; give the base model, model.unload() for a PeftModel",
        ),
        (bool(getattr(model, "is_quantized", False)), "the model's weights are quantised"),
        (dropout is not None, f"the model drops out ({dropout}), and draws other numbers in a larger batch"),
        (hasattr(config, "output_router_logits"), "a mixture of experts shares its router's loss between rows"),
        (bool(getattr(model.config, "is_encoder_decoder", False)), "the model is an encoder-decoder"),
        (
            len(set((getattr(model, "hf_device_map", None) or {"": 0}).values())) > 1,
            "the model is split over devices (hf_device_map)",
        ),
        (not takes_count, f"the Trainer averages the loss of {type(model).__name__} batch by batch"),
    ]


def _dropouts(module: nn.Module) -> list[tuple[str, float]]:
    """Probabilities that a module holds: of a Dropout, or as a number for a functional one."""
    if isinstance(module, nn.modules.dropout._DropoutNd):
        return [("p", module.p)] if module.p > 0 else []
    return [
        (key, value) for key, value in vars(module).items() if "drop" in key and isinstance(value, float) and value > 0
    ]


def _args(args: TrainingArguments) -> list[tuple[bool, str]]:
    strategy = str(getattr(args, "train_sampling_strategy", "random"))
    options: Any = args
    return [
        (args.optim not in ("adamw_torch", "adamw_torch_fused"), f"optim={args.optim.value!r} is not torch's AdamW"),
        (args.fp16, "fp16=True scales the loss of all coalitions by one factor"),
        (args.label_smoothing_factor > 0, f"label_smoothing_factor={args.label_smoothing_factor} changes the loss"),
        (args.neftune_noise_alpha is not None, f"neftune_noise_alpha={args.neftune_noise_alpha} adds random noise"),
        (getattr(options, "loss_type", "nll") != "nll", f"loss_type={getattr(options, 'loss_type', None)!r}"),
        (bool(getattr(options, "packing", False)), "packing=True puts several examples into a row"),
        (bool(getattr(options, "padding_free", False)), "padding_free=True puts several examples into a row"),
        (bool(getattr(options, "shuffle_dataset", False)), "shuffle_dataset=True shuffles before the sampler does"),
        (bool(getattr(options, "activation_offloading", False)), "activation_offloading=True"),
        (bool(args.use_liger_kernel), "use_liger_kernel=True replaces the model's layers"),
        (bool(args.torch_compile), "torch_compile=True builds a graph that hooks would break up"),
        (getattr(options, "deepspeed_plugin", None) is not None, "deepspeed owns the optimizer"),
        (bool(args.fsdp), "fsdp shards the adapters"),
        (args.parallelism_config is not None, "parallelism_config splits examples over devices"),
        (bool(args.auto_find_batch_size), "auto_find_batch_size=True changes the batch as it goes"),
        (
            args.lr_scheduler_type in ("reduce_lr_on_plateau", "greedy"),
            f"lr_scheduler_type={args.lr_scheduler_type.value!r} follows the loss of a run",
        ),
        (
            strategy not in ("random", "sequential"),
            f"train_sampling_strategy={strategy!r} orders rows by their length and the global generator",
        ),
        (
            strategy == "random" and not args.accelerator_config.use_seedable_sampler,
            "accelerator_config has use_seedable_sampler=False, so the order depends on the global generator",
        ),
        (
            args.max_steps == 0 or (args.max_steps < 0 and args.num_train_epochs <= 0),
            f"max_steps={args.max_steps} and num_train_epochs={args.num_train_epochs} leave no step",
        ),
    ]
