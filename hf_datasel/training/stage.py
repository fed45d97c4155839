"""The selection stage: from a dataset to a Selection, resumable, before the training proper.

output_dir/
  selection/          the Selection
  selection_stage/
    stage.json        what settings this stage belongs to
    trace/            the Trace, of a method that reads one
    embeddings/       the Embeddings, of a method that reads or clusters them
    ledger/           SHED's coalitions and their values
    valuation/        the Valuation, of SHED
    proxy/            the proxy's weight checkpoints, removed when what the method reads is finished
    warm_up.safetensors    weights to go on from, with selection_continue
"""

from __future__ import annotations

import gc
import json
import os
import shutil
import warnings
from dataclasses import MISSING, fields
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
from hf_datasel.selectors import SELECTORS, Selector, Strata
from hf_datasel.selectors.score import ScoreSelector
from hf_datasel.storage import write_json
from hf_datasel.training.broadcast import decide_once, select_once
from hf_datasel.training.config import SelectingSFTConfig
from hf_datasel.training.describe import describe_rows, versions
from hf_datasel.training.evidence import EvidenceStage, metric_of
from hf_datasel.training.proxy import save_trainable
from hf_datasel.training.stage_proxy import StageProxy
from hf_datasel.training.state import preserved_rng

logger = logging.get_logger(__name__)

DEFAULT_BUDGET = 0.11  # of S2L's main result
GRADIENT_OPTIONS = ("parameters", "precondition", "group_column", "low_rank")
RECORD, SELECT, LOAD = b"record", b"select", b"load"


def make_selector(args: SelectingSFTConfig, budget: int | float | None = None, **changes: Any) -> Selector:
    """The selector that the ``selection_*`` fields describe.

    Raises:
        ValueError: no selector of that name; lists those there are.
    """
    if args.selection_method not in SELECTORS:
        raise ValueError(
            f"selection_method='{args.selection_method}' is not known; choose one of {sorted(SELECTORS)}."
        )
    selector = SELECTORS[args.selection_method]
    scores = issubclass(selector, ScoreSelector)
    if args.threshold is not None and not scores:
        raise ValueError(
            f"selection_threshold={args.selection_threshold!r} cuts scores, which selection_method="
            f"'{args.selection_method}' does not give: set selection_budget."
        )
    if budget is None:
        has_default = selector.__dataclass_fields__["budget"].default is not MISSING
        budget = args.budget if args.budget is not None or has_default else DEFAULT_BUDGET
    options = {name: getattr(args, f"selection_{name}", None) for name in (field.name for field in fields(selector))}
    options = {name: value for name, value in options.items() if value is not None}
    if scores:
        options["threshold"] = args.threshold
    more: Any = args.selection_options or {}
    known = sorted(field.name for field in fields(selector))
    for name in more if isinstance(more, dict) else [repr(more)]:
        if name not in known:
            raise ValueError(f"selection_options: {name} is no hyperparameter of {selector.__name__} ({known}).")
    return selector(**{**options, "budget": budget, **more, **changes})


def stage_directory(args: SelectingSFTConfig) -> Path:
    """Where a run's selection stage is kept."""
    return Path(args.output_dir) / "selection_stage"


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
        self.selector = make_selector(args)
        self.selection_dir = Path(args.output_dir) / "selection"
        self.directory = stage_directory(args)
        self.weights_path = self.directory / "warm_up.safetensors"
        self.evidence = EvidenceStage(
            self.selector, self.directory, dataset, args, validation, anchors, proxy, self._train, accelerator
        )
        fingerprint = stamped_fingerprint(dataset)
        self._settings = {
            "selector": {
                "name": self.selector.name,
                **{f.name: getattr(self.selector, f.name) for f in fields(self.selector)},
            },
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
        if metric_of(self.selector) == "embeddings":
            self._settings["embedder"] = args.selection_embedder
        elif metric_of(self.selector) == "valuation":
            self._settings["valuation"] = args.valuation.describe()

    def run(self) -> Selection:
        """Record if need be, select on the main process, save, and give the Selection to all processes.

        Raises:
            ValueError: ``output_dir`` holds a stage of other settings, or there are fewer rows than the budget.
        """
        if not is_streaming(self.dataset):
            self.selector.check(len(self.dataset))  # now, not after the proxy has been trained
            self._strata()
        # Decided by one process: the others might look when it has gone on already.
        todo = decide_once(self.accelerator, self._take_up, "Taking up the selection stage")
        if todo == LOAD:
            logger.info(f"Taking the Selection made before, in {self.selection_dir}.")
            return select_once(self.accelerator, lambda: Selection.load(self.selection_dir))
        if todo == RECORD:
            with preserved_rng(self.accelerator.device):
                self._record()
        return select_once(self.accelerator, self._select)

    def _take_up(self) -> bytes:
        """Mark ``output_dir`` as this stage's, or refuse it, and say what is left to do."""
        self._claim()
        if (self.selection_dir / "manifest.json").exists():
            return LOAD
        if not self.selector.reads_values:
            return SELECT
        evidence = self.evidence
        if self.args.selection_continue and evidence.is_recorded and not self.weights_path.exists():
            # Killed before it saved the weights that go with the Trace: both anew. The weight checkpoints first, as
            # they cannot be taken up without a Trace.
            for folder in (evidence.proxy_dir, evidence.evidence_dir, evidence.trace_dir):
                shutil.rmtree(folder, ignore_errors=True)
        if evidence.is_made:
            shutil.rmtree(evidence.proxy_dir, ignore_errors=True)
            return SELECT
        return RECORD

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

    def _record(self) -> None:
        trainer = self.evidence.make()
        self.accelerator.wait_for_everyone()
        if self.accelerator.is_main_process:
            if self.args.selection_continue and trainer is not None:
                save_trainable(trainer.model, self.weights_path)
            shutil.rmtree(self.evidence.proxy_dir, ignore_errors=True)
        del trainer
        gc.collect()
        if torch.cuda.is_available():
            torch.cuda.empty_cache()

    def _train(self, trainer: SFTTrainer) -> None:
        trainer.train(resume_from_checkpoint=last_checkpoint(self.evidence.proxy_dir))

    def _select(self) -> Selection:
        evidence = self.evidence.load() if self.selector.reads_values else rows(self.dataset)
        with warnings.catch_warnings(record=True) as notices:
            warnings.simplefilter("always")
            selection = self.selector.select(evidence, strata=self._strata())
        for notice in notices:
            logger.warning(str(notice.message))
        selection.save(self.selection_dir)
        return selection

    def _strata(self) -> Strata | None:
        column = self.args.selection_strata_column
        return None if column is None else strata(self.dataset, column)
