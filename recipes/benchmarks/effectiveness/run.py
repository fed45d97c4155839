"""S2L at 11% against everything and the other choices, with `compare_selections`, on the generated skill corpus.

    python -m recipes.benchmarks.effectiveness.run --work effectiveness

Parts: "clean" and "corrupted" (30% wrong answers) hold all methods against each other; "clusters" varies S2L's K in
both worlds, "checkpoints" the length of its trajectories and "proxies" the size of the model that is recorded, in the
clean one. Every method trains the same target from the same start, for as many steps. Least confidence and middle
perplexity stand for the trained proxy and for its first checkpoint ("early"); both are reported. What is in `--work`
is not done again: a run that was killed goes on, and parts may run side by side where they are of different folders.
"""

from __future__ import annotations

import argparse
import gc
import json
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch

from hf_datasel import Selection, __version__, compare_selections
from hf_datasel.compare.jobs import SELECTIONS
from hf_datasel.compare.plan import ALL, Cell, Method
from hf_datasel.compare.verdict import write_verdict
from hf_datasel.quickstart.jobs import Role, make_inputs, pretrain
from hf_datasel.quickstart.plan import ModelSize, Plan
from hf_datasel.quickstart.progress import quiet_libraries
from recipes.benchmarks.common import machine_class, versions, write_flat
from recipes.benchmarks.effectiveness.figures import draw
from recipes.benchmarks.effectiveness.setting import (
    BUDGET,
    CLUSTERS,
    NUM_CHECKPOINTS,
    WORLDS,
    Setting,
    arguments,
)

HERE = Path(__file__).parent
PACKAGES = ("torch", "transformers", "trl", "datasets", "faiss-cpu")
PARTS = (*WORLDS, "clusters", "checkpoints", "proxies")
METRICS = ("exact_match", "loss")
ROLES: tuple[Role, ...] = ("proxy", "target")
DIGITS = 6


def compare(
    setting: Setting,
    work: Path,
    world: str,
    methods: Sequence[Method],
    *,
    num_checkpoints: int = NUM_CHECKPOINTS,
    proxy: ModelSize | None = None,
) -> dict[str, Any]:
    """A comparison in a world; what an earlier one in the same folder has done is taken from there.

    Args:
        num_checkpoints: of trajectories.
        proxy: in place of the quickstart's.

    Returns:
        Of the comparison's result what is told: see `_digest`.
    """
    plan = setting.plan(world, proxy)
    root = work / (world if proxy is None else f"{world}-{_name(plan)}")
    for role in ROLES:
        pretrain(plan, root, role, advance=lambda _: None)
    corpus = make_inputs(plan).corpus
    folder = root / f"checkpoints-{num_checkpoints}"
    comparison = compare_selections(
        str(root / "models" / "target"),
        arguments(plan, root / "models" / "proxy", num_checkpoints, folder),
        corpus.train,
        corpus.test,
        methods=methods,
        budgets=[BUDGET],
        num_seeds=setting.num_seeds,
        metrics=METRICS,
        group_column="skill",
    )
    wrong = np.asarray(corpus.train["corrupted"])
    kept = {
        method.label: [_share(folder, Cell(method, BUDGET, seed), wrong) for seed in comparison.result["seeds"]]
        for method in (Method("random"), *methods)
    }
    return {**_digest(comparison.result), "corrupted_kept": kept}


def _name(plan: Plan) -> str:
    """Of the proxy: width x layers."""
    return f"{plan.proxy_size.hidden_size}x{plan.proxy_size.num_layers}"


def _share(folder: Path, cell: Cell, wrong: np.ndarray) -> float:
    """Of wrong answers among the rows that were kept."""
    return float(wrong[Selection.load(folder / SELECTIONS / cell.name).ids].mean())


def _digest(result: Mapping[str, Any]) -> dict[str, Any]:
    """A comparison's result without the pairs' overlap and, in groups of test rows, without differences."""
    metrics = {
        name: {
            **measured,
            "groups": {
                group: found if group == ALL else {"means": found["means"]}
                for group, found in measured["groups"].items()
            },
        }
        for name, measured in result["metrics"].items()
    }
    left_out = ("overlap", "verdict", "format", "version", "hf_datasel")
    return {
        **{name: value for name, value in result.items() if name not in left_out},
        "metrics": metrics,
        "verdicts": {name: write_verdict(result, name) for name in result["metric_names"]},
    }


def run(setting: Setting, work: Path, parts: Sequence[str]) -> dict[str, Any]:
    """The parts in the folder `work`; returns what `result.json` holds.

    Raises:
        ValueError: there is no such part.
    """
    unknown = [part for part in parts if part not in PARTS]
    if unknown:
        raise ValueError(f"unknown part {unknown[0]!r}: choose from {PARTS}")
    found: dict[str, Any] = {
        "benchmark": "effectiveness",
        "machine": machine_class(),
        "versions": {"hf_datasel": __version__, **versions(*PACKAGES)},
        "settings": {
            "plan": {**asdict(setting.plan("clean")), "corrupted": WORLDS},
            "num_checkpoints": NUM_CHECKPOINTS,
            "methods": {method.label: method.describe() for method in setting.methods},
            "equal": "steps",
            "smoke": setting.smoke,
        },
    }
    with quiet_libraries():
        found["worlds"] = {world: compare(setting, work, world, setting.methods) for world in WORLDS if world in parts}
        if "clusters" in parts:
            found["clusters"] = {world: compare(setting, work, world, list(CLUSTERS.values())) for world in WORLDS}
        if "checkpoints" in parts:
            found["checkpoints"] = {
                str(number): compare(setting, work, "clean", setting.methods[:1], num_checkpoints=number)
                for number in setting.checkpoints
            }
        if "proxies" in parts:
            found["proxies"] = {
                _name(setting.plan("clean", proxy)): compare(setting, work, "clean", setting.methods[:1], proxy=proxy)
                for proxy in setting.proxies
            }
    return _rounded(found)


def _rounded(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _rounded(one) for name, one in value.items()}
    if isinstance(value, list | tuple):
        return [_rounded(one) for one in value]
    return float(f"{value:.{DIGITS}g}") if isinstance(value, float) else value


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=Path, help="kept pieces, for a run that goes on; else a temporary folder")
    parser.add_argument("--parts", nargs="+", default=list(PARTS), choices=PARTS)
    parser.add_argument("--num_seeds", type=int, default=5)
    parser.add_argument("--smoke", action="store_true", help="seconds instead of minutes; says nothing of methods")
    parser.add_argument("--output", type=Path, default=HERE / "result.json", help="where the result is written")
    options = parser.parse_args()
    torch.set_num_threads(1)
    gc.freeze()  # every Trainer collects garbage; what the imports left behind need not be searched each time
    setting = Setting(options.num_seeds, options.smoke)
    with tempfile.TemporaryDirectory() as scratch:
        content = run(setting, options.work or Path(scratch), options.parts)
    write_flat(options.output, content)
    if content["worlds"]:
        draw(content, options.output.with_name("methods.png"))
    print(json.dumps({world: one["verdicts"] for world, one in content["worlds"].items()}, indent=1))
    print(f"wrote {options.output}")


if __name__ == "__main__":
    main()
