"""How a selection came about: a section for every step of its provenance."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from hf_datasel.cards.hub_names import hub_id, repo_link, short_name
from hf_datasel.cards.methods import link_to_paper, method_of
from hf_datasel.cards.text import code, count, escape, flatten, in_list, settings, value

LONGEST = 400  # characters of one value
_TOLD_ABOVE = ("fingerprint", "num_examples", "num_candidates", "num_kept")  # of evidence and details
_NAMES = ("id", "model", "name", "tokenizer")  # keys under which evidence names what may lie in a folder


def describe_steps(steps: Sequence[Mapping[str, Any]], manifest: Mapping[str, Any]) -> str:
    """Every step with what it kept, its settings, and what it read; then the models and the embedder."""
    parts = [_step(step, number if len(steps) > 1 else None) for number, step in enumerate(steps, start=1)]
    if not parts:
        parts = [
            f"By {link_to_paper(str(manifest.get('method')))}; how is not recorded.",
            settings(manifest.get("config") or {}),
        ]
    models = [model for model in manifest.get("models") or () if model]
    if models:
        parts.append(f"What was recorded comes from:\n\n{in_list(map(describe_model, models))}")
    if manifest.get("embedder"):
        parts.append(f"Embedder: {in_words(manifest['embedder'])}")
    return "\n\n".join(part for part in parts if part)


def names_of(steps: Sequence[Mapping[str, Any]]) -> list[str]:
    """Names of the steps' selectors, in order."""
    return [str(step.get("selector", "unknown")) for step in steps]


def cited_by(steps: Sequence[Mapping[str, Any]]) -> list[str]:
    """What the steps cite: their methods, and what the values they read were estimated by."""
    by_run = [step for step in steps if isinstance(step.get("evidence"), Mapping)]
    by_run = [step for step in by_run if step["evidence"].get("estimator") == "in_run"]
    return [*names_of(steps), *(["in_run_shapley"] if by_run else [])]


def describe_model(model: Any) -> str:
    """A model that evidence names, linked where it is on the Hub; a path shows its last part only."""
    if not isinstance(model, Mapping):
        return name_model(model)
    name = model_name(model)
    rest = {key: one for key, one in model.items() if one != name}
    return ", ".join([*([name_model(name, model.get("revision"))] if name else ["model"]), *_pairs(rest)])


def model_name(model: Mapping[str, Any]) -> Any:
    """What evidence calls a model; None where it has no name."""
    return next((model[key] for key in _NAMES if model.get(key)), None)


def name_model(name: Any, revision: Any = None) -> str:
    """A model's name, linked where it can be on the Hub."""
    if hub_id(name):
        return repo_link(name, revision=revision if isinstance(revision, str) else None)
    return code(short_name(str(name)))


def in_words(told: Any) -> str:
    """What a provenance says, in a line; nested names are joined, and what is empty is left out."""
    return f"{', '.join(_pairs(told))}." if isinstance(told, Mapping) else f"{value(told, LONGEST)}."


def _step(step: Mapping[str, Any], number: int | None) -> str:
    name = str(step.get("selector", "unknown"))
    heading = "" if number is None else f"### Step {number}: {escape(method_of(name).title)}\n\n"
    counts = f"It kept {count(step.get('num_kept'))} of {count(step.get('num_candidates'))} candidates."
    parts = [f"{heading}{link_to_paper(name)}. {method_of(name).summary} {counts}", settings(step.get("config") or {})]
    told = {"From the package": "package", "Read from": "evidence", "Found": "details", "Versions": "versions"}
    parts += [f"{title}: {in_words(step[key])}" for title, key in told.items() if step.get(key)]
    parts += [f"Warned: {escape(warning, LONGEST)}" for warning in step.get("warnings") or ()]
    return "\n\n".join(part for part in parts if part)


def _pairs(told: Mapping[str, Any]) -> list[str]:
    told = {key: one for key, one in told.items() if key not in _TOLD_ABOVE}
    present = [(name, one) for name, one in flatten(told) if one not in (None, "", [], ())]
    return [f"{escape(name)} {value(_without_folders(name, one), LONGEST)}" for name, one in present]


def _without_folders(name: str, one: Any) -> Any:
    is_path = name.split(" ")[-1] in _NAMES and isinstance(one, str) and not hub_id(one)
    return short_name(one) if is_path else one
