"""The selection stage: from a dataset to a Selection, resumable, before the training proper.

output_dir/
  selection/          the Selection
  _selection_stage/
    stage.json        what settings this stage belongs to
    trace/            the Trace, of a method that reads one
    embeddings/       the Embeddings, of a method that reads or clusters them
    ledger/           SHED's coalitions and their values
    valuation/        the Valuation, of SHED
    proxy/            the proxy's weight checkpoints, removed when what the method reads is finished
    warm_up.safetensors    weights to go on from, with selection_continue

Of a chain of methods, the links have such folders of their own, in `1-clues/`, `2-s2l/` and so on; a link that reads
what an earlier one has recorded has none.
"""

from __future__ import annotations

import gc
import json
import os
import shutil
import warnings
from collections.abc import Sequence
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator
from datasets import Dataset
from transformers.utils import logging
from trl import SFTTrainer

from hf_datasel.data import rows, strata
from hf_datasel.example_ids import is_streaming, stamped_fingerprint
from hf_datasel.selection import Selection
from hf_datasel.selectors import Selector, Strata
from hf_datasel.selectors.chain import Chain
from hf_datasel.selectors.entry_points import package_note
from hf_datasel.storage import write_json
from hf_datasel.training.broadcast import decide_once, select_once
from hf_datasel.training.config import SelectingSFTConfig
from hf_datasel.training.describe import describe_rows, versions
from hf_datasel.training.evidence import EvidenceStage, is_trained_on_all, metric_of, recording_of
from hf_datasel.training.links import make_selectors
from hf_datasel.training.proxy import save_trainable
from hf_datasel.training.stage_proxy import StageProxy
from hf_datasel.training.state import preserved_rng

logger = logging.get_logger(__name__)

GRADIENT_OPTIONS = ("parameters", "precondition", "group_column", "low_rank")
RECORD, LOAD = b"record", b"load"


def stage_directory(args: SelectingSFTConfig) -> Path:
    """Where a run's selection stage is kept."""
    return Path(args.output_dir) / "_selection_stage"


def link_directories(selectors: Sequence[Selector], directory: Path) -> list[Path]:
    """Where the evidence of each link lies; with an earlier link where that records the same by the same settings."""
    if len(selectors) == 1:
        return [directory]
    places: dict[Any, Path] = {}
    return [
        places.setdefault(recording_of(selector), directory / f"{number}-{selector.name}")
        for number, selector in enumerate(selectors, start=1)
    ]


def last_checkpoint(folder: str | os.PathLike[str]) -> str | None:
    """The newest weight checkpoint in ``folder`` that was written to its end.

    ``transformers`` takes the newest directory, also one that a killed run left half written; ``trainer_state.json``
    is what a Trainer writes last.
    """
    whole = [path.parent for path in Path(folder).glob("checkpoint-*/trainer_state.json") if _is_json(path)]
    steps = {int(path.name.split("-")[1]): path for path in whole if path.name.split("-")[1].isdecimal()}
    return str(steps[max(steps)]) if steps else None


def _is_json(path: Path) -> bool:
    try:
        json.loads(path.read_bytes())
    except ValueError:
        return False
    return True


class SelectionStage:
    """Make a Selection for a run, or find the one it made before it was killed.

    Args:
        args: of the run.
        accelerator: of the run.
        dataset: with example ids, not tokenised.
        proxy: what the stage trains.
        validation, anchors: trusted rows, for methods that read them.
    """

    def __init__(
        self,
        args: SelectingSFTConfig,
        accelerator: Accelerator,
        dataset: Any,
        proxy: StageProxy,
        validation: Dataset | None = None,
        anchors: Dataset | None = None,
    ) -> None:
        self.args = args
        self.accelerator = accelerator
        self.dataset = dataset
        self.chain = Chain(make_selectors(args))
        self.selection_dir = Path(args.output_dir) / "selection"
        self.directory = stage_directory(args)
        self.weights_path = self.directory / "warm_up.safetensors"
        selectors = self.chain.selectors
        places = link_directories(selectors, self.directory)
        recorded = dict.fromkeys(p for s, p in zip(selectors, places, strict=True) if s.reads_values)
        own = replace(proxy, is_kept=len(recorded) > 1)
        self.evidences = [
            EvidenceStage(selector, place, dataset, args, validation, anchors, own, self._train, accelerator)
            for selector, place in zip(selectors, places, strict=True)
        ]
        self._recordings = [self.evidences[places.index(place)] for place in recorded]
        # Several trainings are alike; what a run goes on from is the last.
        self._warm_up = next(
            (one for one in reversed(self._recordings) if is_trained_on_all(one.selector, args)), None
        )
        fingerprint = stamped_fingerprint(dataset)
        chosen_by = [_describe(selector) for selector in selectors]
        self._settings = {
            **({"selector": chosen_by[0]} if len(selectors) == 1 else {"chain": chosen_by}),
            "strata_column": args.selection_strata_column,
            "num_checkpoints": args.selection_num_checkpoints,
            "mode": args.selection_mode,
            "proxy": proxy.describe(),
            "continue": args.selection_continue,
            "dataset": None if fingerprint is None else fingerprint.to_dict(),
            "held_out": {
                name: None if rows_of is None else describe_rows(rows_of)
                for name, rows_of in (("validation", validation), ("anchors", anchors))
            },
            "gradients": {name: getattr(args, f"selection_{name}") for name in GRADIENT_OPTIONS},
            "versions": versions(),
        }
        metrics = [metric_of(selector) for selector in selectors]
        if "embeddings" in metrics:
            self._settings["embedder"] = args.selection_embedder
        if "valuation" in metrics:
            self._settings["valuation"] = args.valuation.describe()

    def run(self) -> Selection:
        """Record if need be, select on the main process, save, and give the Selection to all processes.

        Raises:
            ValueError: ``output_dir`` holds a stage of other settings, or there are fewer rows than the budget.
        """
        if not is_streaming(self.dataset):
            self._check(len(self.dataset))  # now, not after the proxy has been trained
            self._strata()
        # Decided by one process: the others might look when it has gone on already.
        todo = decide_once(self.accelerator, self._take_up, "Taking up the selection stage")
        if todo == LOAD:
            logger.info(f"Taking the Selection made before, in {self.selection_dir}.")
            return select_once(self.accelerator, lambda: Selection.load(self.selection_dir))
        for number in todo.removeprefix(RECORD):
            with preserved_rng(self.accelerator.device):
                self._record(self._recordings[number])
        return select_once(self.accelerator, self._select)

    def _check(self, num_rows: int) -> None:
        """Refuse hyperparameters that do not fit each other or the number of rows."""
        if len(self.evidences) == 1:
            self.evidences[0].selector.check(num_rows)
        else:
            self.chain.check(num_rows)

    def _take_up(self) -> bytes:
        """Mark ``output_dir`` as this stage's, or refuse it, and say what is left to do: numbers of recordings."""
        self._claim()
        if (self.selection_dir / "manifest.json").exists():
            return LOAD
        warm_up = self._warm_up
        if self.args.selection_continue and warm_up and warm_up.is_recorded and not self.weights_path.exists():
            # Killed before it saved the weights that go with the Trace: both anew. The weight checkpoints first, as
            # they cannot be taken up without a Trace.
            for folder in (warm_up.proxy_dir, warm_up.evidence_dir, warm_up.trace_dir):
                shutil.rmtree(folder, ignore_errors=True)
        for evidence in self._recordings:
            if evidence.is_made:
                shutil.rmtree(evidence.proxy_dir, ignore_errors=True)
        return RECORD + bytes(number for number, one in enumerate(self._recordings) if not one.is_made)

    def _claim(self) -> None:
        marker, problem = self.directory / "stage.json", None
        if self.args.selection_overwrite:
            for folder in (self.directory, self.selection_dir):
                shutil.rmtree(folder, ignore_errors=True)
        if marker.exists() and self._holds_work(marker):
            before = json.loads(marker.read_text())
            settings = json.loads(json.dumps(self._settings))
            other = sorted(key for key, value in settings.items() if before.get(key) != value)
            problem = f"other {', '.join(other)}" if other else None
        elif self.selection_dir.exists():
            problem = "a Selection of unknown settings"
        else:
            self.directory.mkdir(parents=True, exist_ok=True)
            write_json(marker, self._settings)
        if problem is not None:
            raise ValueError(
                f"{self.args.output_dir} holds a selection stage of another run ({problem}): choose another "
                "output_dir, or set selection_overwrite=True to throw it away."
            )

    def _holds_work(self, marker: Path) -> bool:
        """Whether anything was made under these settings: a run that was refused before leaves the marker alone."""
        made = (path for path in self.directory.rglob("*") if path.is_file() and path != marker)
        return self.selection_dir.exists() or next(made, None) is not None

    def _record(self, evidence: EvidenceStage) -> None:
        trainer = evidence.make()
        self.accelerator.wait_for_everyone()
        if self.accelerator.is_main_process:
            if self.args.selection_continue and trainer is not None and evidence is self._warm_up:
                save_trainable(trainer.model, self.weights_path)
            shutil.rmtree(evidence.proxy_dir, ignore_errors=True)
        del trainer
        gc.collect()
        if torch.cuda.is_available():
            torch.cuda.empty_cache()

    def _train(self, trainer: SFTTrainer) -> None:
        trainer.train(resume_from_checkpoint=last_checkpoint(trainer.args.output_dir))

    def _select(self) -> Selection:
        read = [one.load() if one.selector.reads_values else rows(self.dataset) for one in self.evidences]
        with warnings.catch_warnings(record=True) as notices:
            warnings.simplefilter("always")
            if len(read) == 1:
                selection = self.evidences[0].selector.select(read[0], strata=self._strata())
            else:
                selection = self.chain.select(read, strata=self._strata())
        for notice in notices:
            logger.warning(str(notice.message))
        selection.save(self.selection_dir)
        return selection

    def _strata(self) -> Strata | None:
        column = self.args.selection_strata_column
        return None if column is None else strata(self.dataset, column)


def _describe(selector: Selector) -> dict[str, Any]:
    """A selector's name, package and hyperparameters."""
    options = {item.name: getattr(selector, item.name) for item in fields(selector)}
    return {"name": selector.name, **package_note(type(selector)), **options}
