"""Digests of models by content: equal weights, configurations and tokenizers have one digest wherever they lie."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor
from transformers import PretrainedConfig, PreTrainedTokenizerBase

from hf_datasel.content import DIGEST_BYTES
from hf_datasel.training.progress import watched

# Of a configuration: where it came from, what loading and saving write into it (the weights' dtype stands with the
# weights), and what training switches without a change of any hidden state.
IMMATERIAL = (
    *("_name_or_path", "transformers_version", "architectures", "dtype"),
    *("use_cache", "gradient_checkpointing"),
)


def digest_of(*parts: str, tensors: Mapping[str, Tensor] | None = None) -> str:
    """Hexadecimal BLAKE2b digest of strings in their order, and of tensors by name, dtype, shape and bytes."""
    digest = hashlib.blake2b(digest_size=DIGEST_BYTES)
    for part in parts:
        digest.update(f"{len(part)}:{part}".encode("utf-8", "surrogatepass"))
    for name, tensor in watched(sorted((tensors or {}).items()), "Reading weights", "tensor"):
        digest.update(f"{name} {tensor.dtype} {list(tensor.shape)};".encode())
        flat = tensor.detach().cpu().contiguous().reshape(-1)
        digest.update(flat.view(torch.uint8).numpy().data)
    return digest.hexdigest()


def config_text(config: PretrainedConfig) -> str:
    """A configuration as JSON, without what decides no vector."""
    content: dict[str, Any] = config.to_diff_dict()
    return json.dumps({key: content[key] for key in content if key not in IMMATERIAL}, sort_keys=True, default=str)


def tokenizer_text(tokenizer: PreTrainedTokenizerBase) -> str:
    """What a tokenizer does with a text, as JSON."""
    backend = getattr(tokenizer, "backend_tokenizer", None)
    if backend is None:
        about = {"class": type(tokenizer).__name__, "special": tokenizer.special_tokens_map}
        return json.dumps({**about, "vocabulary": tokenizer.get_vocab()}, sort_keys=True, default=str)
    content = json.loads(backend.to_str())
    # These two are those of the last call.
    return json.dumps({key: content[key] for key in content if key not in ("truncation", "padding")}, sort_keys=True)
