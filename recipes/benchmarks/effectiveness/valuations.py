"""SHED at 10% against everything, random rows, DSIR and Dataset Quantization: rows of which two fifths are damaged.

Rows, damage and base models are those of `recipes/benchmarks/shed`, which studies the method over many deals of them
and found: choosing by values of clusters is too narrow; a tenth drawn at random from the better half of the rows by
in-run cosines, which was declared there, is best where damage is scattered. Here is what somebody with one such set
gets from `compare_selections`: the clean dev rows are the validation rows, and clusters are k-means' of bags of words
of question and answer, where that study knew the topics. A comparison has one valuation, so that each is a folder
of its own, and the cells of all are summed up together: random rows and everything are the same in each.

Trainings, fine-tunes and their numbers are that study's. The embedding was settled on the development pool (deal 11),
by how well the best values that clusters could have would tell clean rows (AUROC with bags and with the base's hidden
states, concentrated: skills, 80 clusters, 0.76 and 0.66; real, 40 clusters, 0.97 and 0.97). Reported is deal 11 of the
evaluation pool, which was not dealt before; the rows of that pool were. One deal: intervals speak of drawing and
training alone, not of other rows, other damage or another valuation.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from peft import LoraConfig

from hf_datasel import SelectingSFTConfig, Selection, Valuation
from hf_datasel.compare.cost_summary import COUNTS
from hf_datasel.compare.folder import EVIDENCE
from hf_datasel.compare.grid import FULL, RANDOM
from hf_datasel.compare.jobs import CELLS, SELECTIONS
from hf_datasel.compare.plan import Cell, Method
from hf_datasel.compare.result import summarise
from hf_datasel.storage import read_json
from hf_datasel.training.evidence import EVIDENCE_DIRS
from recipes.benchmarks.clues_noise.metrics import auroc
from recipes.benchmarks.common import common_arguments
from recipes.benchmarks.effectiveness.comparing import compare, digest
from recipes.benchmarks.effectiveness.setting import Setting, of_recipe
from recipes.benchmarks.effectiveness.valuations_rows import (
    FLAG,
    base_loss,
    make_base,
    small_models,
    small_world,
    to_rows,
)
from recipes.benchmarks.shed.data import PATTERNS, WORLDS, World, deal, load_world
from recipes.benchmarks.shed.lab import COALITION_RATE, RANK
from recipes.benchmarks.shed.model import SETTINGS
from recipes.benchmarks.shed.model import Setting as Models

BUDGET = 0.1
POOL, DEAL, SEED = "evaluation", 11, 42
METRICS = {"skills": ("loss", "exact_match"), "real": ("loss",)}  # no real answer of a tiny model is exact
CLUSTERS = {"skills": (80, 40, 10), "real": (40, 10)}  # the first number is that of the study of SHED
SMOKE_CLUSTERS = (4, 2)
DECLARED, IN_RUN = "shed (in-run rows)", "in-run rows"
ORACLE = "oracle"  # a tenth of the clean rows
OTHERS = (Method("dsir"), Method("dataset_quantization"), Method(ORACLE, options={"column": FLAG, "good": False}))
BETTER_HALF = Method(DECLARED, "shed", {"sampling": "uniform", "best_share": 0.5})


@dataclass(frozen=True)
class Valued:
    """A valuation and the methods that are compared in its folder.

    Args:
        name: of the valuation.
        methods: what is held against random rows and everything.
        proxy: arguments of the training or the fine-tunes.
        options: of a `SelectingSFTConfig`.
        adapter: that is fine-tuned; None for all weights.
    """

    name: str
    methods: tuple[Method, ...]
    proxy: Mapping[str, Any]
    options: Mapping[str, Any] = field(default_factory=dict)
    adapter: LoraConfig | None = None


def run(setting: Setting, work: Path) -> dict[str, Any]:
    """By world and pattern of damage all methods as one comparison, and how the values tell damaged rows.

    The real world is left out where there are no data; a smoke run takes a small one and a single pattern.

    Returns:
        Digests as of `comparing.compare`, with the "base_loss" before any training, and "values": by valuation its
        number of clusters, the AUROC of clean rows against damaged ones, and the "ceiling", that of the best values
        that its clusters could have.
    """
    found = {}
    for name in WORLDS:
        if name == "real" and (setting.smoke or setting.data is None):
            continue
        world = small_world() if setting.smoke else load_world(name, POOL, setting.data or Path())
        models = small_models() if setting.smoke else SETTINGS[name]
        make_base(world, models, work / name / "base", is_trained=not setting.smoke)
        for pattern in PATTERNS[: 1 if setting.smoke else None]:
            clusters = SMOKE_CLUSTERS if setting.smoke else CLUSTERS[name]
            one = _over_valuations(world, pattern, models, clusters, work / name, setting.num_seeds)
            found[f"{name}, {pattern}"] = one
    return found


def _over_valuations(
    world: World, pattern: str, models: Models, clusters: Sequence[int], work: Path, num_seeds: int
) -> dict[str, Any]:
    """A comparison a valuation, summed up as one."""
    roles = deal(world, pattern, DEAL)
    train, dev, test = (to_rows(rows) for rows in (roles.train, roles.dev, roles.test))
    clean = ~np.asarray(train[FLAG])
    every: list[dict[str, Any]] = []
    kept: dict[tuple[str, int | float, int], Selection] = {}
    costs: dict[str, list[dict[str, Any]]] = {}
    flagged: dict[str, list[float]] = {}
    values: dict[str, dict[str, Any]] = {}
    for one in (in_run(models, len(train)), *(by_clusters(models, number) for number in clusters)):
        folder = work / pattern / one.name.replace(" ", "_")
        own = compare(
            work / "base",
            _arguments(models, one, work / "base", folder),
            train,
            test,
            methods=one.methods,
            budget=BUDGET,
            flag=FLAG,
            num_seeds=num_seeds,
            metrics=METRICS[world.name],
            validation_dataset=dev,
            proxy_peft_config=one.adapter,
        )
        costs |= {each["method"]: _pieces(each) for each in own["costs"]["methods"]}
        flagged |= own["flagged_kept"]
        [place] = (folder / EVIDENCE).glob(f"valuation-*/{EVIDENCE_DIRS['valuation']}")
        values[one.name] = told_by(Valuation.load(place), clean)
        methods = one.methods if every else (Method(RANDOM), *one.methods, Method(FULL))
        for cell in [
            Cell(method, 1.0 if method.label == FULL else BUDGET, seed) for seed in own["seeds"] for method in methods
        ]:
            every.append(read_json(folder / CELLS / f"{cell.name}.json", "cell"))
            kept[cell.method.label, cell.budget, cell.seed] = Selection.load(folder / SELECTIONS / cell.name)
    result = summarise(
        every,
        costs,
        kept,
        metrics=METRICS[world.name],
        yardsticks=(ORACLE,),
        examples_per_step=models.training.batch_size,
    )
    measured = {"flagged_kept": flagged, "values": values, "base_loss": base_loss(work / "base", roles.test)}
    return {**digest(result), **measured}


def in_run(models: Models, num_rows: int) -> Valued:
    """Of every row by cosines of gradients in one training, the direction renewed three times an epoch."""
    options = {
        "selection_estimator": "in_run",
        "selection_in_run_score": "cosine",
        "selection_num_checkpoints": 3 * models.in_run.num_steps * models.in_run.batch_size // num_rows,
    }
    return Valued(IN_RUN, (*OTHERS, BETTER_HALF), of_recipe(models.in_run), options)


def by_clusters(models: Models, number: int) -> Valued:
    """Of so many clusters by regression, at the same number of fine-tunes whatever their number."""
    methods = [
        Method(f"shed {sampling.upper()} ({number} clusters)", "shed", {"sampling": sampling})
        for sampling in ("qwcs", "qocs")
    ]
    proxy = {
        "max_steps": models.coalition_steps,
        "per_device_train_batch_size": 8,
        "learning_rate": COALITION_RATE,
        "warmup_steps": 0,
    }
    options = {
        "selection_num_clusters": number,
        "selection_num_evaluations": models.num_evaluations,
        "selection_coalitions_at_once": "16",
    }
    adapter = LoraConfig(r=RANK, lora_alpha=2 * RANK, target_modules="all-linear", task_type="CAUSAL_LM")
    return Valued(f"{number} clusters", tuple(methods), proxy, options, adapter)


def _arguments(models: Models, valued: Valued, base: Path, folder: Path) -> SelectingSFTConfig:
    return SelectingSFTConfig(
        **common_arguments(folder, **of_recipe(models.training)),
        seed=SEED,
        max_length=None,
        optim="adamw_torch_fused",
        logging_strategy="no",
        proxy_model=str(base),
        proxy_training_args=dict(valued.proxy),
        selection_seed=SEED,
        selection_embedder="bag",
        **valued.options,
    )


def _pieces(costs: Mapping[str, Any]) -> list[dict[str, Any]]:
    """What a comparison says of a method's evidence, as one piece."""
    if not costs["evidence"]:
        return []
    name = "+".join(costs["evidence"])
    return [{"evidence": name, "seconds": costs["evidence_seconds"], **{count: costs[count] for count in COUNTS}}]


def told_by(valuation: Valuation, clean: NDArray[np.bool_]) -> dict[str, Any]:
    """How its values tell clean rows, bool [n], and how the best values of its clusters would."""
    labels = valuation.clusters
    best = (np.bincount(labels, clean) / np.bincount(labels))[labels]
    return {
        "num_clusters": valuation.num_clusters,
        "auroc": auroc(valuation.values[labels], clean),
        "ceiling": auroc(best, clean),
    }
