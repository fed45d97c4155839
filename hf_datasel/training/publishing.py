"""What SelectingSFTTrainer tells the world: a card, and with `push_to_hub` the curated dataset beside the model."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml
from transformers.utils import logging

from hf_datasel.cards.model_card import model_card
from hf_datasel.example_ids import is_streaming
from hf_datasel.hub.access import check_names
from hf_datasel.hub.push import push_selection_to_hub
from hf_datasel.hub.source import find_source
from hf_datasel.selection import Selection
from hf_datasel.storage import write_atomic
from hf_datasel.trace import Trace
from hf_datasel.training.broadcast import decide_once
from hf_datasel.training.config import SelectingSFTConfig
from hf_datasel.training.evidence import EVIDENCE_DIRS, metric_of
from hf_datasel.training.links import make_selectors
from hf_datasel.training.stage import link_directories, stage_directory
from hf_datasel.training.trained_model import card_name, changed_settings, describe_proxy, describe_trained

logger = logging.get_logger(__name__)

SUFFIX = "-selected"
# A full disk, text that cannot be written, and what a selector from elsewhere may have put into its provenance.
CARD_ERRORS = (OSError, ValueError, TypeError, AttributeError, LookupError, yaml.YAMLError)


def require_publishable(args: SelectingSFTConfig, dataset: Any) -> None:
    """Refuse a curated dataset that could not be published, before anything is trained.

    Raises:
        ValueError: a stream, or a name that the Hub would not take.
    """
    if not args.selection_push_dataset:
        return
    if is_streaming(dataset):
        raise ValueError(
            "The curated dataset is published beside the model, which a stream does not allow: load it without "
            "streaming=True, or set selection_push_dataset=False to push the model alone."
        )
    check_names(curated_repo(args, args.hub_model_id or card_name(args.output_dir, None)), args.hub_revision)


def curated_repo(args: SelectingSFTConfig, model_repo: str) -> str:
    """Where the curated dataset goes: ``selection_hub_dataset_id``, by default beside the model."""
    return args.selection_hub_dataset_id or f"{model_repo}{SUFFIX}"


class Publisher:
    """Card and curated dataset of a run.

    Args:
        trainer: a SelectingSFTTrainer, built.
        original: the dataset that it was given.
        dataset: the same with ids.
        proxy: name, path or object; None where the model itself is warmed up.
        is_given: whether the run trains on a Selection that was made elsewhere.

    Attributes:
        curated: id of the curated dataset's repo, once it was pushed; on every process.
    """

    def __init__(self, trainer: Any, original: Any, dataset: Any, proxy: Any, is_given: bool) -> None:
        self.curated: str | None = None
        self._trainer = trainer
        self._source, self._dataset = find_source(original), dataset
        self._proxy = "" if is_given else describe_proxy(trainer.args, proxy)
        self._is_given = is_given
        self._pushed: tuple[Selection, str | None] | None = None
        args = trainer.args
        if args.push_to_hub and args.selection_push_dataset and trainer.is_world_process_zero():
            logger.warning(
                f"push_to_hub=True publishes the chosen rows, too, as the dataset "
                f"{curated_repo(args, trainer.hub_model_id)}: hub_private_repo=True keeps model and dataset private, "
                "selection_push_dataset=False keeps the dataset here."
            )

    def write_card(self, folder: str | os.PathLike[str], name: str | None, source: str | None, tags: Any) -> None:
        """Write ``README.md``; a card that fails is a warning, for the model has to be saved all the same."""
        trainer = self._trainer
        try:
            known = None if self._source is None else self._source.id
            card = model_card(
                describe_trained(
                    trainer,
                    name=name or card_name(trainer.args.output_dir, trainer.args.hub_model_id),
                    proxy=self._proxy,
                    source=source or known,
                    curated=self.curated,
                    tags=[*trainer._tag_names, *([tags] if isinstance(tags, str) else tags or ())],
                )
            )
            text = str(card).encode()
            os.makedirs(folder, exist_ok=True)
            write_atomic(Path(folder) / "README.md", lambda file: file.write(text), len(text))
        except CARD_ERRORS as error:
            logger.warning(f"No model card was written to {folder}: {type(error).__name__}: {error}")

    def push_dataset(self, token: str | None, private: bool | None, revision: str | None) -> None:
        """Publish the curated dataset from the main process, all others waiting; a Selection already there is not.

        Raises:
            OSError, ValueError: as `push_selection_to_hub`, on the main process.
            RuntimeError: on the others, where that fails.
        """
        trainer, args = self._trainer, self._trainer.args
        selection, revision = trainer.selection, revision or args.hub_revision
        if not args.selection_push_dataset or self._is_pushed(selection, revision):
            return
        if selection is None:
            logger.warning("Nothing has been selected yet, so that the model is pushed without a curated dataset.")
            return
        require_publishable(args, self._dataset)

        def push() -> bytes:
            if trainer.hub_model_id is None:
                trainer.init_hf_repo(token=token, private=private)
            commit = push_selection_to_hub(
                curated_repo(args, trainer.hub_model_id),
                self._dataset,
                selection,
                source=self._source,
                evidence=self._evidence(selection),
                recipe=changed_settings(args),
                group_columns=_columns(args),
                private=args.hub_private_repo if private is None else private,
                revision=revision,
                token=args.hub_token if token is None else token,
            )
            return str(commit.repo_url.repo_id).encode()

        self.curated = decide_once(trainer.accelerator, push, "Pushing the curated dataset").decode()
        self._pushed = (selection, revision)

    def _is_pushed(self, selection: Selection | None, revision: str | None) -> bool:
        return self._pushed is not None and self._pushed[0] is selection and self._pushed[1] == revision

    def _evidence(self, selection: Selection) -> Any:
        """What the Selection was made from, where it is still there."""
        if self._is_given:
            return None
        args = self._trainer.args
        stage, selectors = stage_directory(args), make_selectors(args)
        selector, own = selectors[-1], link_directories(selectors, stage)[-1]
        if not selector.reads_values:
            return None
        again = any("reselected_at_epoch" in step for step in selection.provenance)
        place = stage / "target_trace" if again else own / EVIDENCE_DIRS.get(metric_of(selector), "trace")
        if not (place / "manifest.json").exists():
            return None
        return Trace.load(place, partial=True) if again else selector.reads.load(place)


def _columns(args: SelectingSFTConfig) -> Sequence[str]:
    return () if args.selection_strata_column is None else (args.selection_strata_column,)
