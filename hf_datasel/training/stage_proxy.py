"""What a selection stage trains: a proxy, or a copy of the model itself; once on everything, or on coalitions."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from accelerate.state import AcceleratorState
from peft import LoraConfig, PeftConfig, PeftModel
from transformers import PreTrainedModel, PreTrainedTokenizerBase
from trl import SFTConfig, SFTTrainer

from hf_datasel.training.config import SelectingSFTConfig
from hf_datasel.training.describe import describe_adapter
from hf_datasel.training.lending import PLAIN_INITS
from hf_datasel.training.proxy import make_proxy_trainer, proxy_args, warm_up_copy


@dataclass(frozen=True, eq=False)
class Learner:
    """A model and how it is fine-tuned, as `FineTuneUtility` takes it.

    Args:
        model: name, path or object; left as it is.
        processing_class: its tokenizer; None for its own.
        args: of a training.
        peft_config: of the adapter; None to train the weights.
        formatting_func: as in SFTTrainer.
    """

    model: str | PreTrainedModel | PeftModel
    processing_class: PreTrainedTokenizerBase | None
    args: SFTConfig
    peft_config: PeftConfig | None = None
    formatting_func: Callable[[dict[str, Any]], str] | None = None


@dataclass(frozen=True, eq=False)
class StageProxy:
    """The stage's model, built when asked for.

    Args:
        args: of the run.
        target: the model to be trained in the end.
        proxy: name, path or object; None where the model itself takes its part.
        processing_class: the tokenizer that the stage reads with.
        peft_config: of the proxy's adapter.
        target_peft_config: that the target's adapter was made by; None where it has none, or came with one.
        formatting_func: as in SFTTrainer.
        is_kept: whether a proxy that is an object is to stay as it is, as it is trained more than once.
    """

    args: SelectingSFTConfig
    target: PreTrainedModel | PeftModel
    proxy: str | PreTrainedModel | None
    processing_class: PreTrainedTokenizerBase
    peft_config: PeftConfig | None
    target_peft_config: PeftConfig | None
    formatting_func: Callable[[dict[str, Any]], str] | None
    is_kept: bool = False

    def describe(self) -> dict[str, Any]:
        """What it is, as far as JSON can say, so that a stage of another proxy is not taken for this one."""
        if isinstance(self.proxy, str):
            about: dict[str, Any] = {"name": self.proxy}
        else:
            config = (self.target if self.proxy is None else self.proxy).config
            about = {"name": config._name_or_path, "model_type": config.model_type, "warm_up": self.proxy is None}
        adapter = self.peft_config if self.proxy is not None else getattr(self.target, "active_peft_config", None)
        return {
            **about,
            "adapter": describe_adapter(adapter),
            "training_args": self.args.proxy_training_args,
            "init_kwargs": self.args.proxy_model_init_kwargs,
        }

    def make_trainer(self, output_dir: str, dataset: Any) -> SFTTrainer:
        """A trainer on all rows, whose checkpoints go to ``output_dir``."""
        model = self.target if self.proxy is None else self.proxy
        if not isinstance(model, str) and (self.proxy is None or self.is_kept):
            model = warm_up_copy(model)
        options: dict[str, Any] = {} if self.proxy is None else {"peft_config": self.peft_config}
        return make_proxy_trainer(
            proxy_args(self.args, output_dir),
            model,
            dataset,
            self.processing_class,
            formatting_func=self.formatting_func,
            **options,
        )

    def learner(self, output_dir: str) -> Learner:
        """What is fine-tuned on coalitions.

        An adapter that the run has just put into the target is taken out of a copy again, so that every coalition
        starts one of its own beside weights which all of them share.
        """
        model, adapter = self.target if self.proxy is None else self.proxy, self.peft_config
        if self.proxy is None:
            adapter = self.target_peft_config
            if isinstance(adapter, LoraConfig) and adapter.init_lora_weights in PLAIN_INITS:
                model = warm_up_copy(self.target).unload()
            else:
                adapter = None
        with _accelerator_state_kept():
            args = proxy_args(self.args, output_dir)
        return Learner(model, self.processing_class, args, adapter, self.formatting_func)


@contextmanager
def _accelerator_state_kept() -> Iterator[None]:
    """Making arguments throws away the state that every Accelerator reads, and no trainer here makes another."""
    before = dict(AcceleratorState._shared_state)
    try:
        yield
    finally:
        AcceleratorState._shared_state.update(before)
