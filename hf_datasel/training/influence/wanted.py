"""What a selector reads of an influence Trace, as options of its recording."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import Any

from datasets import Dataset

from hf_datasel.damage import DAMAGES, damaged
from hf_datasel.selectors import Selector
from hf_datasel.training.influence.answers import NUM_QUESTIONS
from hf_datasel.training.influence.engine import CONTRAST


def require_reader(selector: Any) -> None:
    """Refuse what selects from no influence Trace.

    Raises:
        TypeError: no selector, or one that reads another Trace.
        ValueError: a hyperparameter of the selector that is out of range.
    """
    if not isinstance(selector, Selector) or "influence" not in selector.metrics:
        kind = selector.__name__ if isinstance(selector, type) else type(selector).__name__
        raise TypeError(
            f"for_selector must be a selector that reads gradients, such as CLUESSelector(), not {kind}: leave it out."
        )
    selector.check(sys.maxsize)  # a budget is held against the rows when it is used


def contrast_names(selector: Any) -> list[str]:
    """Names of the contrasted directions that the selector reads, sorted."""
    return sorted(name.removeprefix(CONTRAST) for name in _evidence(selector) if name.startswith(CONTRAST))


def wanted_options(selector: Any, precondition: str) -> dict[str, Any]:
    """``norms``, ``ifd`` and ``pairing`` of the recording, those that the selector reads.

    Contrasted directions are recorded as cosines, but for the official preconditioner, which has none.
    """
    read = _evidence(selector)
    options: dict[str, Any] = {}
    if "cosine" in read or (contrast_names(selector) and precondition != "official"):
        options["norms"] = True
    if "ifd" in read:
        options["ifd"] = True
    if "pairing" in read:
        options["pairing"] = NUM_QUESTIONS
    return options


def wanted_contrasts(selector: Any, validation: Any, given: Mapping[str, Dataset] | None = None) -> dict[str, Dataset]:
    """Bad rows for every contrasted direction that the selector reads: as given, or made from validation rows.

    Args:
        selector: who reads them; its seed is that of the damage.
        validation: trusted rows with questions and answers.
        given: rows by name, which are taken as they are.

    Raises:
        ValueError: a name that is no kind of damage and is not given, or rows that cannot be damaged; named, with the
            way out.
    """
    contrasts = dict(given or {})
    for name in contrast_names(selector):
        if name in contrasts or not isinstance(validation, Dataset):  # what is no Dataset is refused elsewhere
            continue
        reader = f"{type(selector).__name__} reads {CONTRAST + name!r}, a direction against bad rows"
        if name not in DAMAGES:
            raise ValueError(
                f"{reader}, but {name!r} is no kind of damage ({', '.join(sorted(DAMAGES))}): give such rows as "
                f"contrast_datasets={{{name!r}: ...}}, or name another detector."
            )
        try:
            contrasts[name] = damaged(validation, name, selector.seed)
        except ValueError as error:
            raise ValueError(
                f"{reader} that are made from validation_dataset. {error} Or select by gradients alone, with "
                "score='cosine' or 'dot'."
            ) from error
    return contrasts


def _evidence(selector: Any) -> tuple[str, ...]:
    return tuple(getattr(selector, "evidence", ("dot",)))
