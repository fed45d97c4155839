"""The setting of the study: its worlds, its methods, and the arguments of a training.

Corpus, models and recipes are the quickstart's, and so is K = 24: they were settled on the corpora of seeds 1000 and
1001. The corpus of this study is another one; nothing was chosen on it.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from hf_datasel import SelectingSFTConfig
from hf_datasel.compare.plan import Method
from hf_datasel.quickstart.plan import ModelSize, Plan, QuickstartArguments, Recipe
from recipes.benchmarks.common import common_arguments

WORLDS = {"clean": 0.0, "corrupted": 0.3}  # share of the answers that are wrong
CORPUS_SEED = 43
BUDGET = 0.11
NUM_CLUSTERS = 24
NUM_CHECKPOINTS = 8

S2L, CHAIN = "s2l", "perplexity:0.7,s2l"
METHODS = (
    Method(S2L, options={"num_clusters": NUM_CLUSTERS}),
    Method(CHAIN, options={"s2l": {"num_clusters": NUM_CLUSTERS}}),
    Method("perplexity"),
    Method("least_confidence"),
    Method("least_confidence (early)", "least_confidence", {"at": "first"}),
    Method("middle_perplexity"),
    Method("middle_perplexity (early)", "middle_perplexity", {"at": "first"}),
    Method("high_learnability"),
    Method("facility_location"),
)
# One after another, as S2L itself is in the comparison: what is done already is not done again.
CLUSTERS = {
    num_clusters: Method(S2L if num_clusters == NUM_CLUSTERS else f"s2l, K = {num_clusters}", "s2l", options)
    for num_clusters in (8, NUM_CLUSTERS, 100)
    for options in [{"num_clusters": num_clusters}]
}
CHECKPOINTS = (2, 16)  # beside the eight of the comparison
PROXIES = (ModelSize(32, 1, 4), ModelSize(128, 2, 4))  # beside the quickstart's; the larger one is the target's size
SMOKE = {S2L, CHAIN, "facility_location"}  # a method, a chain, and other evidence


@dataclass(frozen=True)
class Setting:
    """One size of the study.

    Args:
        num_seeds: repetitions of selecting and training.
        smoke: seconds instead of minutes: all is done, and little learned.
    """

    num_seeds: int = 5
    smoke: bool = False

    @property
    def methods(self) -> list[Method]:
        """What is held against random rows and all rows."""
        return [method for method in METHODS if not self.smoke or method.label in SMOKE]

    @property
    def checkpoints(self) -> list[int]:
        """Of trajectories, ascending."""
        return sorted((*CHECKPOINTS[: 1 if self.smoke else None], NUM_CHECKPOINTS))

    @property
    def proxies(self) -> list[ModelSize | None]:
        """Of which trajectories are recorded, the smallest first; None is the quickstart's."""
        return [PROXIES[0], None, *([] if self.smoke else PROXIES[1:])]

    def plan(self, world: str, proxy: ModelSize | None = None) -> Plan:
        """Corpus, models and recipes of a world, with another proxy where one is given.

        Raises:
            ValueError: there is no such world.
        """
        if world not in WORLDS:
            raise ValueError(f"unknown world {world!r}: choose from {list(WORLDS)}")
        plan = Plan.from_arguments(
            QuickstartArguments(
                num_rows=400 if self.smoke else 6000,
                budget=BUDGET,
                num_clusters=NUM_CLUSTERS,
                corrupted=WORLDS[world],
                seed=CORPUS_SEED,
                smoke=self.smoke,
            )
        )
        return plan if proxy is None else replace(plan, proxy_size=proxy)


def arguments(plan: Plan, proxy: Path, num_checkpoints: int, output_dir: Path) -> SelectingSFTConfig:
    """Of the target's trainings; the proxy is trained as the quickstart trains it."""
    return SelectingSFTConfig(
        **common_arguments(output_dir, **_recipe(plan.target_training)),
        seed=plan.seed,
        max_length=None,
        optim="adamw_torch_fused",
        logging_strategy="no",
        proxy_model=str(proxy),
        proxy_training_args=_recipe(plan.proxy_training),
        selection_seed=plan.seed,
        selection_num_checkpoints=num_checkpoints,
        selection_embedder=str(proxy),
    )


def _recipe(recipe: Recipe) -> dict[str, Any]:
    return {
        "max_steps": recipe.num_steps,
        "per_device_train_batch_size": recipe.batch_size,
        "learning_rate": recipe.learning_rate,
        "warmup_steps": max(1, recipe.num_steps // 20),
    }
