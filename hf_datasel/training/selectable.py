"""What a run of SelectingSFTTrainer cannot do, said before anything is loaded."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from datasets import Dataset, IterableDataset

from hf_datasel.selectors import FullSelector, HighLearnabilitySelector, Selector
from hf_datasel.training.config import SelectingSFTConfig
from hf_datasel.training.evidence import BY_NUMBER, is_recordable, is_trained_on_all, metric_of
from hf_datasel.training.influence.held_out import require_rows
from hf_datasel.training.links import make_selectors

# By metric: what trusted rows are for. The others do not read them.
READS_VALIDATION = {
    "influence": "holds gradients against those of trusted rows",
    "datainf": "holds gradients against those of trusted rows",
    "valuation": "asks how well a model that was trained on some rows does on trusted ones",
    "dsir": "draws rows that are like those of a target",
    "bm25": "keeps rows that share words with those of a target",
}


def require_recordable(
    selector: Selector, validation: Dataset | None, anchors: Dataset | None, *, online: bool = False
) -> None:
    """Refuse a method that no training stage can record, or that lacks held-out rows.

    Args:
        selector: the method.
        validation, anchors: what is given.
        online: whether the training itself reads the validation rows.

    Raises:
        ValueError: named, with the way out.
    """
    metric = metric_of(selector)
    if not is_recordable(selector):
        raise ValueError(
            f"selection_method='{selector.name}' reads {selector.reads.__name__} of '{metric}', which no training "
            f"records: select with {type(selector).__name__} yourself and pass selection=..."
        )
    if metric in READS_VALIDATION and validation is None:
        raise ValueError(
            f"selection_method='{selector.name}' {READS_VALIDATION[metric]}: pass "
            "validation_dataset=..., a few dozen rows that are not in train_dataset."
        )
    if metric not in READS_VALIDATION and validation is not None and not online:
        raise ValueError(f"selection_method='{selector.name}' does not read validation_dataset: leave it out.")
    if anchors is not None and metric != "influence":
        raise ValueError(f"selection_method='{selector.name}' does not read anchor_dataset: leave it out.")
    needs_anchors = getattr(selector, "needs_anchors", False)
    if needs_anchors:
        selector.check(0)  # a rule that is not known is no reason to ask for anchors
    if needs_anchors and metric != "influence":
        raise ValueError(
            f"selection_method='{selector.name}' is recorded without anchors, so it has no scores to take "
            f"threshold={getattr(selector, 'threshold', None)!r} from: set selection_threshold to a number, or "
            "selection_budget."
        )
    if needs_anchors and anchors is None:
        raise ValueError(
            f"{type(selector).__name__} takes its threshold from trusted rows: pass anchor_dataset=..., at least 50 "
            "rows that are neither in train_dataset nor in validation_dataset, or set selection_budget."
        )


def require_selectable(
    args: SelectingSFTConfig,
    train_dataset: Any,
    validation: Dataset | None,
    anchors: Dataset | None,
    *,
    has_selection: bool,
) -> None:
    """Refuse options that do not fit each other, or the rows.

    Args:
        args: of the run.
        train_dataset: as given.
        validation, anchors: trusted rows, as given.
        has_selection: whether the run is given its Selection.

    Raises:
        TypeError: trusted rows that are no Dataset.
        ValueError: named, with the way out.
    """
    selectors = make_selectors(args)
    metrics = [metric_of(selector) for selector in selectors]
    for option, held_out in (("validation_dataset", validation), ("anchor_dataset", anchors)):
        if held_out is not None:
            require_rows(held_out, option)
    if args.selection_online_every is not None and validation is None:
        raise ValueError("selection_online_every holds gradients against trusted rows: pass validation_dataset=...")
    if not has_selection:
        for selector, metric in zip(selectors, metrics, strict=True):
            # What another link or the training itself reads is no reason to refuse this one.
            elsewhere = args.selection_online_every is not None or READS_VALIDATION.keys() & set(metrics)
            of_others = metric not in READS_VALIDATION and elsewhere
            scored_by_others = metric != "influence" and "influence" in metrics
            require_recordable(selector, None if of_others else validation, None if scored_by_others else anchors)
        _require_stage(args, selectors)
    if isinstance(train_dataset, IterableDataset):
        needs = {
            "selection_every": args.selection_every is not None,
            "selection_strata_column": args.selection_strata_column is not None,
            **{
                f"selection_method='{selector.name}'": not has_selection and metric in ("none", *BY_NUMBER)
                for selector, metric in zip(selectors, metrics, strict=True)
            },
        }
        for option in (option for option, is_set in needs.items() if is_set):
            raise ValueError(f"{option} needs rows that can be picked by number, which a stream does not have.")
    elif "valuation" in metrics and not has_selection:
        args.valuation.check(len(train_dataset))
    selector = selectors[-1]
    cuts = args.selection_strata_column is not None and selector.budget is None
    if cuts and not has_selection:
        raise ValueError(
            f"selection_strata_column='{args.selection_strata_column}' shares out a budget, but "
            f"selection_method='{selector.name}' cuts at a threshold here: set selection_budget, or leave it out."
        )
    if args.selection_every is not None and len(selectors) > 1:
        raise ValueError(
            f"selection_every selects again by a single method, but selection_method='{args.selection_method}' is a "
            "chain: select once, or name one method."
        )
    if args.selection_every is not None and isinstance(selector, HighLearnabilitySelector):
        raise ValueError(
            "selection_every selects by the losses of the model in training, which are not known from before it, as "
            "selection_method='high_learnability' needs them: select once."
        )
    if args.selection_every is not None and (
        metrics[-1] not in ("loss", "none") or isinstance(selector, FullSelector)
    ):
        raise ValueError(
            f"selection_every selects again by losses, which selection_method='{args.selection_method}' does not "
            "read: use selection_online_every to follow gradients in training, or select once."
        )


def _require_stage(args: SelectingSFTConfig, selectors: Sequence[Selector]) -> None:
    """Refuse what a stage of these methods does not do."""
    if args.selection_continue and not any(is_trained_on_all(selector, args) for selector in selectors):
        raise ValueError(
            f"selection_continue=True goes on from a training on all rows, which selection_method="
            f"'{args.selection_method}' does not need here: leave it out."
        )
    if isinstance(selectors[-1], FullSelector) and args.selection_strata_column is not None:
        raise ValueError("selection_method='full' keeps everything: leave selection_strata_column out.")
    objective = args.selection_utility_objective
    if "valuation" in map(metric_of, selectors) and objective != "mean" and args.selection_group_column is None:
        raise ValueError(
            f"selection_utility_objective='{objective}' is of groups: name their column of validation_dataset in "
            "selection_group_column."
        )
