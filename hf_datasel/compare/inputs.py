"""What a comparison starts from, checked before any work: methods, rows, the model and its proxy."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from accelerate import Accelerator
from datasets import Dataset
from peft import PeftConfig
from transformers import PreTrainedModel, PreTrainedTokenizerBase
from trl import SFTTrainer

from hf_datasel.compare.choosing import require_comparable, require_method
from hf_datasel.compare.curriculum import ConfidenceCurriculum
from hf_datasel.compare.jobs import Measure, RowsInOrder, Target
from hf_datasel.compare.plan import ALL, CURRICULUM, Plan
from hf_datasel.data import add_example_ids, dataset_fingerprint, strata
from hf_datasel.example_ids import require_one_table
from hf_datasel.selectors import Selector
from hf_datasel.training.config import SelectingSFTConfig
from hf_datasel.training.describe import describe_rows, describe_weights, versions
from hf_datasel.training.evidence import metric_of
from hf_datasel.training.influence.held_out import prepare_held_out, refuse_leaks, require_rows
from hf_datasel.training.lending import lend_or_copy
from hf_datasel.training.proxy import proxy_tokenizer, require_readable, warm_up_copy
from hf_datasel.training.refusals import refuse_unsweepable
from hf_datasel.training.selectable import READS_VALIDATION
from hf_datasel.training.side_training import quiet_args, side_trainer
from hf_datasel.training.stage_proxy import StageProxy
from hf_datasel.training.utility.coalition_rows import prepare_rows
from hf_datasel.training.utility.coalition_training import CoalitionTraining
from hf_datasel.training.utility.evaluation import Evaluation
from hf_datasel.training.utility.experiment import experiment_key
from hf_datasel.training.utility.fine_tune import load_model
from hf_datasel.training.utility.given_metrics import EvaluateMetric, make_metric
from hf_datasel.training.utility.metrics import Metric
from hf_datasel.training.utility.objective import Groups

Selectors = dict[str, tuple[Selector, ...]]
SAMPLE = 32  # rows that a proxy must be able to read, and a metric


@dataclass(frozen=True, eq=False)
class Inputs:
    """As `compare_selections` is given them; the training rows with ids."""

    model: str | PreTrainedModel
    args: SelectingSFTConfig
    train: Dataset
    test: Dataset
    validation: Dataset | None = None
    anchors: Dataset | None = None
    processing_class: PreTrainedTokenizerBase | None = None
    peft_config: PeftConfig | None = None
    proxy_model: PreTrainedModel | None = None
    proxy_processing_class: PreTrainedTokenizerBase | None = None
    proxy_peft_config: PeftConfig | None = None
    formatting_func: Callable[[dict[str, Any]], str] | None = None

    @classmethod
    def checked(cls, args: SelectingSFTConfig, train: Any, **given: Any) -> Inputs:
        """Number the rows.

        Raises:
            TypeError, ValueError: arguments or rows of another kind, or options of a single selection.
        """
        require_comparable(args)
        require_one_table(train, "compare_selections(train_dataset=...)")
        require_rows(train, "train_dataset")
        require_rows(given["test"], "test_dataset")
        if given["proxy_model"] is not None and args.proxy_model is not None:
            raise ValueError(
                "proxy_model is given as an object and by name in args.proxy_model: leave one of them out."
            )
        return cls(args=args, train=add_example_ids(train), **given)

    @property
    def held_out(self) -> dict[str, Dataset]:
        """Trusted rows that are given, by the option they came from."""
        given = {"validation_dataset": self.validation, "anchor_dataset": self.anchors}
        return {option: rows for option, rows in given.items() if rows is not None}

    def selectors(self, plan: Plan) -> Selectors:
        """The selectors of each method, by label; at the first budget, as far as a budget matters here.

        Raises:
            ValueError: a method or a budget that cannot be had, or trusted rows that nobody reads.
        """
        if plan.equal == "epochs" and self.args.max_steps > 0:
            raise ValueError(
                f"equal='epochs' trains every selection for num_train_epochs, but max_steps={self.args.max_steps} "
                "says how many steps to take: leave one of them out."
            )
        found: Selectors = {}
        for method in plan.methods:
            for budget in plan.budgets_of(method):
                chain = require_method(method, self.args, budget, self.train, self.validation, self.anchors)
                found.setdefault(method.label, chain)
        read = {metric_of(selector) for chain in found.values() for selector in chain}
        for option, is_read in (
            ("validation_dataset", bool(read & READS_VALIDATION.keys())),
            ("anchor_dataset", "influence" in read),
        ):
            if option in self.held_out and not is_read:
                raise ValueError(f"None of the methods {list(found)} reads {option}: leave it out.")
        return found

    def prepare(self, plan: Plan) -> Prepared:
        """Load the model, and tokenise rows as its training will.

        Raises:
            ValueError: a metric or a group column that does not fit, a model or a proxy that cannot read the rows, a
                training that cannot be ordered, or a test row that is also a training, validation or anchor row.
        """
        self._require_groups(plan)
        per_batch = self.args.selection_tokens_per_batch
        given = zip(plan.metric_names, plan.metrics, strict=True)
        metrics = {name: make_metric(metric, per_batch) for name, metric in given}
        loaded = load_model(self.model, self.args) if isinstance(self.model, str) else self.model
        peft_config = copy.deepcopy(self.peft_config)  # PEFT writes the base model's name into it

        def make() -> SFTTrainer:
            return SFTTrainer(
                model=lend_or_copy(loaded, peft_config),
                args=quiet_args(self.args, dataset_kwargs={"skip_prepare_dataset": True}),  # rows come below
                train_dataset=self.train.select([0]),
                processing_class=copy.deepcopy(self.processing_class),
                peft_config=copy.deepcopy(peft_config),
                formatting_func=self.formatting_func,
            )

        with side_trainer(make, self.args.device) as trainer:
            refuse_unsweepable(trainer, "Nothing can be compared here")
            for method in plan.methods:
                if method.chain == CURRICULUM:
                    ConfidenceCurriculum(**method.options).attach(trainer)  # refuses what cannot be ordered
            rows, test = self._tokenised(trainer)
            _try(metrics.values(), trainer, test)
        labels = None if plan.group_column is None else list(strata(test, plan.group_column).labels)
        # One start for all trainings: on the device where an adapter is trained, its special tokens the tokenizer's.
        start = CoalitionTraining(loaded, trainer.processing_class, self.args, peft_config, rows).base
        target = Target(start, trainer.processing_class, self.args, peft_config, rows)
        proxy = self._proxy(trainer.model, target)
        key = experiment_key(
            loaded,
            self.args,
            peft_config,
            rows,
            Evaluation(next(iter(metrics.values())), test, Groups(labels, plan.group_column, "mean")),
        )
        key["recipe"].pop("selection_overwrite")
        settings = {
            **{name: value for name, value in key.items() if name not in ("utility", "metric", "objective")},
            "dataset": dataset_fingerprint(self.train).to_dict(),
            "held_out": {option: describe_rows(rows) for option, rows in self.held_out.items()},
            "proxy": proxy().describe(),
            "proxy_weights": None if self.proxy_model is None else describe_weights(self.proxy_model),
            "equal": plan.equal,
            "metrics": {name: metric.describe() for name, metric in metrics.items()},
            "versions": versions(),
        }
        return Prepared(target, Measure(metrics, test, labels), proxy, trainer.accelerator, settings)

    def _require_groups(self, plan: Plan) -> None:
        if plan.group_column is None:
            return
        if plan.group_column not in self.test.column_names:
            raise ValueError(
                f"group_column={plan.group_column!r} is not a column of test_dataset ({self.test.column_names})."
            )
        if ALL in self.test.unique(plan.group_column):
            raise ValueError(f"A group in {plan.group_column!r} is called {ALL!r}, as all rows are: rename it.")

    def _tokenised(self, trainer: SFTTrainer) -> tuple[RowsInOrder, Dataset]:
        try:
            rows, test = prepare_rows(trainer, self.train, self.test)
        except ValueError as error:  # what it calls validation_dataset was given by another name
            raise ValueError(str(error).replace("validation_dataset", "test_dataset")) from error
        for option, trusted in self.held_out.items():
            try:
                refuse_leaks(prepare_held_out(trainer, trusted, option), {"test_dataset": test})
            except ValueError as error:
                raise ValueError(str(error).replace("training example", f"row of {option}, number")) from error
        return RowsInOrder(rows.rows, rows.ids, rows.order, rows.max_length), test

    def _proxy(self, target_model: Any, target: Target) -> Callable[[], StageProxy]:
        """Makes what evidence is recorded of, always from the same start."""
        proxy = self.proxy_model if self.proxy_model is not None else self.args.proxy_model
        tokenizer = target.tokenizer
        if proxy is not None:
            tokenizer = proxy_tokenizer(proxy, self.proxy_processing_class, tokenizer)
            sample = [self.train[row] for row in range(min(SAMPLE, len(self.train)))]
            require_readable(proxy, tokenizer, sample, self.args.dataset_text_field)

        def make() -> StageProxy:
            return StageProxy(
                self.args,
                target_model,
                proxy if proxy is None or isinstance(proxy, str) else warm_up_copy(proxy),
                tokenizer,
                copy.deepcopy(self.proxy_peft_config),
                copy.deepcopy(self.peft_config),
                self.formatting_func,
            )

        return make


def _try(metrics: Iterable[Metric], trainer: SFTTrainer, test: Dataset) -> None:
    """Refuse now a metric of ``evaluate`` that does not return what is taken of it, or cannot read the rows."""
    few = test.select(range(min(SAMPLE, len(test))))
    for metric in metrics:
        if isinstance(metric, EvaluateMetric):
            metric.measure(trainer, few, [np.arange(len(few))])


@dataclass(frozen=True, eq=False)
class Prepared:
    """A comparison's model and rows, ready for work.

    Args:
        target: what is trained.
        measure: what it is measured by.
        make_proxy: what evidence is recorded of.
        accelerator: of the run.
        settings: what decides every number beside methods, budgets and seeds, as JSON values.
    """

    target: Target
    measure: Measure
    make_proxy: Callable[[], StageProxy]
    accelerator: Accelerator
    settings: Mapping[str, Any]
