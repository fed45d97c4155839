"""What is refused before anything is trained, each by name."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from datasets import Dataset
from peft import LoraConfig
from trl import SFTConfig

from hf_datasel.collaborative import rules
from hf_datasel.collaborative.adapters import check_config
from hf_datasel.collaborative.fedavg import FedAvg
from hf_datasel.collaborative.local_training import check_schedule
from hf_datasel.collaborative.merging import Merge
from hf_datasel.collaborative.party import Party
from hf_datasel.selectors import CLUESSelector
from hf_datasel.training.influence.wanted import wanted_options

SET_HERE = (
    "validation_dataset",
    "contrast_datasets",
    "anchor_dataset",
    "dataset",
    "for_selector",
    "overwrite",
    "trainer",
    "output_dir",
)


def check_parties(parties: Sequence[Party], peft_config: LoraConfig) -> dict[str, LoraConfig]:
    """The LoRA configuration of every party.

    Raises:
        TypeError: something that is no Party or no LoraConfig.
        ValueError: no party, a name twice, or a configuration that cannot be shared.
    """
    if not parties:
        raise ValueError("clues needs at least one Party.")
    configs: dict[str, LoraConfig] = {}
    for party in parties:
        if not isinstance(party, Party):
            raise TypeError(f"parties must be Party(name, dataset) objects, not {type(party).__name__}.")
        if party.name in configs:
            raise ValueError(f"Two parties are named {party.name!r}: every party needs a name of its own.")
        configs[party.name] = peft_config if party.peft_config is None else party.peft_config
        check_config(configs[party.name], f"party {party.name!r}")
    check_config(peft_config, "clues")
    return configs


def check_merge(merge: Any, configs: Mapping[str, LoraConfig], args: SFTConfig) -> None:
    """Refuse a merge that could not be made of these parties' adapters.

    Raises:
        TypeError: neither a Merge nor a FedAvg.
        ValueError: an option out of range, weights for no party, or unequal ranks where equal ones are needed.
    """
    if not isinstance(merge, (Merge, FedAvg)):
        raise TypeError(f"merge must be a method's name, a Merge or a FedAvg, not {type(merge).__name__}.")
    merge.check()
    merge.check_ranks(configs)
    if isinstance(merge.weights, Mapping) and merge.weights.keys() != configs.keys():
        odd = sorted(merge.weights.keys() ^ configs.keys())[0]
        raise ValueError(f"weights and parties do not agree on {odd!r}: give every party a number, and nobody else.")
    if isinstance(merge, FedAvg):
        check_schedule(args, merge.num_rounds * merge.num_steps)


def check_selection(
    selector: Any,
    parties: Sequence[Party],
    validation_dataset: Dataset | None,
    anchor_dataset: Dataset | None,
    threshold_scope: str,
) -> None:
    """Refuse a rule that lacks what it reads.

    Raises:
        TypeError: a selector that is no CLUESSelector, or rows that are no Dataset.
        ValueError: rows that the rule needs are missing or none, a party's own Selection beside a selector, or a
            threshold over all parties that would be read off private rows.
    """
    if threshold_scope not in ("per_client", "global"):
        raise ValueError(f"threshold_scope={threshold_scope!r} must be 'per_client' or 'global'.")
    if selector is None:
        return
    if type(selector) is not CLUESSelector:
        raise TypeError(
            f"selector must be a CLUESSelector or None, not {type(selector).__name__}: only its rule can be sent. "
            "Select with another method yourself, and pass Party(..., selection=...) with selector=None."
        )
    selector.check(min(len(party.dataset) for party in parties))
    for party in parties:
        if party.selection is not None:
            raise ValueError(
                f"Party {party.name!r} brings a Selection, but there is a selector: pass selector=None, or leave the "
                "Selection out."
            )
    needs_anchors = isinstance(rules.threshold_of(selector), str)
    for name, dataset, is_needed in (
        ("validation_dataset", validation_dataset, True),
        ("anchor_dataset", anchor_dataset, needs_anchors),
    ):
        if dataset is None and is_needed:
            why = "whose gradient is the direction" if name.startswith("validation") else "that set the threshold"
            raise ValueError(f"{name} is missing: {type(selector).__name__} needs public rows {why}.")
        if dataset is not None and not isinstance(dataset, Dataset):
            raise TypeError(f"{name} must be a datasets.Dataset, not {type(dataset).__name__}.")
        if dataset is not None and not len(dataset):
            raise ValueError(f"{name} has no rows.")
    if threshold_scope == "global" and needs_anchors:
        rules.check_global(selector)


def recording_options(recording: Mapping[str, Any] | None, selector: CLUESSelector | None) -> dict[str, Any]:
    """Options of the GradientTraceCallback, with norms, IFD and pairing where the selector reads them.

    Raises:
        ValueError: an option that is set by ``clues`` itself.
    """
    options = dict(recording or {})
    own = sorted(options.keys() & set(SET_HERE))
    if own:
        raise ValueError(f"recording={{{own[0]!r}: ...}}: this is set by clues itself, leave it out.")
    if selector is None:
        return options
    return {**wanted_options(selector, options.get("precondition", "none")), **options}
