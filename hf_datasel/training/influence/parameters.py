"""Which parameters count: chosen by name, among those that are trained."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence

from torch import nn

LAYER = re.compile(r"(?:^|\.)(?:layers|h|blocks|layer|decoder\.layers)\.(\d+)\.")
QUERY_VALUE = re.compile(r"(?:^|\.)(?:q_proj|v_proj|q_lin|v_lin|query|value|wq|wv)\.")
LORA = re.compile(r"(?:^|\.)lora_(?:A|B)\.")
NAMED = ("all", "lora", "qv", "first_layer", "last_layer")
SHOWN = 6

Parameters = str | Sequence[str]


def trained_parameters(model: nn.Module) -> dict[str, nn.Parameter]:
    """Every parameter that is trained, once, by the first of its names.

    Raises:
        ValueError: none is: the model is frozen.
    """
    found = {name: parameter for name, parameter in model.named_parameters() if parameter.requires_grad}
    if not found:
        raise ValueError(
            "No parameter of the model is trained (requires_grad is False on all of them), so no gradient can be "
            "taken: unfreeze some, or train an adapter (peft_config=LoraConfig(...))."
        )
    return found


def choose_parameters(model: nn.Module, patterns: Parameters) -> dict[str, nn.Parameter]:
    """The trained parameters that ``patterns`` name, in the model's order.

    Args:
        model: whose parameters.
        patterns: "all" (that are trained), "lora" (the A and B matrices), "qv" (query and value projections, as CLUES
            takes), "first_layer" (which its authors recommend), "last_layer", a regular expression searched for in a
            parameter's name, or a list of these, of which a parameter has to meet one.

    Raises:
        ValueError: the model is frozen, a pattern is no regular expression, or it matches nothing; shows the names.
    """
    trained = trained_parameters(model)
    chosen: set[str] = set()
    for pattern in [patterns] if isinstance(patterns, str) else list(patterns):
        matches = [name for name in trained if _matcher(pattern, trained)(name)]
        if not matches:
            raise ValueError(_nothing(pattern, model, list(trained)))
        chosen.update(matches)
    if not chosen:
        raise ValueError(f"parameters={patterns!r} names nothing: pass one of {NAMED} or a regular expression.")
    return {name: parameter for name, parameter in trained.items() if name in chosen}


def _matcher(pattern: str, names: Iterable[str]) -> Callable[[str], object]:
    if pattern == "all":
        return lambda name: True
    if pattern == "lora":
        return LORA.search
    if pattern == "qv":
        return QUERY_VALUE.search
    if pattern in ("first_layer", "last_layer"):
        layers = {int(match[1]) for match in map(LAYER.search, names) if match}
        wanted = (min if pattern == "first_layer" else max)(layers, default=None)
        return lambda name: (match := LAYER.search(name)) is not None and int(match[1]) == wanted
    try:
        return re.compile(pattern).search
    except re.error as error:
        raise ValueError(
            f"parameters={pattern!r} is neither one of {NAMED} nor a regular expression: {error}."
        ) from error


def _nothing(pattern: str, model: nn.Module, trained: list[str]) -> str:
    frozen = [name for name, parameter in model.named_parameters() if not parameter.requires_grad]
    only_frozen = pattern not in NAMED and any(re.search(pattern, name) for name in frozen)
    shown = ", ".join(trained[:SHOWN]) + (", ..." if len(trained) > SHOWN else "")
    why = "matches only parameters that are frozen" if only_frozen else "matches no parameter"
    return f"parameters={pattern!r} {why}; trained are {shown}. Choose one of {NAMED}, or a pattern on these names."
