"""What `record` and `train` share: defaults for the machine at hand, model options, resuming."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from hf_datasel.cli import UsageError
from hf_datasel.cli.console import quiet_unless_terminal
from hf_datasel.cli.rows import looks_like_path

if TYPE_CHECKING:
    from trl import ModelConfig, SFTConfig


def machine_defaults() -> dict[str, Any]:
    """Defaults of SFTConfig that depend on where the command runs.

    TRL turns bf16 on everywhere, which it then refuses without an accelerator; progress bars are for terminals.
    """
    import torch

    defaults: dict[str, Any] = {"disable_tqdm": quiet_unless_terminal()}
    if not torch.accelerator.is_available():
        defaults["bf16"] = False
    return defaults


def model_arguments(model_args: ModelConfig, training_args: SFTConfig) -> dict[str, Any]:
    """The keyword arguments of SFTTrainer that TRL's ModelConfig stands for; sets `model_init_kwargs` on the way.

    Raises:
        UsageError: No model is named.
        FileNotFoundError: Its name is a path, and nothing is there.
    """
    from trl import get_peft_config, get_quantization_config

    if model_args.model_name_or_path is None:
        raise UsageError("the following arguments are required: --model_name_or_path")
    for option, name in (
        ("model_name_or_path", model_args.model_name_or_path),
        ("proxy_model", getattr(training_args, "proxy_model", None)),
    ):
        if name is not None and looks_like_path(name) and not Path(name).exists():
            raise FileNotFoundError(f"--{option} {name}: there is no such directory (looked in {Path.cwd()})")
    training_args.model_init_kwargs = {
        "revision": model_args.model_revision,
        "attn_implementation": model_args.attn_implementation,
        "dtype": model_args.dtype,
        **(training_args.model_init_kwargs or {}),
    }
    return {
        "model": model_args.model_name_or_path,
        "args": training_args,
        "quantization_config": get_quantization_config(model_args),
        "peft_config": get_peft_config(model_args),
    }


def resume_from(training_args: SFTConfig) -> str | bool | None:
    """What `Trainer.train` takes: a checkpoint's path, True for the latest one, None to start afresh."""
    value = training_args.resume_from_checkpoint
    spelled = {"true": True, "false": None, "none": None}
    return spelled.get(value.lower(), value) if isinstance(value, str) else value
