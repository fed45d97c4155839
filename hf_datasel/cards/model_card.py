"""The card of a model that was trained on a selection."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from huggingface_hub import ModelCard

from hf_datasel.cards.hub_names import hub_id, repo_link, short_name
from hf_datasel.cards.methods import citations, limits_of, link_to_paper
from hf_datasel.cards.render import as_json, assemble
from hf_datasel.cards.steps import cited_by, describe_steps, name_model, names_of
from hf_datasel.cards.text import code, count, escape, fence, in_list, settings

TRL_CITATION = """\
@software{vonwerra2020trl,
    title  = {{TRL: Transformers Reinforcement Learning}},
    author = {von Werra, Leandro and Belkada, Younes and Tunstall, Lewis and Beeching, Edward and Thrush, Tristan and \
Lambert, Nathan and Huang, Shengyi and Rasul, Kashif and Gallouédec, Quentin},
    url    = {https://github.com/huggingface/trl},
    year   = 2020
}"""
COMPARE = (
    "That training on these rows gives a better model than training on as many random ones, or on all of them, was "
    "not tested by making this card."
)
INHERITED = "Errors and bias in the rows, and in the model that training began with, can show in its answers."


@dataclass(frozen=True, kw_only=True)
class TrainedModel:
    """What a card tells of a model.

    Args:
        name: its title.
        repo_id: on the Hub, where it has one.
        base: the name or path of the weights that training began with; None for a model built from a configuration.
        architecture: its class.
        num_parameters: of the whole model, the base of an adapter included.
        num_trained: those that were trained.
        adapter: PEFT's name for its kind, None where the weights themselves were trained.
        is_chat: whether its tokenizer has a chat template.
        steps: the provenance of the Selection it was trained on; empty where nothing was selected yet.
        num_rows, num_kept: rows of the source and of the selection; None where they are not known.
        source: name or path of the source dataset, where known.
        curated: id of the curated dataset on the Hub, where it was pushed.
        proxy: whose losses or gradients chose the rows, in words that are Markdown already; "" where none did.
        selection_settings: of the stage that chose, beside the selector's own.
        training_settings: of the training on what was chosen.
        progress: what is known of that training: steps, epochs, losses.
        is_choice_saved: whether the Selection lies in ``selection/`` beside the model.
        reselected: whether rows were chosen again in training.
        online: of selection within batches (GREATS); empty where there was none.
        versions: by library.
        tags: for the Hub.
        links: further pages, by title, as of an experiment tracker.
    """

    name: str
    repo_id: str | None = None
    base: str | None = None
    architecture: str
    num_parameters: int
    num_trained: int
    adapter: str | None = None
    is_chat: bool = False
    steps: Sequence[Mapping[str, Any]] = ()
    num_rows: int | None = None
    num_kept: int | None = None
    source: str | None = None
    curated: str | None = None
    proxy: str = ""
    selection_settings: Mapping[str, Any] = field(default_factory=dict)
    training_settings: Mapping[str, Any] = field(default_factory=dict)
    progress: Mapping[str, Any] = field(default_factory=dict)
    is_choice_saved: bool = False
    reselected: bool = False
    online: Mapping[str, Any] = field(default_factory=dict)
    versions: Mapping[str, str] = field(default_factory=dict)
    tags: Sequence[str] = ()
    links: Mapping[str, str] = field(default_factory=dict)

    @property
    def methods(self) -> list[str]:
        """Names of the selectors, in order."""
        return names_of(self.steps)


def model_card(model: TrainedModel) -> ModelCard:
    """The card of a model; every value from data is escaped in it.

    Example:
        >>> tiny = TrainedModel(name="tiny", architecture="LlamaForCausalLM", num_parameters=5, num_trained=5)
        >>> card = model_card(tiny)
        >>> "from scratch" in card.text, card.data.base_model
        (True, None)
    """
    base = hub_id(model.base)
    datasets = [name for name in (model.curated, hub_id(model.source)) if name]
    data = {
        "base_model": base,
        "base_model_relation": None if base is None else "finetune" if model.adapter is None else "adapter",
        "library_name": "transformers" if model.adapter is None else "peft",
        "pipeline_tag": "text-generation",
        "datasets": datasets or None,
        "model_name": model.name,
        "tags": list(dict.fromkeys(["generated_from_trainer", *model.tags, *model.methods])),
        "hf_datasel": {
            "chain": model.methods,
            "counts": {"source": model.num_rows, "kept": model.num_kept},
            "version": model.versions.get("hf_datasel"),
        },
    }
    sections = {
        "": [_opening(model, base), in_list(f"[{escape(title)}]({url})" for title, url in model.links.items())],
        "How to use it": [_usage(model, base)],
        "What it was trained on": [_rows(model), describe_steps(model.steps, {}) if model.steps else ""],
        "How it was trained": [
            _training(model),
            settings(model.training_settings),
            settings(model.progress, "outcome"),
        ],
        "What it does not promise": [in_list([*limits_of(model.methods), COMPARE, INHERITED])],
        "Versions": [in_list(f"{escape(name)} {code(version)}" for name, version in model.versions.items())],
        "Citation": [
            *citations([*cited_by(model.steps), *(["greats"] if model.online else [])]),
            f"TRL:\n\n{fence(TRL_CITATION, 'bibtex')}",
        ],
    }
    known = {key: value for key, value in data.items() if value is not None}
    return ModelCard(assemble(known, model.name, sections))


def _opening(model: TrainedModel, base: str | None) -> str:
    kind = f"{code(model.architecture)} of {count(model.num_parameters)} parameters"
    if model.base is None:
        of = f"a {kind} that was built from a configuration, so that there is no base model"
    elif base is None:
        of = f"{name_model(model.base)}, a local checkpoint that is not on the Hub: a {kind}"
    else:
        of = f"{name_model(model.base)}, a {kind}"
    if model.adapter is not None:
        what = f"An adapter ({code(model.adapter)}, {count(model.num_trained)} parameters) for {of}"
    else:
        what = f"Fine-tuned from {of}" if model.base else f"Trained from scratch: {of}"
    chosen = ""
    if model.num_kept is not None:
        by = f", chosen by {', then '.join(map(link_to_paper, model.methods))}" if model.methods else ""
        chosen = f" on {count(model.num_kept)} of {count(model.num_rows)} rows{_share(model)}{by},"
    return f"{what}. It was trained{chosen} with `SelectingSFTTrainer` of hf\\_datasel."


def _share(model: TrainedModel) -> str:
    if not model.num_rows or model.num_kept is None:
        return ""
    return f" ({model.num_kept / model.num_rows:.1%})"


def _usage(model: TrainedModel, base: str | None) -> str:
    if model.adapter is not None and model.base is None:
        return (
            "The adapter changes a model that was built from a configuration, whose own weights are not in it: load "
            "it with `PeftModel.from_pretrained` onto that very model."
        )
    where = as_json(model.repo_id or model.name)
    prompt = '[{"role": "user", "content": "..."}]' if model.is_chat else '"..."'
    if model.adapter is None:
        snippet = (
            "from transformers import pipeline\n\n"
            f'generate = pipeline("text-generation", model={where})\n'
            f'print(generate({prompt}, max_new_tokens=64, return_full_text=False)[0]["generated_text"])'
        )
    else:
        snippet = (
            f"from peft import AutoPeftModelForCausalLM\n\nmodel = AutoPeftModelForCausalLM.from_pretrained({where})"
        )
    note = ""
    if model.repo_id is None:
        note = f"\n\n{code(model.name)} stands for the folder in which the model was saved."
    if model.adapter is not None and base is None:
        note += f"\n\nIt needs the weights of {code(short_name(str(model.base)))}, which are not on the Hub."
    return fence(snippet, "python") + note


def _rows(model: TrainedModel) -> str:
    if model.num_kept is None:
        return "Rows had not been chosen yet when this card was written."
    said = []
    if model.curated:
        where = repo_link(model.curated, dataset=True)
        said.append(f"The rows are in {where}, with every row's score and what the choice can be checked by.")
    if model.source:
        where = repo_link(model.source, dataset=True) if hub_id(model.source) else code(short_name(model.source))
        said.append(f"The rows come from {where}.")
    if model.proxy:
        said.append(f"The rows were chosen by what was recorded of {model.proxy}.")
    if model.reselected:
        said.append("They were chosen again in training: this tells of the last choice.")
    elif model.is_choice_saved:
        said.append("The choice itself was saved beside the model, in `selection/`.")
    return "\n\n".join(part for part in (" ".join(said), settings(model.selection_settings)) if part)


def _training(model: TrainedModel) -> str:
    said = "By TRL's `SFTTrainer`, on the chosen rows only."
    if model.online:
        said += (
            f" Every {model.online.get('every')} steps only a share of {model.online.get('share')} of a batch's rows "
            f"counted: those whose gradients agreed best with that of validation rows ({link_to_paper('greats')})."
        )
    return said
