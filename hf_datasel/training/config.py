"""SelectingSFTConfig: SFTConfig and what is to be selected, how."""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from typing import Any, ClassVar, Literal

from trl import SFTConfig

from hf_datasel.selectors import SHEDSelector
from hf_datasel.training.published_args import WithoutSecrets
from hf_datasel.training.valuation_options import ValuationOptions


def _of_valuation(name: str) -> Any:
    """The field of `ValuationOptions`, whose default and help hold here, too."""
    own = ValuationOptions.__dataclass_fields__[name]
    return field(
        default=own.default, metadata={"help": f"SHED: {own.metadata['help'][0].lower()}{own.metadata['help'][1:]}"}
    )


@dataclass
class SelectingSFTConfig(WithoutSecrets, SFTConfig):
    """Configuration of :class:`~hf_datasel.SelectingSFTTrainer`: every field of ``trl.SFTConfig``, and these.

    Args:
        selection_method: name of a selector: "s2l", "clues", "shed", one that an installed package declares (entry
            points "hf_datasel.selectors"), or of a baseline: "perplexity", "least_confidence", "middle_perplexity",
            "high_learnability", "ifd", "datainf", "dsir", "bm25", "longest", "dataset_quantization",
            "facility_location", "random" or "full". Or several, which choose one after another, as "clues:0.5,s2l":
            each a share of all rows, a number of them or its method's threshold, and the last the budget below.
        selection_budget: a share of the examples in (0, 1], or a number of examples above 1. Without one, methods that
            score take their threshold, "full" keeps everything, and the others 0.11, as S2L's paper does.
        selection_threshold: of methods that score, instead of a budget: a number, or a rule over the anchors' scores
            ("mean", "quantile", "conformal", "f1").
        selection_alpha: share of the clean examples that "quantile" and "conformal" may lose.
        selection_seed: of the selector.
        selection_num_clusters: K of S2L, 100 by default as in the paper; C of SHED, see below.
        selection_variant: "paper" (Algorithm 1) or "official" (what the released code does).
        selection_transform: of the trajectories before clustering: "none" (published), "log" or "zscore".
        selection_strata_column: select within the groups of this column.
        selection_num_checkpoints: that are recorded, evenly spaced.
        selection_mode: "probe" (exact sweeps, as published) or "in_run" (what training computes anyway).
        selection_tokens_per_batch: padded tokens of a sweep's batch on one process.
        selection_score: of CLUES: "fused" of several detectors, the default, which needs rows of a question and an
            answer; "dot" (published), "cosine" or "length_normalised", which do not.
        selection_options: more of the selector's hyperparameters by name, such as ``{"weighting": "uniform"}``; all
            that a method of another package has of its own. Of a chain by method: ``{"s2l": {"num_iterations": 5}}``.
        selection_parameters: whose gradients count: "all", "lora", "qv", "first_layer", "last_layer" or a regular
            expression.
        selection_precondition: of CLUES' direction: "none", "adam" or "official".
        selection_group_column: of the validation rows: sum these groups' mean gradients; of SHED: measure in these
            groups.
        selection_low_rank: rank of the direction's matrices, or the share of energy to keep; exact without.
        selection_embedder: of SHED and Dataset Quantization: name or path of an encoder, "bag" or "model".
        selection_clustering: of SHED's embeddings: "kmeans" or "agglomerative". ``selection_num_clusters`` is 100 by
            default, or one a row where there are fewer.
        selection_estimator: of SHED: how clusters are valued by fine-tunes on coalitions: "regression", "paper",
            "official" or "exact"; or "in_run", rows by the gradients of a single training (clusters of them where
            ``selection_num_clusters`` is given).
        selection_num_evaluations: fine-tunes at most; "regression" takes 3 a cluster and 10 more by default.
        selection_estimator_options: more of the estimator's options by name, such as ``{"max_share": 0.3}``.
        selection_utility_metric: of a fine-tuned model on ``validation_dataset``: "log_likelihood", "loss",
            "exact_match", or a metric of ``evaluate``.
        selection_utility_objective: of that metric in the groups of ``selection_group_column``: "mean" or
            "worst_group".
        selection_coalitions_at_once: adapters that a process trains together: a number or "auto".
        selection_sampling: "qwcs", clusters drawn by a softmax of their values; "qocs", the best whole; or "uniform",
            rows drawn from the best clusters.
        selection_sharpness: of "qwcs": how strongly values count.
        selection_best_share: of "uniform": the share of the rows that are drawn from.
        selection_in_run_score: of the estimator "in_run": "dot" (published) or "cosine", which large gradients do not
            rule.
        selection_online_every: every so many steps, train on part of each batch: the rows whose gradients agree best
            with that of ``validation_dataset`` (GREATS).
        selection_online_share: that part.
        selection_path: a saved Selection to train on; nothing is recorded or selected then.
        selection_same_steps: take as many optimiser steps on the selection as the whole set would have taken.
        selection_every: select again every so many epochs, from the losses of the model being trained.
        selection_curriculum: "confidence": visit the chosen rows easiest first (`ConfidenceCurriculumCallback`).
        selection_continue: without a proxy, go on from the warmed-up weights instead of the initial ones.
        selection_overwrite: throw away what a run of other settings left in ``output_dir``.
        selection_push_dataset: with ``push_to_hub``, publish the chosen rows and the scores of all rows, too; private
            where ``hub_private_repo`` is set.
        selection_hub_dataset_id: where; ``<hub_model_id>-selected`` if not given.
        proxy_model: name or path of the proxy model. Without one, a copy of the model itself is trained as a warm-up.
        proxy_model_init_kwargs: for ``from_pretrained`` of the proxy.
        proxy_training_args: SFTConfig fields that differ in the proxy stage, such as ``{"num_train_epochs": 3}``.
    """

    _VALID_DICT_FIELDS: ClassVar[list[str]] = [
        *SFTConfig._VALID_DICT_FIELDS,
        "proxy_model_init_kwargs",
        "proxy_training_args",
        "selection_options",
        "selection_estimator_options",
    ]

    selection_method: str = field(
        default="s2l",
        metadata={
            "help": "s2l (clusters of loss trajectories), clues (gradients that agree with trusted ones), shed "
            "(clusters that are worth most to train on), perplexity, least_confidence, middle_perplexity, "
            "high_learnability, ifd, datainf, dsir, bm25, longest, dataset_quantization, facility_location, random "
            "or full; or several one after another, as in clues:0.5,s2l."
        },
    )
    selection_budget: float | None = field(
        default=None,
        metadata={
            "help": "Share of the examples to keep, in (0, 1], or their number if above 1. Default: the method's "
            "threshold where it has one, else 0.11."
        },
    )
    selection_threshold: str | None = field(
        default=None,
        metadata={"help": "Of methods that score: a number, or 'mean', 'quantile', 'conformal' or 'f1' of anchors."},
    )
    selection_alpha: float = field(
        default=0.1, metadata={"help": "Share of clean examples that 'quantile' and 'conformal' may lose."}
    )
    selection_seed: int = field(default=42, metadata={"help": "Seed of the selector."})
    selection_num_clusters: int | None = field(
        default=None, metadata={"help": "Number of clusters, of S2L's trajectories or SHED's embeddings; default 100."}
    )
    selection_variant: Literal["paper", "official"] = field(
        default="paper", metadata={"help": "S2L as in the 'paper' (Algorithm 1) or as the 'official' code does it."}
    )
    selection_transform: Literal["none", "log", "zscore"] = field(
        default="none", metadata={"help": "Transform of the trajectories: 'none' (published), 'log' or 'zscore'."}
    )
    selection_strata_column: str | None = field(
        default=None, metadata={"help": "Select within the groups of this dataset column, as in 'source'."}
    )
    selection_num_checkpoints: int = field(
        default=8, metadata={"help": "Checkpoints that are recorded, evenly spaced over the proxy's training."}
    )
    selection_mode: Literal["probe", "in_run"] = field(
        default="probe",
        metadata={
            "help": "'probe': exact sweeps, as published. 'in_run': what training computes anyway, nearly free."
        },
    )
    selection_tokens_per_batch: int = field(
        default=8192, metadata={"help": "Padded tokens of a sweep's batch on one process."}
    )
    selection_score: Literal["dot", "cosine", "length_normalised", "fused"] | None = field(
        default=None,
        metadata={"help": "CLUES: 'fused' (default), 'dot' (published), 'cosine' or 'length_normalised'."},
    )
    selection_options: dict[str, Any] | str | None = field(
        default=None, metadata={"help": "JSON of more hyperparameters of the selector, of a chain by method."}
    )
    selection_parameters: str = field(
        default="all",
        metadata={"help": "Whose gradients count: all, lora, qv, first_layer, last_layer or a regular expression."},
    )
    selection_precondition: Literal["none", "adam", "official"] = field(
        default="none", metadata={"help": "Of CLUES' direction: 'adam' divides it by the second moments' roots."}
    )
    selection_group_column: str | None = field(
        default=None, metadata={"help": "Column of the validation rows whose groups' mean gradients are summed."}
    )
    selection_low_rank: float | None = field(
        default=None,
        metadata={"help": "Rank of the direction's matrices, or the share of energy to keep, in (0, 1)."},
    )
    selection_embedder: str = _of_valuation("embedder")
    selection_clustering: Literal["kmeans", "agglomerative"] = _of_valuation("clustering")
    selection_estimator: Literal["regression", "paper", "official", "exact", "in_run"] = _of_valuation("estimator")
    selection_num_evaluations: int | None = _of_valuation("num_evaluations")
    selection_estimator_options: dict[str, Any] | str | None = field(
        default=None, metadata={"help": "SHED: JSON of more options of the estimator, as max_share or group_size."}
    )
    selection_utility_metric: str = _of_valuation("utility_metric")
    selection_utility_objective: Literal["mean", "worst_group"] = _of_valuation("utility_objective")
    selection_coalitions_at_once: str = _of_valuation("coalitions_at_once")
    selection_in_run_score: Literal["dot", "cosine"] = _of_valuation("in_run_score")
    selection_sampling: Literal["qocs", "qwcs", "uniform"] = field(
        default=SHEDSelector.sampling,
        metadata={
            "help": "SHED: 'qocs', the best clusters whole, 'qwcs', drawn by a softmax of their values, or 'uniform', "
            "rows drawn from the best clusters."
        },
    )
    selection_sharpness: float = field(
        default=SHEDSelector.sharpness, metadata={"help": "SHED: how strongly values count in 'qwcs'."}
    )
    selection_best_share: float = field(
        default=SHEDSelector.best_share, metadata={"help": "SHED: share of the rows that 'uniform' draws from."}
    )
    selection_online_every: int | None = field(
        default=None, metadata={"help": "Every so many steps, train on the best-scoring part of each batch (GREATS)."}
    )
    selection_online_share: float = field(
        default=0.5, metadata={"help": "Share of a batch's rows that selection_online_every keeps."}
    )
    selection_path: str | None = field(
        default=None, metadata={"help": "Train on this saved Selection instead of making one."}
    )
    selection_same_steps: bool = field(
        default=False, metadata={"help": "Take as many optimiser steps as training on everything would have taken."}
    )
    selection_every: int | None = field(
        default=None, metadata={"help": "Select again every so many epochs, from the losses of the model in training."}
    )
    selection_curriculum: Literal["confidence"] | None = field(
        default=None, metadata={"help": "Visit the chosen rows easiest first, by a sweep before training."}
    )
    selection_continue: bool = field(
        default=False,
        metadata={"help": "Without a proxy model: train on from the warmed-up weights, not from the initial ones."},
    )
    selection_overwrite: bool = field(
        default=False, metadata={"help": "Throw away what a run of other settings left in output_dir."}
    )
    selection_push_dataset: bool = field(
        default=True,
        metadata={"help": "With --push_to_hub: publish the chosen rows and all rows' scores as a dataset, too."},
    )
    selection_hub_dataset_id: str | None = field(
        default=None, metadata={"help": "Repo of that dataset. Default: <hub_model_id>-selected."}
    )
    proxy_model: str | None = field(
        default=None,
        metadata={"help": "Name or path of a small proxy model. Without one a copy of the model itself is warmed up."},
    )
    proxy_model_init_kwargs: dict[str, Any] | str | None = field(
        default=None, metadata={"help": "JSON of keyword arguments for loading the proxy model."}
    )
    proxy_training_args: dict[str, Any] | str | None = field(
        default=None, metadata={"help": "JSON of SFTConfig fields that differ in the proxy stage."}
    )

    @property
    def budget(self) -> int | float | None:
        """``selection_budget`` as selectors take it: an int above 1, else a share."""
        return _whole_above_one(self.selection_budget)

    @property
    def threshold(self) -> float | str | None:
        """``selection_threshold`` as selectors take it: a number where it reads as one."""
        value: Any = self.selection_threshold
        try:
            return None if value is None else float(value)
        except ValueError:
            return str(value)

    @property
    def valuation(self) -> ValuationOptions:
        """How rows are embedded, clustered and valued."""
        return ValuationOptions(
            **{item.name: getattr(self, f"selection_{item.name}") for item in fields(ValuationOptions)}
        )

    @property
    def low_rank(self) -> int | float | None:
        """``selection_low_rank`` as the callback takes it: an int from 1 on, else a share."""
        value = self.selection_low_rank
        return int(value) if value is not None and float(value).is_integer() else value

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.selection_every is not None and self.selection_every < 1:
            raise ValueError(f"selection_every={self.selection_every} must be a whole number of epochs, at least 1.")
        if self.selection_every is not None and self.packing:
            raise ValueError(
                "selection_every changes which rows are trained on between epochs, but packing=True has merged them: "
                "use packing=False, or select once."
            )
        if self.selection_every is not None and self.train_sampling_strategy not in ("random", "sequential"):
            raise ValueError(
                f"selection_every draws the rows itself, so train_sampling_strategy="
                f"'{self.train_sampling_strategy}' would not be followed: use 'random' or 'sequential'."
            )
        if self.selection_continue and self.proxy_model is not None:
            raise ValueError(
                f"selection_continue=True trains on from the warm-up of the model itself, but proxy_model="
                f"'{self.proxy_model}' is what is trained first: leave one of them out."
            )
        if self.selection_online_every is not None and self.selection_online_every < 1:
            raise ValueError(f"selection_online_every={self.selection_online_every} must be at least 1.")
        if not 0 < self.selection_online_share <= 1:
            raise ValueError(f"selection_online_share={self.selection_online_share} must lie in (0, 1].")
        if self.selection_online_every is not None and (self.packing or self.padding_free):
            raise ValueError(
                "selection_online_every takes rows out of batches, but packing and padding_free merge them into one: "
                "use neither."
            )


def _whole_above_one(value: float | None) -> int | float | None:
    if isinstance(value, float) and value > 1 and value.is_integer():
        return int(value)
    return value
