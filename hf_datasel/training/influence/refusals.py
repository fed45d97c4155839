"""Where per-example gradients could not be read rightly, by name, each with the way out."""

from __future__ import annotations

from typing import Any

from datasets import IterableDataset
from transformers import Trainer

from hf_datasel.training.influence.engine import InfluenceOptions
from hf_datasel.training.refusals import refuse_unrecordable


def refuse_ungradable(
    trainer: Trainer, mode: str, options: InfluenceOptions, *, has_source: bool, score_every: int
) -> None:
    """Raise if gradients of this trainer's examples could not be read exactly in this mode.

    Args:
        trainer: built and not yet training.
        mode: "probe" or "in_run".
        options: what is to be measured.
        has_source: whether the dataset before tokenisation was given.
        score_every: of ``in_run``.

    Raises:
        ValueError: names the option that stands in the way, and what to do.
    """
    refuse_unrecordable(trainer, mode, has_source=has_source)
    whole = isinstance(score_every, int) and not isinstance(score_every, bool) and score_every >= 1
    if not whole or (mode == "probe" and score_every != 1):
        raise ValueError(
            f"score_every={score_every!r} must be a whole number of at least 1, and applies to mode='in_run' only."
        )
    for wrong, message in [*_both(trainer, options), *(_in_run(trainer, options) if mode == "in_run" else [])]:
        if wrong:
            raise ValueError(f"Per-example gradients cannot be recorded here: {message}")


def _both(trainer: Trainer, options: InfluenceOptions) -> list[tuple[bool, str]]:
    return [
        (
            bool(options.fit_names) and isinstance(trainer.train_dataset, IterableDataset),
            "ifd and pairing draw rows by number, which a stream does not have; leave them out, and select by "
            "score='cosine' or 'dot'.",
        ),
        (
            bool(trainer.args.torch_compile),
            "torch_compile=True builds a graph that hooks would break up; train without it.",
        ),
        (
            bool(getattr(trainer.model, "is_quantized", False)) and not hasattr(trainer.model, "peft_config"),
            "the model's weights are quantised and no adapter is trained; add peft_config=LoraConfig(...).",
        ),
    ]


def _in_run(trainer: Trainer, options: InfluenceOptions) -> list[tuple[bool, str]]:
    args: Any = trainer.args
    probe = "use mode='probe'."
    return [
        (
            options.precondition != "none",
            f"precondition='{options.precondition}' needs second moments, which an optimizer has only after its first "
            f"step, when training has passed examples already; {probe}",
        ),
        (args.label_smoothing_factor > 0, f"label_smoothing_factor changes the loss; {probe}"),
        (trainer.compute_loss_func is not None, f"compute_loss_func is a loss of your own; {probe}"),
        (getattr(args, "loss_type", "nll") != "nll", f"loss_type='{getattr(args, 'loss_type', None)}'; {probe}"),
        (bool(getattr(trainer, "aux_loss_enabled", False)), f"the router's auxiliary loss is trained too; {probe}"),
    ]
