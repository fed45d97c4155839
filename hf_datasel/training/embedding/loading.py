"""Loading by name or path, where nothing is ever taken in place of what is missing."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from huggingface_hub import _CACHED_NO_EXIST, constants, hf_hub_download, try_to_load_from_cache
from huggingface_hub.errors import RemoteEntryNotFoundError
from transformers import AutoTokenizer, PreTrainedModel, PreTrainedTokenizerBase

from hf_datasel.training.state import preserved_rng

NEEDED = ("config.json", "model.safetensors", "tokenizer_config.json", "tokenizer.json")
PATTERNS = ("*.json", "*.txt", "*.model", "*.safetensors")
UNREAD = "pooler."  # a head over the first token, which mean pooling does not read; many checkpoints lack it


def load_model(auto: Any, name: str, revision: str | None, dtype: Any) -> tuple[PreTrainedModel, frozenset[str]]:
    """A model in eval mode on the CPU, and the names of the weights that its checkpoint lacks.

    Args:
        auto: ``AutoModel`` or a class like it.
        name: of a repository on the Hub, or a path.
        revision: of the repository.
        dtype: of the weights, or "auto".

    Raises:
        FileNotFoundError: files are missing; says which, and how to get them.
        ValueError: no such model can be made of the files, or they lack weights that are read.
    """
    try:
        with preserved_rng():
            model, report = auto.from_pretrained(name, revision=revision, dtype=dtype, output_loading_info=True)
    except OSError as error:
        raise missing(name, revision, error) from error
    except (ValueError, KeyError) as error:
        raise ValueError(f"The embedder '{name}' cannot be loaded: {_first_line(error)}") from error
    lacking = frozenset(report["missing_keys"])
    read = sorted(weight for weight in lacking if not weight.startswith(UNREAD))
    if read:
        raise ValueError(
            f"The files of the embedder '{name}' lack {len(read)} weights that it reads, {read[0]} first, and random "
            "ones would take their place: name the checkpoint of a whole model."
        )
    return model, lacking


def load_tokenizer(name: str, revision: str | None) -> PreTrainedTokenizerBase:
    """The tokenizer of a model.

    Raises:
        FileNotFoundError: files are missing; says which, and how to get them. ValueError: they make no tokenizer.
    """
    try:
        tokenizer = AutoTokenizer.from_pretrained(name, revision=revision)
    except OSError as error:
        raise missing(name, revision, error) from error
    except (ValueError, KeyError) as error:
        raise ValueError(f"The tokenizer of '{name}' cannot be loaded: {_first_line(error)}") from error
    # Without files transformers makes an empty tokenizer of the model's kind, to which every word is unknown.
    files = set(tokenizer.vocab_files_names.values())
    if files and not any(_is_here(name, file, revision) for file in {*files, "tokenizer.json"}):
        raise missing(name, revision, ValueError("It has no vocabulary."), "tokenizer.json", "tokenizer_config.json")
    return tokenizer


def optional_json(name: str, file: str, revision: str | None) -> Any:
    """The content of a JSON file of a model; None where the model has no such file.

    Raises:
        FileNotFoundError: nobody can know whether it has one, as the Hub cannot be reached.
    """
    path = Path(name) / file
    if not Path(name).is_dir():
        try:
            path = Path(hf_hub_download(name, file, revision=revision))
        except RemoteEntryNotFoundError:
            return None
        except (OSError, ValueError) as error:
            if try_to_load_from_cache(name, file, revision=revision) is _CACHED_NO_EXIST:
                return None
            raise missing(name, revision, error, file) from error
    return json.loads(path.read_bytes()) if path.is_file() else None


def missing(name: str, revision: str | None, error: Exception, *files: str) -> FileNotFoundError:
    """The error that says which files of a model are not here, of ``files`` or those every model needs."""
    if not Path(name).is_dir() and (name.startswith((".", "/", "~")) or name.count("/") > 1):
        return FileNotFoundError(f"The embedder '{name}' is the path of no folder (looked from {Path.cwd()}).")
    lacking = [file for file in files or NEEDED if not _is_here(name, file, revision)]
    if Path(name).is_dir():
        return FileNotFoundError(
            f"The embedder '{name}' cannot be loaded from that folder: {_first_line(error)} It has no "
            f"{', '.join(lacking) or 'readable weights'}. Copy the missing files there, or name another folder."
        )
    local = name.rsplit("/", 1)[-1]
    include = " ".join(f'--include "{pattern}"' for pattern in PATTERNS)
    return FileNotFoundError(
        f"The embedder '{name}' cannot be loaded: {_first_line(error)} Not in the cache {constants.HF_HUB_CACHE}: "
        f"{', '.join(lacking) or 'nothing that is known of'}. Where there is a network run `hf download {name} "
        f"{include} --local-dir {local}` and pass the path of that folder, or run it without --local-dir and copy the "
        "cache. No other embedder is taken in its place: other vectors make other clusters."
    )


def _is_here(name: str, file: str, revision: str | None) -> bool:
    if Path(name).is_dir():
        return (Path(name) / file).is_file()
    return isinstance(try_to_load_from_cache(name, file, revision=revision), str)


def _first_line(error: BaseException) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
