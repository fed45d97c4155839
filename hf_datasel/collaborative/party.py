"""A party: whose rows they are, and what it answers when the coordinator asks.

Everything a party writes stays in its own directory:

    replies/<request>.message   the newest answer of each kind, behind a digest of the request it answers
    trace/                      influence of its rows, and of the anchors
    selection/                  what it keeps
    training/                   a Trainer's checkpoints, gone when that training is done
"""

from __future__ import annotations

import hashlib
import re
import shutil
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from datasets import Dataset
from peft import LoraConfig

from hf_datasel.collaborative import rules
from hf_datasel.collaborative.adapters import draw_adapter, read_adapter
from hf_datasel.collaborative.local_training import LocalTraining
from hf_datasel.collaborative.messages import (
    Adapter,
    FilterReply,
    FilterRequest,
    ScoreReply,
    ScoreRequest,
    TrainReply,
    TrainRequest,
)
from hf_datasel.collaborative.tables import unpack_rows
from hf_datasel.collaborative.wire import decode
from hf_datasel.data import add_example_ids, rows
from hf_datasel.selection import Selection
from hf_datasel.selectors import RandomSelector
from hf_datasel.storage import write_atomic
from hf_datasel.trace import Trace
from hf_datasel.training import GradientTraceCallback
from hf_datasel.training.stage import last_checkpoint

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")


@dataclass(frozen=True, eq=False)
class Party:
    """Someone with rows that nobody else may see.

    Args:
        name: letters, digits, ``.``, ``_`` and ``-``; the name of its directory.
        dataset: a ``datasets.Dataset`` in one of TRL's text formats. Ids are added if it has none.
        peft_config: a LoRA configuration of its own, as for another rank; the common one by default.
        selection: what it has selected itself; only where ``clues`` is given no selector.
    """

    name: str
    dataset: Dataset
    peft_config: LoraConfig | None = None
    selection: Selection | None = None

    def __post_init__(self) -> None:
        if not isinstance(self.name, str) or not NAME.fullmatch(self.name):
            raise ValueError(f"A party cannot be named {self.name!r}: use letters, digits, '.', '_' and '-'.")
        if not isinstance(self.dataset, Dataset):
            raise TypeError(f"Party {self.name!r}: a datasets.Dataset is needed, not {type(self.dataset).__name__}.")
        if not len(self.dataset):
            raise ValueError(f"Party {self.name!r} has no rows.")


class PartyServer:
    """Answers a party's requests; an answer once given is given again without the work.

    Args:
        party: whose side this is.
        training: how it trains.
        directory: where it keeps its files.
        seed: of an adapter that it draws itself.
    """

    def __init__(self, party: Party, training: LocalTraining, directory: Path, seed: int) -> None:
        self.party = party
        self.dataset = add_example_ids(party.dataset)
        self.directory = directory
        self._training = training
        self._seed = seed
        self._prepared: Dataset | None = None
        self._answers: dict[type, Callable[[Any], Any]] = {
            ScoreRequest: self._score,
            FilterRequest: self._filter,
            TrainRequest: self._train,
        }

    def __call__(self, request: Any) -> Any:
        """The answer to a request.

        Raises:
            TypeError: a message that is no request.
            ValueError: something in the request or in the rows does not allow an answer.
        """
        if type(request) not in self._answers:
            raise TypeError(
                f"A party answers {[kind.__name__ for kind in self._answers]}, not {type(request).__name__}."
            )
        digest = hashlib.sha256(request.to_bytes()).digest()
        path = self.directory / "replies" / f"{type(request).__name__}.message"
        if path.is_file():
            stored = path.read_bytes()
            if stored.startswith(digest):
                return decode(stored[len(digest) :])
        reply = self._answers[type(request)](request)
        path.parent.mkdir(parents=True, exist_ok=True)
        payload = digest + reply.to_bytes()
        write_atomic(path, lambda file: file.write(payload), len(payload))
        shutil.rmtree(self._training_dir, ignore_errors=True)
        return reply

    @property
    def selection(self) -> Selection:
        """What the party keeps; raises FileNotFoundError before it has been asked to filter."""
        return Selection.load(self.directory / "selection")

    @property
    def _trace_dir(self) -> Path:
        return self.directory / "trace"

    @property
    def _training_dir(self) -> Path:
        return self.directory / "training"

    def _score(self, request: ScoreRequest) -> ScoreReply:
        is_same, checkpoint = self._take_up_training(request)
        is_recorded = (self._trace_dir / "manifest.json").is_file() and Trace.open(self._trace_dir).complete
        if not is_same or not (is_recorded or checkpoint):
            shutil.rmtree(self._trace_dir, ignore_errors=True)
        if not (is_same and is_recorded):
            with self._training.trainer(self.dataset, self._start(request.start), self._training_dir) as trainer:
                recorder = GradientTraceCallback(
                    trainer,
                    self._trace_dir,
                    validation_dataset=unpack_rows(request.validation),
                    contrast_datasets={name: unpack_rows(rows) for name, rows in request.contrasts.items()},
                    anchor_dataset=None if request.anchors is None else unpack_rows(request.anchors),
                    dataset=self.dataset,
                    **request.recording,
                )
                trainer.add_callback(recorder)
                trainer.train(resume_from_checkpoint=checkpoint)
        trace = Trace.load(self._trace_dir)
        if not request.share_anchor_scores:
            return ScoreReply()
        return ScoreReply(rules.make_selector(request.rule).score_examples(trace).anchors)

    def _filter(self, request: FilterRequest) -> FilterReply:
        selection = self._select(request)
        if selection is None:
            shutil.rmtree(self.directory / "selection", ignore_errors=True)
            return FilterReply(has_rows=False, num_kept=0 if request.share_num_kept else None)
        selection.save(self.directory / "selection", overwrite=True)
        return FilterReply(has_rows=True, num_kept=len(selection) if request.share_num_kept else None)

    def _select(self, request: FilterRequest) -> Selection | None:
        """What is kept; None if that is nothing."""
        if request.rule is None:
            own = self.party.selection
            if own is not None:
                own.apply(self.dataset)  # raises if it is of another dataset
                return own if len(own) else None
            return RandomSelector(budget=1.0, seed=0).select(rows(self.dataset))
        trace, selector = Trace.load(self._trace_dir), rules.make_selector(request.rule)
        if rules.keeps_nothing(selector, trace):
            return None
        return self._sign(selector.select(trace), request)

    def _sign(self, selection: Selection, request: FilterRequest) -> Selection:
        """Add to the provenance whose rows these are, and where the threshold comes from if not from here."""
        *before, step = selection.provenance
        details = {**step["details"], "party": self.party.name, "global_threshold": request.origin}
        return replace(selection, provenance=(*before, {**step, "details": details}))

    def _train(self, request: TrainRequest) -> TrainReply:
        in_rounds = request.num_steps is not None
        checkpoint = None if in_rounds else self._take_up_training(request)[1]
        if in_rounds and self._prepared is not None:
            kept, is_prepared = self._prepared, True
        else:
            kept, is_prepared = self.selection.apply(self.dataset), False
        with self._training.trainer(
            kept,
            self._start(request.start),
            self._training_dir,
            round=request.round,
            num_rounds=request.num_rounds,
            num_steps=request.num_steps,
            is_prepared=is_prepared,
        ) as trainer:
            if in_rounds:
                self._prepared = trainer.train_dataset
            trainer.train(resume_from_checkpoint=checkpoint)
            return TrainReply(read_adapter(trainer.model))

    def _take_up_training(self, request: Any) -> tuple[bool, str | None]:
        """Whether a training for this request was killed, and its newest checkpoint; another's is thrown away."""
        mark = self._training_dir / "request"
        digest = hashlib.sha256(request.to_bytes()).digest()
        if mark.is_file() and mark.read_bytes() == digest:
            return True, last_checkpoint(self._training_dir)
        shutil.rmtree(self._training_dir, ignore_errors=True)
        self._training_dir.mkdir(parents=True)
        write_atomic(mark, lambda file: file.write(digest), len(digest))
        return False, None

    def _start(self, start: Adapter | None) -> Adapter:
        if start is not None:
            return start
        if self.party.peft_config is None:
            raise ValueError(f"Party {self.party.name!r} was sent no adapter and has no peft_config of its own.")
        return draw_adapter(self._training.model, self.party.peft_config, self._seed)
