"""Cards of what the recipes trained, from the JSON that their runs left: `python -m recipes.model_cards`.

A card stands in `model_cards/`, whole; nothing in it is typed there. No weights are published with it: the models are
small and made to compare choices of rows, and the card says how to make them again.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hf_datasel.cards.methods import citations, limits_of, link_to_paper
from hf_datasel.cards.render import assemble
from hf_datasel.cards.text import code, fence, in_list, settings
from hf_datasel.quickstart.summary import SCOPE
from recipes.benchmarks import render
from recipes.benchmarks.shed.cell import DECLARED, FULL, RANDOM

ROOT = Path(__file__).parents[1]
FOLDER = ROOT / "model_cards"
NO_WEIGHTS = "No weights are published; this trains the models again:"
COMPARED = "Small models, small data: the numbers compare choices of rows, and do not say what a larger model gains."
Outcome = tuple[str, str, str, float]  # data, metric, what was trained on, mean


@dataclass(frozen=True)
class Recipe:
    """What a card is made of.

    Args:
        title: of the card.
        what: what was trained, to compare what, in one sentence.
        results: paths of the JSON, that of the metadata first.
        command: that makes them.
        methods: what is cited.
        tables: the results as Markdown, as the README has them.
        outcomes: of a result, for the metadata.
        about: settings and sizes of a result, by heading.
        limit: what holds for this recipe beside the methods' limits.
    """

    title: str
    what: str
    results: tuple[str, ...]
    command: str
    methods: tuple[str, ...]
    tables: Callable[[], str]
    outcomes: Callable[[dict[str, Any]], Iterator[Outcome]]
    about: Callable[[dict[str, Any]], dict[str, dict[str, Any]]]
    limit: str = COMPARED


def card(name: str) -> str:
    """The card of a recipe as text."""
    recipe = RECIPES[name]
    result = json.loads((ROOT / recipe.results[0]).read_text())
    metrics: dict[str, list[dict[str, Any]]] = {}
    for where, metric, arm, mean in recipe.outcomes(result):
        told = {"type": metric, "name": f"{metric.replace('_', ' ')}, trained on {arm}", "value": round(mean, 4)}
        metrics.setdefault(where, []).append(told)
    results = [
        {
            "task": {"type": "text-generation"},
            "dataset": {"name": where, "type": where.replace(",", "").replace(" ", "-")},
            "metrics": found,
        }
        for where, found in metrics.items()
    ]
    data = {
        "library_name": "transformers",
        "pipeline_tag": "text-generation",
        "tags": ["hf-datasel", "data-selection", *recipe.methods],
        "model-index": [{"name": name, "results": results}],
    }
    sections = {
        "": [f"{recipe.what} Rows were chosen by {', '.join(map(link_to_paper, recipe.methods))} and others."],
        "Results": [recipe.tables()],
        **{heading: [settings(values)] for heading, values in recipe.about(result).items()},
        "How to make it": [
            NO_WEIGHTS,
            fence(recipe.command, "sh"),
            f"Every number here is from {' and '.join(map(code, recipe.results))}.",
        ],
        "What it does not promise": [in_list([*limits_of(recipe.methods), recipe.limit])],
        "Citation": citations(recipe.methods),
    }
    return assemble(data, recipe.title, sections)


def _quickstart(result: dict[str, Any]) -> Iterator[Outcome]:
    for arm, found in result["arms"].items():
        mean = found["macro_exact_match"]["mean"]
        yield "generated skills", "exact_match", f"{found['num_rows']:,} rows: {arm}", mean


def _math_mixture(result: dict[str, Any]) -> Iterator[Outcome]:
    for arm, found in result["answer_loss_on_gsm8k_test"].items():
        yield "gsm8k", "loss", arm, found["mean"]


def _shed(result: dict[str, Any]) -> Iterator[Outcome]:
    for world, patterns in result["worlds"].items():
        for pattern, found in patterns.items():
            for arm in (DECLARED, RANDOM, FULL):
                yield f"{world}, {pattern}", "loss", arm, found["arms"][arm]["loss"]["mean"]


def _clues_noise(result: dict[str, Any]) -> Iterator[Outcome]:
    for world, patterns in result["worlds"].items():
        for pattern, found in patterns.items():
            for arm, one in found.get("held_out", {}).items():
                yield f"{world}, {pattern}", "loss", arm, one["loss"]["mean"]


def _of_study(result: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {"Made with": {"machine": result["machine"], **result["versions"]}}


RECIPES = {
    "quickstart": Recipe(
        "Quickstart: small Llamas on generated skills",
        "A Llama, pre-trained on other text, was trained on each of four choices of rows, for as many steps each.",
        ("recipes/quickstart/results.json", "recipes/quickstart/results_corrupted.json"),
        "hf-datasel quickstart",
        ("s2l", "shed", "in_run_shapley"),
        render.quickstart,
        _quickstart,
        lambda result: {"Settings": result["plan"], "Made with": result["versions"]},
        SCOPE,
    ),
    "s2l_math_mixture": Recipe(
        "S2L on a mixture of school mathematics",
        "A Llama from random weights was trained on 11% of three sources, chosen by the losses of a smaller one.",
        ("recipes/s2l/math_mixture/result.json",),
        "python -m recipes.s2l.math_mixture.run --data ../shared/data",
        ("s2l",),
        render.math_mixture,
        _math_mixture,
        lambda result: {
            "Sizes": {"parameters": result["num_parameters"], "rows": result["num_rows"], "seeds": result["seeds"]},
            "Settings": result["settings"],
            **_of_study(result),
        },
    ),
    "shed": Recipe(
        "SHED where rows are damaged",
        "Small models were trained on a tenth of the rows, of which two fifths were damaged, by values and otherwise.",
        ("recipes/benchmarks/shed/result.json",),
        "python -m recipes.benchmarks.shed.run --data ../shared/data",
        ("shed", "in_run_shapley", "dsir", "dataset_quantization"),
        render.shed,
        _shed,
        _of_study,
    ),
    "clues_noise": Recipe(
        "CLUES against noise",
        "Adapters of five clients were trained on what each score kept of partly damaged rows, and merged.",
        ("recipes/benchmarks/clues_noise/result.json",),
        "python -m recipes.benchmarks.clues_noise.run --data ../shared/data",
        ("clues", "ifd", "datainf", "perplexity"),
        render.clues_noise,
        _clues_noise,
        _of_study,
    ),
}


def main() -> None:
    """Write every card."""
    for name in RECIPES:
        (FOLDER / f"{name}.md").write_text(card(name), encoding="utf-8")


if __name__ == "__main__":
    main()
