"""What decides a coalition's value: the key that a ledger of such values goes by."""

from __future__ import annotations

from typing import Any

from peft import PeftConfig
from torch import nn
from trl import SFTConfig

from hf_datasel.training.describe import (
    NOT_THE_ADAPTER,
    describe_adapter,
    describe_rows,
    describe_weights,
    training_settings,
)
from hf_datasel.training.utility.coalition_rows import CoalitionRows
from hf_datasel.training.utility.evaluation import Evaluation

# Arguments that a coalition's training does not look at: it is neither saved nor evaluated nor resumed, its rows are
# tokenised already (and known by their tokens), and how they reach the device changes nothing.
NOT_THE_RECIPE = (
    "save_",
    "eval_",
    "do_",
    "dataset_",
    "ddp_",
    "trackio_",
    "dataloader_num_workers",
    "dataloader_pin_memory",
    "dataloader_persistent_workers",
    "dataloader_prefetch_factor",
    "dataloader_multiprocessing_context",
    "batch_eval_metrics",
    "chat_template_path",
    "debug",
    "enable_jit_checkpoint",
    "greater_is_better",
    "ignore_data_skip",
    "include_for_metrics",
    "include_num_input_tokens_seen",
    "load_best_model_at_end",
    "local_rank",
    "metric_for_best_model",
    "model_init_kwargs",
    "per_device_eval_batch_size",
    "prediction_loss_only",
    "project",
    "restore_callback_states_from_checkpoint",
    "resume_from_checkpoint",
    "skip_memory_metrics",
    "trust_remote_code",
    "use_cpu",
)


def experiment_key(
    model: nn.Module,
    args: SFTConfig,
    peft_config: PeftConfig | None,
    rows: CoalitionRows,
    evaluation: Evaluation,
) -> dict[str, Any]:
    """Everything that a value depends on beside the coalition, as JSON values.

    The order of rows, theta_0 and the seed are in it (``recipe.seed``), and so are all training arguments but those
    known not to matter: an argument of a later version of transformers counts until it is known.

    Args:
        model: before any training.
        args: as given.
        peft_config: as given, before PEFT fills in what is left open.
        rows: of all coalitions.
        evaluation: of the dev rows, all columns of which count.
    """
    adapter = describe_adapter(getattr(model, "active_peft_config", peft_config))
    recipe = training_settings(args)
    return {
        "utility": "fine-tune",
        "model": describe_weights(model),
        "recipe": {name: value for name, value in recipe.items() if not name.startswith(NOT_THE_RECIPE)},
        "adapter": None if adapter is None else {k: v for k, v in adapter.items() if k not in NOT_THE_ADAPTER},
        "train_dataset": rows.describe(),
        "validation_dataset": describe_rows(evaluation.dev),
        "metric": evaluation.metric.describe(),
        **evaluation.groups.describe(),
    }
