"""The selection stage: from a dataset to a Selection, resumable, before the training proper.

output_dir/
  selection/          the Selection
  selection_stage/
    stage.json        what settings this stage belongs to
    trace/            the Trace (a method that reads no losses makes none)
    proxy/            the proxy's weight checkpoints, removed when the Trace is finished
    warm_up.safetensors    weights to go on from, with selection_continue
"""

from __future__ import annotations

import gc
import json
import os
import shutil
import warnings
from collections.abc import Callable
from dataclasses import fields
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
from hf_datasel.trace import Trace
from hf_datasel.training.broadcast import decide_once, select_once
from hf_datasel.training.config import SelectingSFTConfig
from hf_datasel.training.describe import describe_rows, versions
from hf_datasel.training.evidence import EvidenceStage
from hf_datasel.training.proxy import save_trainable
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
        budget = args.budget if args.budget is not None or scores else DEFAULT_BUDGET
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
        proxy: what the proxy is, as far as JSON can say, so that a stage of another proxy is not taken for this one.
        validation, anchors: trusted rows, for methods that read them.
    """

    def __init__(
        self,
        args: SelectingSFTConfig,
        accelerator: Accelerator,
        dataset: Any,
        proxy: dict[str, Any],
        validation: Dataset | None = None,
        anchors: Dataset | None = None,
    ) -> None:
        self.args = args
        self.accelerator = accelerator
        self.dataset = dataset
        self.selector = make_selector(args)
        self.validation, self.anchors = validation, anchors
        self.selection_dir = Path(args.output_dir) / "selection"
        self.directory = stage_directory(args)
        self.trace_dir = self.directory / "trace"
        self.proxy_dir = self.directory / "proxy"
        self.weights_path = self.directory / "warm_up.safetensors"
        fingerprint = stamped_fingerprint(dataset)
        self._settings = {
            "selector": {
                "name": self.selector.name,
                **{f.name: getattr(self.selector, f.name) for f in fields(self.selector)},
            },
            "strata_column": args.selection_strata_column,
            "num_checkpoints": args.selection_num_checkpoints,
            "mode": args.selection_mode,
            "proxy": proxy,
            "continue": args.selection_continue,
            "dataset": None if fingerprint is None else fingerprint.to_dict(),
            "held_out": {
                name: None if rows_of is None else describe_rows(rows_of)
                for name, rows_of in (("validation", validation), ("anchors", anchors))
            },
            "gradients": {name: getattr(args, f"selection_{name}") for name in GRADIENT_OPTIONS},
            "versions": versions(),
        }

    def run(self, make_proxy_trainer: Callable[[str], SFTTrainer]) -> Selection:
        """Record if need be, select on the main process, save, and give the Selection to all processes.

        Args:
            make_proxy_trainer: builds the trainer to record, given its output directory; called only when needed.

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
                self._record(make_proxy_trainer)
        return select_once(self.accelerator, self._select)

    def _take_up(self) -> bytes:
        """Mark ``output_dir`` as this stage's, or refuse it, and say what is left to do."""
        self._claim()
        if (self.selection_dir / "manifest.json").exists():
            return LOAD
        if not self.selector.reads_values:
            return SELECT
        if (self.trace_dir / "manifest.json").exists() and Trace.open(self.trace_dir).complete:
            if self.weights_path.exists() or not self.args.selection_continue:
                shutil.rmtree(self.proxy_dir, ignore_errors=True)
                return SELECT
            # Killed before it saved the weights that go with the Trace: both anew. The weight checkpoints first, as
            # they cannot be taken up without a Trace.
            shutil.rmtree(self.proxy_dir, ignore_errors=True)
            shutil.rmtree(self.trace_dir)
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

    def _record(self, make_proxy_trainer: Callable[[str], SFTTrainer]) -> None:
        trainer = make_proxy_trainer(str(self.proxy_dir))
        EvidenceStage(
            self.selector,
            trainer,
            self.trace_dir,
            self.dataset,
            self.args,
            self.validation,
            self.anchors,
            lambda stage: stage.train(resume_from_checkpoint=last_checkpoint(self.proxy_dir)),
        ).record()
        self.accelerator.wait_for_everyone()
        if self.accelerator.is_main_process:
            if self.args.selection_continue:
                save_trainable(trainer.model, self.weights_path)
            shutil.rmtree(self.proxy_dir, ignore_errors=True)
        del trainer
        gc.collect()
        if torch.cuda.is_available():
            torch.cuda.empty_cache()

    def _select(self) -> Selection:
        evidence = Trace.load(self.trace_dir) if self.selector.reads_values else rows(self.dataset)
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
