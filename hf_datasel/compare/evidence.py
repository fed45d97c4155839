"""What the methods of a comparison choose by: recorded once for all of them, with what it cost.

output_dir/evidence/<kind>-<digest of settings>/
  trace/, embeddings/ or valuation/     what selectors read
  costs/<process>.json                  what a process has counted so far
  cost.json                             of all processes, once the evidence is whole
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from accelerate import Accelerator
from datasets import Dataset
from filelock import FileLock
from transformers.utils import logging
from trl import SFTTrainer

from hf_datasel.compare.meter import Cost, Meter
from hf_datasel.data import rows
from hf_datasel.embeddings import Embeddings
from hf_datasel.selectors import CLUESSelector, DatasetQuantizationSelector, HighLearnabilitySelector, Selector
from hf_datasel.training.broadcast import decide_once
from hf_datasel.training.config import SelectingSFTConfig
from hf_datasel.training.evidence import EVIDENCE_DIRS, EvidenceStage, is_trained_on_all, metric_of, truth_of
from hf_datasel.training.identity import digest_of
from hf_datasel.training.selectable import READS_VALIDATION
from hf_datasel.training.side_training import free_memory
from hf_datasel.training.stage import last_checkpoint
from hf_datasel.training.stage_proxy import StageProxy
from hf_datasel.training.state import preserved_rng

logger = logging.get_logger(__name__)

COST, COSTS = "cost.json", "costs"
BEFORE_AND_AFTER = "loss_before_and_after"  # a Trace of losses that high learnability alone reads
DIGEST_LENGTH = 10


@dataclass(frozen=True, eq=False)
class SharedStage(EvidenceStage):
    """A stage whose embeddings are those of the whole comparison."""

    shared_embeddings: Path | None = None

    def embeddings(self) -> Embeddings:
        """Of the dataset, made once for all that reads them."""
        return super().embeddings() if self.shared_embeddings is None else Embeddings.load(self.shared_embeddings)


@dataclass(frozen=True, eq=False)
class SharedEvidence:
    """Evidence of a comparison, by kind.

    Args:
        root: where it is kept.
        selectors: everybody who will read it.
        dataset: with example ids, not tokenised.
        args: of the run.
        validation, anchors: trusted rows; only methods that read them are shown them.
        accelerator: of the run.
        settings: what decides the evidence, beside the kind and what is read of it, as JSON values.
    """

    root: Path
    selectors: Sequence[Selector]
    dataset: Dataset
    args: SelectingSFTConfig
    validation: Dataset | None
    anchors: Dataset | None
    accelerator: Accelerator
    settings: Mapping[str, Any]
    _loaded: dict[str, Any] = field(default_factory=dict)

    def record(self, make_proxy: Callable[[], StageProxy]) -> None:
        """Make what is missing; a recording that was killed goes on where it stopped.

        Args:
            make_proxy: what is trained, anew for every training.
        """
        made = {kind for selector in self.selectors for kind in self.kinds_of(selector)}
        self.root.mkdir(parents=True, exist_ok=True)
        # Another comparison may be started on this folder; the processes of this one meet below.
        alone = FileLock(self.root.with_name(f".{self.root.name}.lock"))
        with alone if self.accelerator.is_main_process else nullcontext():
            for kind in sorted(made, key=lambda kind: (kind != "embeddings", kind)):  # valuations read embeddings
                logger.info(f"Evidence of the comparison: {kind}, in {self.place(kind)}.")
                self._record(kind, make_proxy)

    def load(self, selector: Selector) -> Any:
        """What a selector reads."""
        if not selector.reads_values:
            return rows(self.dataset)
        kind = self.kinds_of(selector)[-1]
        if kind not in self._loaded:
            self._loaded[kind] = selector.reads.load(self._lies_in(kind))
        return self._loaded[kind]

    def costs(self, selectors: Iterable[Selector]) -> list[dict[str, Any]]:
        """What the evidence of these selectors cost, an entry for each kind."""
        kinds = dict.fromkeys(kind for selector in selectors for kind in self.kinds_of(selector))
        return [{"evidence": self.place(kind).name, **asdict(Cost.read(self.place(kind) / COST))} for kind in kinds]

    def kinds_of(self, selector: Selector) -> list[str]:
        """What is made for a selector, in the order in which it is made: names of metrics, or close to them.

        Behind a colon stands what of the selector it depends on.
        """
        metric, options = metric_of(selector), self.args.valuation
        if metric == "none":
            return []
        if metric == "loss" and isinstance(selector, HighLearnabilitySelector):
            return [BEFORE_AND_AFTER]
        if metric == "clean":
            return [f"{metric}:{truth_of(selector)}"]
        embeds = metric == "valuation" and not (options.in_run and options.num_clusters is None)
        return ["embeddings", metric] if embeds else [metric]

    def place(self, kind: str) -> Path:
        """The folder of a kind of evidence, named by what decides it."""
        settings = {**self.settings, "kind": kind, "reads": self._reads(kind)}
        name, digest = kind.partition(":")[0], digest_of(json.dumps(settings, sort_keys=True))
        return self.root / f"{name}-{digest[:DIGEST_LENGTH]}"

    def _lies_in(self, kind: str) -> Path:
        return self.place(kind) / EVIDENCE_DIRS.get(kind, "trace")

    def _readers(self, kind: str) -> list[Selector]:
        return [selector for selector in self.selectors if kind in self.kinds_of(selector)[-1:]]

    def _reads(self, kind: str) -> list[str]:
        """What of a Trace of gradients anybody reads: "dot" and names of companions."""
        readers = self._readers(kind) if kind == "influence" else []
        return sorted({name for selector in readers for name in getattr(selector, "evidence", ("dot",))})

    def _stage(self, kind: str, proxy: StageProxy) -> SharedStage:
        readers = self._readers(kind)
        if kind == "influence":
            reads, seed = self._reads(kind), self.args.selection_seed  # of all readers; the seed is of the damage
            reader: Selector = CLUESSelector(budget=1.0, detectors=reads, seed=seed)
        else:  # embeddings may be there for a valuation alone
            reader = readers[0] if readers else DatasetQuantizationSelector(budget=1.0)
        return SharedStage(
            selector=reader,
            directory=self.place(kind),
            dataset=self.dataset,
            args=self.args,
            validation=self.validation if kind in READS_VALIDATION else None,
            anchors=self.anchors if kind == "influence" else None,
            proxy=proxy,
            train=_train,
            accelerator=self.accelerator,
            shared_embeddings=None if kind == "embeddings" else self._lies_in("embeddings"),
        )

    def _record(self, kind: str, make_proxy: Callable[[], StageProxy]) -> None:
        place = self.place(kind)
        # By one process's look: the others might look when it has gone on already.
        if decide_once(self.accelerator, lambda: b"there" * (place / COST).is_file(), "Looking for evidence"):
            return
        stage = self._stage(kind, make_proxy())
        if not decide_once(self.accelerator, lambda: b"made" * self._is_paid(stage), "Looking for evidence"):
            mine = place / COSTS / f"{self.accelerator.process_index:05d}.json"
            with preserved_rng(self.accelerator.device), Meter(mine):
                stage.make()
        self.accelerator.wait_for_everyone()
        free_memory()

        def sum_up() -> bytes:
            costs = [Cost.read(path) for path in _counts(place)]
            _sum(costs, self._num_trainings(stage)).write(place / COST)
            shutil.rmtree(stage.proxy_dir, ignore_errors=True)
            return b""

        decide_once(self.accelerator, sum_up, "Summing up what evidence cost")

    def _is_paid(self, stage: SharedStage) -> bool:
        """Whether the evidence is whole, and something was counted for it: what was not, is made anew."""
        if stage.is_made and not _counts(stage.directory):
            shutil.rmtree(stage.directory)
        return stage.is_made

    def _num_trainings(self, stage: SharedStage) -> int:
        if metric_of(stage.selector) == "valuation" and not self.args.valuation.in_run:
            return int(stage.load().info["num_evaluations"])
        return int(is_trained_on_all(stage.selector, self.args))


def _counts(place: Path) -> list[Path]:
    return sorted((place / COSTS).glob("*.json"))


def _train(trainer: SFTTrainer) -> None:
    """To its end, from its last checkpoint where it was killed."""
    trainer.train(resume_from_checkpoint=last_checkpoint(trainer.args.output_dir))


def _sum(costs: Sequence[Cost], num_trainings: int) -> Cost:
    """Of processes that worked at the same time."""
    return Cost(
        seconds=max(cost.seconds for cost in costs),
        forwards=sum(cost.forwards for cost in costs),
        backwards=sum(cost.backwards for cost in costs),
        fine_tunes=num_trainings,
    )
