"""Metrics from outside: one of the ``evaluate`` library, or a function of the user's."""

from __future__ import annotations

import hashlib
import inspect
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from datasets import Dataset
from trl import SFTTrainer

from hf_datasel.training.identity import digest_of
from hf_datasel.training.state import preserved_rng, scoring_mode
from hf_datasel.training.utility.generation import generate_answers
from hf_datasel.training.utility.metrics import ExactMatch, LogLikelihood, Metric, Rows, ValidationLoss, row_means

MetricFunction = Callable[[Any, Dataset], Any]


class EvaluateMetric:
    """A text metric of the ``evaluate`` library, on greedily generated answers.

    Args:
        path: what ``evaluate.load`` takes: a name, or the path of a script, which needs no network.
        entry: of what the metric returns, as ``"rougeL"``; not needed if it returns one number.
        greater_is_better: False for an error rate; the utility is then its negative.
        max_new_tokens: longest answer.
        batch_size: rows generated at once.

    A ledger or a comparison knows it by its script, too, so that values of a script that has changed since are not
    taken for its own: what the script imports is not looked at.

    Raises:
        ValueError: the metric cannot be loaded.
    """

    def __init__(
        self,
        path: str,
        *,
        entry: str | None = None,
        greater_is_better: bool = True,
        max_new_tokens: int = 256,
        batch_size: int = 16,
    ) -> None:
        self.name, self.entry = path, entry
        self.greater_is_better, self.max_new_tokens, self.batch_size = greater_is_better, max_new_tokens, batch_size
        import evaluate  # takes seconds

        try:
            self._metric = evaluate.load(path, keep_in_memory=True)
        except (OSError, ImportError) as error:
            raise ValueError(
                f"metric={path!r} is not 'log_likelihood', 'loss' or 'exact_match', and evaluate cannot load it "
                f"({str(error).strip().splitlines()[0]}). Without a network, give the path of the metric's script."
            ) from error
        script = inspect.getmodule(type(self._metric))
        assert script is not None  # evaluate imports it as a module
        self._key = digest_of(inspect.getsource(script))

    def describe(self) -> dict[str, Any]:
        """Name, options and key."""
        options = ("name", "entry", "greater_is_better", "max_new_tokens")
        return {**{option: getattr(self, option) for option in options}, "key": self._key}

    def measure(self, trainer: SFTTrainer, dev: Dataset, groups: Sequence[Rows]) -> list[float]:
        """As the protocol says; raises ValueError for rows without a question, or an entry that is not there."""
        answers, references = generate_answers(
            trainer.model,
            trainer.processing_class,
            dev,
            max_new_tokens=self.max_new_tokens,
            batch_size=self.batch_size,
        )
        sign = 1 if self.greater_is_better else -1
        return [
            sign
            * self._entry(
                self._metric.compute(
                    predictions=[answers[row] for row in rows], references=[references[row] for row in rows]
                )
            )
            for rows in groups
        ]

    def _entry(self, results: dict[str, Any]) -> float:
        entry = self.entry if self.entry is not None else next(iter(results)) if len(results) == 1 else None
        if entry not in results:
            raise ValueError(
                f"metric {self.name!r} returns {sorted(results)}: choose one, as in EvaluateMetric({self.name!r}, "
                f"entry={sorted(results)[0]!r})."
            )
        return float(results[entry])


class FunctionMetric:
    """A function ``(model, rows) -> metric``, high is good.

    Args:
        function: called with the model in eval mode and without gradients, and with the dev rows: tokenised, all their
            columns, in their order. Returns one number, or one for each row ``[n]``, whose means are taken in groups.

    The ledger knows it by its attribute ``key``, a string, or else by its source: what it calls is not looked at.

    Raises:
        ValueError: neither can be had.
    """

    def __init__(self, function: MetricFunction) -> None:
        self.function = function
        self.name = getattr(function, "__qualname__", type(function).__name__)
        self._key = getattr(function, "key", None) or self._source()

    def describe(self) -> dict[str, Any]:
        """Name and key."""
        return {"name": self.name, "key": self._key}

    def measure(self, trainer: SFTTrainer, dev: Dataset, groups: Sequence[Rows]) -> list[float]:
        """As the protocol says; raises ValueError where the function returns something else."""
        with preserved_rng(trainer.args.device), scoring_mode(trainer.model):
            values = np.asarray(self.function(trainer.model, dev), dtype=np.float64)
        if values.shape == (len(dev),):
            return row_means(values, groups)
        if values.shape != () or len(groups) > 1:
            raise ValueError(
                f"metric {self.name!r} returned values of shape {list(values.shape)}: one number for each of the "
                f"{len(dev)} dev rows is needed" + (" for groups." if len(groups) > 1 else ", or one for all.")
            )
        return [float(values)]

    def _source(self) -> str:
        try:
            source = inspect.getsource(self.function)
        except (OSError, TypeError) as error:
            raise ValueError(
                f"metric {self.name!r} has no source that a ledger could know it by: give it an attribute, "
                f"{self.name}.key = 'a name of this version'."
            ) from error
        return hashlib.blake2b(source.encode(), digest_size=16).hexdigest()


def make_metric(metric: str | MetricFunction | Metric, tokens_per_batch: int) -> Metric:
    """The metric that is meant.

    Raises:
        TypeError: neither a name, a metric nor a function. ValueError: a name that cannot be loaded.
    """
    for kind in (LogLikelihood, ValidationLoss, ExactMatch):
        if metric == kind.name:
            return kind(tokens_per_batch)
    if isinstance(metric, str):
        return EvaluateMetric(metric)
    if isinstance(metric, Metric):
        return metric
    if callable(metric):
        return FunctionMetric(metric)
    raise TypeError(f"metric must be a name, a metric or a function (model, rows), not {type(metric).__name__}.")
