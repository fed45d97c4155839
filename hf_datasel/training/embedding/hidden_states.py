"""The hidden states of the model that is to be trained: what it makes of an example itself, at no download."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import KW_ONLY, dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
import pyarrow as pa
from accelerate import PartialState
from datasets import Dataset
from numpy.typing import NDArray
from peft import PeftModel
from transformers import AutoModelForCausalLM, PreTrainedModel, PreTrainedTokenizerBase
from trl import SFTConfig

from hf_datasel.fingerprint import EXAMPLE_ID
from hf_datasel.functional.losses import IGNORE_INDEX
from hf_datasel.functional.pooling import masked_mean, unit_length
from hf_datasel.texts import TextOf
from hf_datasel.training.embedding.base import Passage, ReadPassages, padded
from hf_datasel.training.embedding.loading import load_model, load_tokenizer
from hf_datasel.training.embedding.training_rows import DEFAULTS, lists_of, tokenised_as_trained
from hf_datasel.training.identity import config_text, digest_of, tokenizer_text
from hf_datasel.training.state import scoring_mode

POOLED = ("labels", "all")
CHECKED_ROWS = 4096  # rows looked at together


@dataclass(frozen=True, eq=False)
class HiddenStateEmbedder:
    """Last hidden states of a causal language model, averaged over the tokens with a label in training, or over all.

    Rows are tokenised as ``SFTTrainer`` does, chat template, end of sequence and truncation included. A model object
    is used as it is at the moment, and left so.

    Args:
        model: a causal language model, a PEFT model around one, or the name or path of one.
        processing_class: its tokenizer; by default the one that lies with the model.
        args: of the training: ``max_length``, ``assistant_only_loss`` and the like; TRL's defaults where it is None.
        pooled: "labels" or "all".
        normalize: scale vectors to unit length.
        formatting_func: of the trainer, if it has one.
        device: where a model named by name or path runs; by default that of the process.

    Raises:
        FileNotFoundError: files are missing here and cannot be fetched; says which, and how to get them.
        ValueError: an option out of range, a model that is no causal language model, or a row without a token to pool.
    """

    model: str | PreTrainedModel | PeftModel
    processing_class: PreTrainedTokenizerBase | None = None
    _: KW_ONLY
    args: SFTConfig | None = field(default=None, repr=False)
    pooled: str = "labels"
    normalize: bool = True
    formatting_func: Callable[[dict[str, Any]], str] | None = None
    device: str | None = None

    @property
    def name(self) -> str:
        """Name or path."""
        config_name = self.model if isinstance(self.model, str) else getattr(self._model.config, "_name_or_path", "")
        return config_name or type(self._model).__name__

    @property
    def hash(self) -> str:
        """Digest of the weights as they are now, of the configuration and the tokenizer."""
        tokenizer = tokenizer_text(self._tokenizer)
        return digest_of(config_text(self._model.config), tokenizer, tensors=self._model.state_dict())

    @property
    def dimension(self) -> int:
        """d, the model's hidden size."""
        return int(self._model.config.get_text_config().hidden_size)

    def describe(self) -> dict[str, Any]:
        """Name, hash, and the options that decide the vectors."""
        if self.pooled not in POOLED:
            raise ValueError(f"pooled={self.pooled!r} must be one of {POOLED}.")
        options = {"pooled": self.pooled, "normalize": self.normalize, "max_length": self._setting("max_length")}
        about = {"kind": "hidden_states", "name": self.name, "hash": self.hash, "dimension": self.dimension}
        return {**about, **options, "dtype": str(self._model.dtype).removeprefix("torch.")}

    def reader(self, dataset: Dataset, text: TextOf) -> ReadPassages:
        """Rows as training tokenises them."""
        if text is not None:
            raise ValueError(
                "HiddenStateEmbedder reads rows as training tokenises them: leave text= out, or say how a row becomes "
                "text with formatting_func=..., as for the trainer."
            )
        rows = tokenised_as_trained(dataset, self._tokenizer, self.args, self.formatting_func)
        table = rows.select_columns([EXAMPLE_ID, "input_ids", "labels"]).with_format("arrow")
        for start in range(0, len(rows), CHECKED_ROWS):
            self._passages(table[start : start + CHECKED_ROWS])
        return lambda positions: self._passages(table[positions])

    def embed(self, passages: Sequence[Passage]) -> NDArray[np.float32]:
        """Vectors float32 ``[n, d]``."""
        model = self._model
        whole = model.get_base_model() if isinstance(model, PeftModel) else model
        inputs, pooled = padded(passages, self._tokenizer.pad_token_id or 0, model.device)
        with scoring_mode(model):
            # The body alone: the head's logits are most of a small model's work, and TRL wraps the whole's forward.
            hidden = whole.base_model(**inputs, use_cache=False).last_hidden_state
            vectors = masked_mean(hidden, pooled)
            vectors = unit_length(vectors) if self.normalize else vectors
        return vectors.cpu().numpy()

    def _passages(self, table: pa.Table) -> list[Passage]:
        limit, keep_end = self._setting("max_length"), self._setting("truncation_mode") == "keep_end"
        passages = []
        both = zip(lists_of(table, "input_ids"), lists_of(table, "labels"), strict=True)
        for number, (tokens, labels) in enumerate(both):
            kept = slice(None) if limit is None else slice(-limit, None) if keep_end else slice(None, limit)
            labelled = labels[kept] != IGNORE_INDEX
            pooled = labelled if self.pooled == "labels" else np.ones_like(labelled)
            if not pooled.any():
                raise ValueError(
                    f"Example {table.column(EXAMPLE_ID)[number]} has no {'label ' * bool(len(tokens))}token within "
                    f"max_length={limit}, so there is nothing to average: raise args.max_length, drop the row as "
                    "training does, or pass pooled='all'."
                )
            passages.append(Passage(tokens[kept], pooled, len(tokens) - len(labelled)))
        return passages

    def _setting(self, name: str) -> Any:
        return DEFAULTS[name] if self.args is None else getattr(self.args, name)

    @cached_property
    def _model(self) -> Any:
        model = self.model
        if isinstance(model, str):
            model = load_model(AutoModelForCausalLM, model, None, "auto")[0].to(self.device or PartialState().device)
        elif self.device is not None:
            raise ValueError("device= is for a model named by name or path; move this one with model.to(device).")
        if getattr(getattr(model, "active_peft_config", None), "is_prompt_learning", False):
            raise ValueError(
                f"{type(model.active_peft_config).__name__} puts virtual tokens before each example: embed with the "
                "base model, or with LoRA."
            )
        if model.config.is_encoder_decoder or model.get_output_embeddings() is None:
            raise ValueError(
                f"{type(model).__name__} is no causal language model: embed with hf_datasel.EncoderEmbedder."
            )
        return model

    @cached_property
    def _tokenizer(self) -> PreTrainedTokenizerBase:
        if self.processing_class is not None:
            return self.processing_class
        if isinstance(self.model, str):
            return load_tokenizer(self.model, None)
        raise ValueError("A model object brings no tokenizer: pass processing_class=...")
