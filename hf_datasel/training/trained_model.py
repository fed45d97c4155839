"""What the card of a SelectingSFTTrainer's model tells, read from the trainer."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import MISSING, fields
from pathlib import Path
from typing import Any

from peft import PeftModel
from transformers import Trainer
from transformers.trainer_pt_utils import get_model_param_count
from trl import SFTConfig

from hf_datasel.cards.model_card import TrainedModel
from hf_datasel.cards.steps import name_model
from hf_datasel.cards.text import code
from hf_datasel.hub.scrub import without_secrets
from hf_datasel.selection import Selection
from hf_datasel.training.config import SelectingSFTConfig
from hf_datasel.training.describe import training_settings, versions
from hf_datasel.training.evidence import is_trained_on_all, metric_of
from hf_datasel.training.links import make_selectors

# In the order of a reader's questions.
TRAINING_SETTINGS = (
    *("learning_rate", "lr_scheduler_type", "warmup_steps", "weight_decay", "optim", "num_train_epochs", "max_steps"),
    *("per_device_train_batch_size", "gradient_accumulation_steps", "world_size", "max_length", "packing"),
    *("padding_free", "completion_only_loss", "assistant_only_loss", "bf16", "fp16", "seed"),
)
# Where things lie is told to nobody, and neither is what a run throws away.
PLACES = ("selection_path", "selection_overwrite", "selection_hub_dataset_id")
LOGGED = ("train_loss", "eval_loss", "eval_mean_token_accuracy")


def describe_trained(
    trainer: Trainer,
    *,
    name: str,
    proxy: str,
    source: str | None,
    curated: str | None,
    tags: Sequence[str],
) -> TrainedModel:
    """The facts of a card.

    Args:
        trainer: a SelectingSFTTrainer, at any time.
        name: of the model.
        proxy: whose losses or gradients chose the rows, as `describe_proxy` puts it.
        source: name of the dataset that was selected from, where known.
        curated: id of the curated dataset on the Hub, where it was pushed.
        tags: of the card.
    """
    args, model, selection = trainer.args, trainer.accelerator.unwrap_model(trainer.model), trainer.selection
    base = model.get_base_model() if isinstance(model, PeftModel) else model
    adapter = _plain(model.active_peft_config.peft_type) if isinstance(model, PeftModel) else None
    steps = () if selection is None else selection.provenance
    online = {"every": args.selection_online_every, "share": args.selection_online_share}
    return TrainedModel(
        name=name,
        repo_id=trainer.hub_model_id,
        base=getattr(base.config, "_name_or_path", "") or None,
        architecture=type(base).__name__,
        num_parameters=get_model_param_count(model),
        num_trained=get_model_param_count(model, trainable_only=True),
        adapter=None if adapter is None else str(adapter),
        is_chat=getattr(trainer.processing_class, "chat_template", None) is not None,
        steps=steps,
        num_rows=None if selection is None else _num_rows(selection),
        num_kept=None if selection is None else len(selection),
        source=source,
        curated=curated,
        proxy=proxy,
        selection_settings=_changed(args),
        training_settings=_training_settings(args),
        progress=_progress(trainer),
        is_choice_saved=(Path(args.output_dir) / "selection" / "manifest.json").exists(),
        reselected=any("reselected_at_epoch" in step for step in steps),
        online={} if args.selection_online_every is None else online,
        versions=versions(),
        tags=tags,
        links=_links(),
    )


def describe_proxy(args: SelectingSFTConfig, proxy: Any) -> str:
    """The model by which rows are chosen, as Markdown; "" where no model is run or trained for that.

    Args:
        args: of the run.
        proxy: name, path or object; None where the model itself is used.
    """
    by_model = (is_trained_on_all(one, args) or metric_of(one) == "valuation" for one in make_selectors(args))
    if not any(by_model):
        return ""
    if isinstance(proxy, str):
        return name_model(proxy)
    if proxy is None:
        return "a copy of the model itself"
    name = getattr(proxy.config, "_name_or_path", "")
    return name_model(name) if name else f"a {code(type(proxy).__name__)} that was built from a configuration"


def changed_settings(args: Any) -> dict[str, Any]:
    """The arguments that differ from the defaults, as plain values and without places and secrets."""
    defaults = {
        item.name: item.default if item.default_factory is MISSING else item.default_factory() for item in fields(args)
    }
    told = {name: value for name, value in training_settings(args).items() if name in defaults.keys() - PLACES}
    return dict(without_secrets({name: value for name, value in told.items() if value != _plain(defaults[name])}))


def card_name(output_dir: str, hub_model_id: str | None) -> str:
    """The title of a card: the repo's name, else the folder's."""
    return (hub_model_id or Path(output_dir).absolute().name).split("/")[-1]


def _training_settings(args: Any) -> dict[str, Any]:
    told = {name: _plain(getattr(args, name, None)) for name in TRAINING_SETTINGS}
    return {name: value for name, value in told.items() if (name, value) != ("max_steps", -1)}


def _num_rows(selection: Selection) -> int:
    """Of the source, where the Selection knows; else of what could be chosen."""
    return len(selection.candidate_ids) if selection.fingerprint is None else selection.fingerprint.num_rows


def _changed(args: Any) -> dict[str, Any]:
    """Options of the stage that are not as they are by default; a proxy's name is told elsewhere."""
    others = {"proxy_model", *(item.name for item in fields(SFTConfig))}
    return {name: value for name, value in changed_settings(args).items() if name not in others}


def _progress(trainer: Trainer) -> dict[str, Any]:
    """Steps, epochs, and the last value of what was logged under a name worth telling."""
    state = trainer.state
    told: dict[str, Any] = {"steps": state.global_step}
    if state.epoch is not None:
        told["epochs"] = round(state.epoch, 2)
    for entry in state.log_history:
        told |= {name: round(entry[name], 4) for name in LOGGED if isinstance(entry.get(name), float)}
    return told


def _plain(value: Any) -> Any:
    """An enumeration by its value."""
    return getattr(value, "value", value)


def _links() -> dict[str, str]:
    """The run's page at a tracker that is in use."""
    url = getattr(getattr(sys.modules.get("wandb"), "run", None), "url", None)
    return {"Weights & Biases": url} if isinstance(url, str) else {}
