"""Training in the quickstart: the real `trl.SFTTrainer`, told to be quiet."""

import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

from datasets import Dataset
from transformers import PreTrainedModel, PreTrainedTokenizerFast, PrinterCallback, TrainerCallback
from trl import SFTConfig, SFTTrainer

from hf_datasel.quickstart.plan import Recipe


class _StepCallback(TrainerCallback):
    """Calls `on_step` after every optimiser step."""

    def __init__(self, on_step: Callable[[], None]) -> None:
        self.on_step = on_step

    def on_step_end(self, *args: Any, **kwargs: Any) -> None:
        self.on_step()


def make_trainer(
    model: PreTrainedModel,
    dataset: Dataset,
    tokenizer: PreTrainedTokenizerFast,
    recipe: Recipe,
    *,
    seed: int,
    output_dir: Path,
    on_step: Callable[[], None],
) -> SFTTrainer:
    """An SFTTrainer for a tiny model on a CPU.

    Args:
        model: trained in place.
        dataset: columns `prompt` and `completion`, or already tokenised (`models.tokenize`).
        seed: of the order of the rows.
        output_dir: nothing is saved there, but the Trainer wants a place.
        on_step: called after every optimiser step.
    """
    with warnings.catch_warnings():
        # TRL 1.16 sets the option that transformers 5.23 renamed, so every SFTConfig warns of it.
        warnings.filterwarnings("ignore", "`gradient_checkpointing` is deprecated", FutureWarning)
        args = SFTConfig(
            output_dir=str(output_dir),
            max_steps=recipe.num_steps,
            per_device_train_batch_size=recipe.batch_size,
            learning_rate=recipe.learning_rate,
            warmup_steps=max(1, recipe.num_steps // 20),
            seed=seed,
            max_length=None,  # no question is longer than 15 tokens
            use_cpu=True,  # so small a model gains nothing from a GPU, and a CPU gives the same numbers twice
            bf16=False,
            gradient_checkpointing=False,
            dataloader_pin_memory=False,
            optim="adamw_torch_fused",
            logging_strategy="no",
            save_strategy="no",
            report_to="none",
            disable_tqdm=True,
        )
    trainer = SFTTrainer(
        model=model,
        args=args,
        train_dataset=dataset,
        processing_class=tokenizer,
        callbacks=[_StepCallback(on_step)],
    )
    trainer.remove_callback(PrinterCallback)  # stands in for the progress bar, and prints a dictionary a training
    return trainer
