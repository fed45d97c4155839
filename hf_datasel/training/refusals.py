"""What cannot be recorded rightly, by name, each with the way out."""

from __future__ import annotations

from datasets import Dataset, IterableDataset
from transformers import Trainer
from trl import SFTTrainer

from hf_datasel.fingerprint import EXAMPLE_ID


def refuse_unrecordable(trainer: Trainer, mode: str, *, has_source: bool) -> None:
    """Raise if losses of this trainer's examples could not be recorded exactly in this mode.

    Args:
        trainer: built and not yet training.
        mode: "probe" or "in_run".
        has_source: whether the dataset before tokenisation was given; packed rows have lost their ids.

    Raises:
        ValueError: names the option that stands in the way, and what to do.
    """
    if mode not in ("probe", "in_run"):
        raise ValueError(f"mode={mode!r}: choose 'probe' (exact sweeps, as published) or 'in_run' (nearly free).")
    refuse_unsweepable(trainer, "Loss trajectories cannot be recorded here")
    for wrong, message in _data(trainer, mode, has_source):
        if wrong:
            raise ValueError(f"Loss trajectories cannot be recorded here: {message}")


def refuse_unsweepable(trainer: Trainer, what: str) -> None:
    """Raise if no sweep could read this trainer's model.

    Args:
        trainer: built.
        what: cannot be done then; the beginning of the message.

    Raises:
        ValueError: names the option that stands in the way, and what to do.
    """
    for wrong, message in [*_model(trainer), *_parallelism(trainer)]:
        if wrong:
            raise ValueError(f"{what}: {message}")


def _model(trainer: Trainer) -> list[tuple[bool, str]]:
    config = getattr(trainer.model, "config", None)
    peft = getattr(trainer.model, "active_peft_config", None)
    return [
        (
            bool(getattr(config, "is_encoder_decoder", False)),
            "the model is an encoder-decoder; only causal language models are supported.",
        ),
        (
            bool(getattr(trainer, "_is_vision_dataset", False)),
            "the dataset holds images; only text is supported.",
        ),
        (
            bool(getattr(peft, "is_prompt_learning", False)),
            f"{type(peft).__name__} puts virtual tokens before each example; use LoRA, or another adapter that adds "
            "no tokens.",
        ),
    ]


def _parallelism(trainer: Trainer) -> list[tuple[bool, str]]:
    parallelism = getattr(trainer.accelerator, "parallelism_config", None)
    split = [
        name
        for name in ("tp", "cp", "sp")
        if parallelism is not None and getattr(parallelism, f"{name}_enabled", False)
    ]
    own_proxy = "record with a small proxy under DDP (accelerate launch), then train on the saved Selection."
    return [
        (bool(split), f"parallelism_config splits an example over devices ({', '.join(split)}); {own_proxy}"),
        (trainer.is_fsdp_enabled, f"FSDP shards the weights a sweep needs; {own_proxy}"),
        (trainer.is_deepspeed_enabled, f"DeepSpeed owns the forward a sweep needs; {own_proxy}"),
        (trainer.args.n_gpu > 1, "nn.DataParallel splits batches between threads; start with accelerate launch."),
    ]


def _data(trainer: Trainer, mode: str, has_source: bool) -> list[tuple[bool, str]]:
    args, dataset = trainer.args, trainer.train_dataset
    is_sft = isinstance(trainer, SFTTrainer)
    packing = bool(getattr(args, "packing", False))
    columns = getattr(dataset, "column_names", None) or []
    streaming = isinstance(dataset, IterableDataset)
    liger = bool(args.use_liger_kernel) and (args.liger_kernel_config or {}).get("fused_linear_cross_entropy", True)
    return [
        (dataset is None, "the trainer has no train_dataset."),
        (
            isinstance(dataset, Dataset) and len(dataset) == 0,
            f"the trainer holds no row: no label is left within max_length={getattr(args, 'max_length', None)}, or "
            "there was none.",
        ),
        (
            packing and args.packing_strategy != "bfd",
            f"packing_strategy='{getattr(args, 'packing_strategy', None)}' splits examples over rows, so an example "
            "has no loss of its own in its own context; use packing_strategy='bfd', or packing=False.",
        ),
        (
            packing and not has_source,
            "packing has merged the rows and dropped their ids; pass the dataset given to the trainer as dataset=...",
        ),
        (
            packing and streaming,
            "a packed stream cannot be matched to its examples; use packing=False, or a dataset in memory or on disk.",
        ),
        (
            not packing and EXAMPLE_ID not in columns and not (streaming and not columns),
            f"train_dataset has no column '{EXAMPLE_ID}'; call dataset = hf_datasel.add_example_ids(dataset) before "
            "building the trainer.",
        ),
        (
            not is_sft and liger and mode == "in_run",
            "use_liger_kernel fuses the loss, so a plain Trainer never sees logits; set "
            "liger_kernel_config={'fused_linear_cross_entropy': False}, use mode='probe', or use trl.SFTTrainer.",
        ),
    ]
