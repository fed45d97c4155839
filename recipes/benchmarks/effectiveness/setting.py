"""The setting of the study on generated skills: its worlds, its methods, and the arguments of a training.

Corpora, models and recipes are the quickstart's, and so is K = 24: they were settled on the corpora of seeds 1000 and
1001. The corpora of this study are others; nothing was chosen on them.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from hf_datasel import SelectingSFTConfig
from hf_datasel.compare.plan import Method
from hf_datasel.quickstart.plan import ModelSize, Plan, QuickstartArguments, Recipe
from recipes.benchmarks.common import common_arguments

Mode = Literal["probe", "in_run"]
WORLDS = {"clean": 0.0, "corrupted": 0.3}  # share of the answers that are wrong
CORPUS_SEED = 43
CORPORA = (44, 45, 46, 47, 48, 49)  # with models of their own, on which a few methods are held against each other
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
    Method("confidence_curriculum"),
)
ORACLE = Method("oracle", options={"column": "corrupted", "good": False})  # where rows are corrupted
# One after another, as S2L itself is in the comparison: what is done already is not done again.
CLUSTERS = {
    num_clusters: Method(S2L if num_clusters == NUM_CLUSTERS else f"s2l, K = {num_clusters}", "s2l", options)
    for num_clusters in (8, NUM_CLUSTERS, 100)
    for options in [{"num_clusters": num_clusters}]
}
CHECKPOINTS = (2, 16)  # beside the eight of the comparison
PROXIES = (ModelSize(32, 1, 4), ModelSize(128, 2, 4))  # beside the quickstart's; the larger one is the target's size
FEW = {S2L, CHAIN, "facility_location"}  # a method, a chain, and other evidence: in a smoke run and on other corpora


@dataclass(frozen=True)
class Setting:
    """One size of the study.

    Args:
        num_seeds: repetitions of selecting and training.
        smoke: seconds instead of minutes: all is done, and little learned.
        data: folder of the real rows, such as `gsm8k_train.jsonl`; None where no part on real rows is run.
    """

    num_seeds: int = 5
    smoke: bool = False
    data: Path | None = None

    def methods(self, world: str) -> list[Method]:
        """What is held against random rows and all rows."""
        return [*(self.few if self.smoke else METHODS), *([ORACLE] if WORLDS[world] else [])]

    @property
    def few(self) -> list[Method]:
        """Of the methods those that are looked at again on other corpora."""
        return [method for method in METHODS if method.label in FEW]

    @property
    def checkpoints(self) -> tuple[int, ...]:
        """Numbers of them in a trajectory, beside the comparison's."""
        return CHECKPOINTS[:1] if self.smoke else CHECKPOINTS

    @property
    def proxies(self) -> tuple[ModelSize, ...]:
        """Of which trajectories are recorded, beside the quickstart's."""
        return PROXIES[:1] if self.smoke else PROXIES

    @property
    def corpora(self) -> tuple[int, ...]:
        """Their seeds."""
        return CORPORA[:1] if self.smoke else CORPORA

    def plan(self, world: str, proxy: ModelSize | None = None, corpus: int = CORPUS_SEED) -> Plan:
        """Corpus, models and recipes of a world, with another proxy or of another corpus where one is given.

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
                seed=corpus,
                smoke=self.smoke,
            )
        )
        return plan if proxy is None else replace(plan, proxy_size=proxy)


def arguments(
    plan: Plan, proxy: Path, output_dir: Path, num_checkpoints: int = NUM_CHECKPOINTS, mode: Mode = "probe"
) -> SelectingSFTConfig:
    """Of the target's trainings; the proxy is trained as the quickstart trains it."""
    return SelectingSFTConfig(
        **common_arguments(output_dir, **of_recipe(plan.target_training)),
        seed=plan.seed,
        max_length=None,
        optim="adamw_torch_fused",
        logging_strategy="no",
        proxy_model=str(proxy),
        proxy_training_args=of_recipe(plan.proxy_training),
        selection_seed=plan.seed,
        selection_mode=mode,
        selection_num_checkpoints=num_checkpoints,
        selection_embedder=str(proxy),
    )


def of_recipe(recipe: Recipe) -> dict[str, Any]:
    """Training arguments of a recipe."""
    return {
        "max_steps": recipe.num_steps,
        "per_device_train_batch_size": recipe.batch_size,
        "learning_rate": recipe.learning_rate,
        "warmup_steps": max(1, recipe.num_steps // 20),
    }
