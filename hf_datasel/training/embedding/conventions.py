"""How a model's token vectors become one by its own files: those of sentence-transformers, where there are any."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from hf_datasel.training.embedding.loading import optional_json

PLAIN_MODULES = ("Transformer", "Pooling", "Normalize")
POOLINGS = {"mean": "pooling_mode_mean_tokens", "cls": "pooling_mode_cls_token"}  # by the older files' names


@dataclass(frozen=True)
class Conventions:
    """How a model is meant to be used.

    Args:
        pooling: "mean" or "cls".
        max_length: longest text in tokens, None where the files do not say.
    """

    pooling: str = "mean"
    max_length: int | None = None


def read_conventions(name: str, revision: str | None) -> Conventions:
    """The conventions of a model; the mean over all tokens for one that has no files of sentence-transformers.

    Raises:
        FileNotFoundError: the Hub cannot be reached, and nobody asked before whether there are such files.
        ValueError: the model ends in modules that plain transformers does not have, or pools in another way.
    """
    modules = optional_json(name, "modules.json", revision)
    if modules is None:
        return Conventions()
    kinds = {entry["type"].rsplit(".", 1)[-1]: entry["path"] for entry in modules}
    others = sorted(kinds.keys() - set(PLAIN_MODULES))
    if others:
        raise ValueError(_elsewhere(name, f"has the module {others[0]}"))
    content = _of(name, kinds.get("Pooling", ""), "config.json", revision)
    mode = content.get("pooling_mode")
    found = [pooling for pooling, older in POOLINGS.items() if content.get(older) or mode == pooling]
    others = [key for key in content if key.startswith("pooling_mode_") and content[key] is True]
    if len(found) != 1 or len(others) > 1:
        raise ValueError(_elsewhere(name, "pools its tokens in another way than their mean or the first of them"))
    limit = _of(name, kinds.get("Transformer", ""), "sentence_bert_config.json", revision).get("max_seq_length")
    return Conventions(found[0], limit)


def _of(name: str, folder: str, file: str, revision: str | None) -> dict[str, Any]:
    content: dict[str, Any] = optional_json(name, f"{folder}/{file}" if folder else file, revision) or {}
    return content


def _elsewhere(name: str, why: str) -> str:
    return (
        f"The embedder '{name}' {why}, so plain transformers would give other vectors than its own: pass "
        f"hf_datasel.SentenceTransformersEmbedder('{name}')."
    )
