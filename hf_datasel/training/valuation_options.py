"""How rows are embedded, clustered and valued: one set of options for SelectingSFTConfig, flags and YAML files."""

from __future__ import annotations

import json
from dataclasses import dataclass, field, fields
from typing import Any, Literal

from hf_datasel.functional.valuation import ESTIMATORS, Estimator, StopWhenStable

DEFAULT_EMBEDDER = "sentence-transformers/all-MiniLM-L6-v2"  # of SHED's released code
DEFAULT_NUM_CLUSTERS = 100
EVALUATIONS_PER_CLUSTER, SPARE_EVALUATIONS = 3, 10
NOT_IN_THE_RESULT = ("coalitions_at_once",)  # beyond roundings


def _option(default: Any, text: str) -> Any:
    return field(default=default, metadata={"help": text})


@dataclass
class ValuationOptions:
    """Options of SHED's valuation and of embeddings; `SelectingSFTConfig` has them as ``selection_<name>``.

    Args:
        embedder: name or path of an encoder; "bag" for hashed words, without a download; "model" for the hidden states
            of the model that is fine-tuned on coalitions.
        num_clusters: C. 100 without, or one a row where there are fewer rows; the estimator "in_run" then values every
            row by itself, and embeds nothing.
        clustering: "kmeans" or "agglomerative".
        estimator: a name of `functional.valuation.ESTIMATORS`, or "in_run": In-Run Data Shapley, from the gradients of
            one training instead of many fine-tunes.
        num_evaluations: fine-tunes at most. Without, "regression" takes three for each cluster and ten more.
        estimator_options: more of the estimator's options by name, a mapping or JSON; ``stop_when_stable`` is a
            mapping of those of `StopWhenStable`.
        in_run_score: of "in_run": "dot", the inner products of gradients (the method), or "cosine".
        utility_metric: of a fine-tuned model on the dev rows: see `FineTuneUtility`.
        utility_objective: what becomes of the metrics of groups of dev rows, where there are groups.
        coalitions_at_once: adapters that a process trains together, a number or "auto".
    """

    embedder: str = _option(
        DEFAULT_EMBEDDER, "Encoder by name or path; bag: hashed words; model: the model's own hidden states."
    )
    num_clusters: int | None = _option(
        None, f"Clusters of embeddings that are valued, {DEFAULT_NUM_CLUSTERS} if not given."
    )
    clustering: Literal["kmeans", "agglomerative"] = _option("kmeans", "How embeddings are clustered.")
    estimator: Literal["regression", "paper", "official", "exact", "in_run"] = _option(
        "regression", "How Shapley values are estimated from fine-tunes; in_run: from the gradients of one training."
    )
    num_evaluations: int | None = _option(
        None, "Fine-tunes at most; regression takes 3 a cluster and 10 more if not given."
    )
    estimator_options: dict[str, Any] | str | None = field(
        default=None,
        metadata={"help": "JSON of more options of the estimator, as max_share, group_size or stop_when_stable."},
    )
    in_run_score: Literal["dot", "cosine"] = _option(
        "dot", "In_run: inner products of gradients, as published, or their cosines."
    )
    utility_metric: str = _option(
        "log_likelihood", "Of a fine-tuned model: log_likelihood, loss, exact_match, or a metric of evaluate."
    )
    utility_objective: Literal["mean", "worst_group"] = _option(
        "mean", "Of the metrics of groups of validation rows, given by the group column."
    )
    coalitions_at_once: str = _option("1", "Adapters trained together on one frozen model: a number, or auto.")

    @property
    def in_run(self) -> bool:
        """Whether values come from the gradients of one training."""
        return self.estimator == "in_run"

    @property
    def at_once(self) -> int | Literal["auto"]:
        """``coalitions_at_once`` as `FineTuneUtility` takes it.

        Raises:
            ValueError: neither a number nor "auto".
        """
        if self.coalitions_at_once == "auto":
            return "auto"
        try:
            return int(self.coalitions_at_once)
        except ValueError:
            given = self.coalitions_at_once
            raise ValueError(f"coalitions_at_once={given!r} is neither a number nor 'auto'.") from None

    def check(self, num_rows: int) -> None:
        """Raise now the ValueError that these options would end in for so many rows, as far as they tell."""
        if self.num_clusters is not None and not 1 <= self.num_clusters <= num_rows:
            raise ValueError(
                f"num_clusters={self.num_clusters} does not fit {num_rows} rows: ask for 1 to {num_rows} clusters."
            )
        if self.in_run:
            given = [name for name in ("num_evaluations", "estimator_options") if getattr(self, name) is not None]
            if given:
                raise ValueError(f"{given[0]} is of fine-tunes, and the estimator 'in_run' does none: leave it out.")
            if self.in_run_score not in ("dot", "cosine"):
                raise ValueError(f"in_run_score={self.in_run_score!r} must be one of 'dot', 'cosine'.")
            return
        assert self.at_once
        self.make_estimator(self.clusters_of(num_rows))

    def clusters_of(self, num_rows: int) -> int:
        """Number of clusters of so many rows."""
        return min(DEFAULT_NUM_CLUSTERS, num_rows) if self.num_clusters is None else self.num_clusters

    def make_estimator(self, num_players: int) -> Estimator:
        """The estimator that the options describe.

        Raises:
            ValueError: no such estimator, an option that it does not have, or what is no JSON object.

        Example:
            >>> ValuationOptions(estimator_options='{"max_share": 0.5}').make_estimator(20).num_evaluations
            70
        """
        if self.estimator not in ESTIMATORS:
            raise ValueError(f"estimator={self.estimator!r} is none of {sorted([*ESTIMATORS, 'in_run'])}.")
        chosen: Any = ESTIMATORS[self.estimator]
        known = [item.name for item in fields(chosen)]
        options = _mapping(self.estimator_options)
        if self.num_evaluations is not None:
            options["num_evaluations"] = self.num_evaluations
        elif self.estimator == "regression":
            options.setdefault("num_evaluations", EVALUATIONS_PER_CLUSTER * num_players + SPARE_EVALUATIONS)
        for name in options:
            if name not in known:
                raise ValueError(f"The estimator '{self.estimator}' has no option {name}, only {known}.")
        rule = options.get("stop_when_stable")
        if isinstance(rule, dict):
            rules = [item.name for item in fields(StopWhenStable)]
            odd = sorted(rule.keys() - set(rules))
            if odd:
                raise ValueError(f"stop_when_stable of estimator_options has no option {odd[0]}, only {rules}.")
            options["stop_when_stable"] = StopWhenStable(**rule)
        estimator: Estimator = chosen(**options)
        return estimator

    def describe(self) -> dict[str, Any]:
        """What decides the values, as JSON values."""
        told = {item.name: getattr(self, item.name) for item in fields(self) if item.name not in NOT_IN_THE_RESULT}
        return {**told, "estimator_options": _mapping(self.estimator_options)}


def _mapping(given: Any) -> dict[str, Any]:
    """A mapping that a command line gives as JSON."""
    if isinstance(given, str):
        try:
            given = json.loads(given)
        except json.JSONDecodeError as error:
            raise ValueError(f"estimator_options={given!r} is no JSON: {error}.") from error
    if given is not None and not isinstance(given, dict):
        raise ValueError(f'estimator_options={given!r} is no JSON object such as {{"max_share": 0.5}}.')
    return dict(given or {})
