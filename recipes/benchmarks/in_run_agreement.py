"""How far do `in_run` trajectories lead S2L to the same clusters as `probe` trajectories?

One proxy training a seed carries both recorders, so both saw the same run. Clusters are compared by the adjusted Rand
index (1: the same, 0: as two random partitions); its ceiling is what k-means agrees to with itself when only its seed
changes. What is selected is compared by the mix of skills it holds, in total variation distance.

    python -m recipes.benchmarks.in_run_agreement
"""

from __future__ import annotations

import argparse
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from transformers import LlamaForCausalLM

from hf_datasel import LossTrajectoryCallback, RandomSelector, S2LSelector, Selection, Trace
from hf_datasel.quickstart.finetune import make_trainer
from hf_datasel.quickstart.jobs import make_inputs, pretrain
from hf_datasel.quickstart.plan import Plan, QuickstartArguments
from recipes.benchmarks.common import print_table, write_result

PACKAGES = ("torch", "transformers", "trl", "datasets", "faiss-cpu", "numpy")


def adjusted_rand_index(first: NDArray[np.int32], second: NDArray[np.int32]) -> float:
    """Agreement of two partitions beyond chance (Hubert and Arabie, 1985).

    >>> adjusted_rand_index(np.array([0, 0, 1, 1]), np.array([5, 5, 3, 3]))
    1.0
    """

    def pairs(counts: NDArray[np.int64]) -> float:
        return float((counts * (counts - 1) // 2).sum())

    _, rows = np.unique(first, return_inverse=True)
    _, columns = np.unique(second, return_inverse=True)
    table = np.zeros((rows.max() + 1, columns.max() + 1), np.int64)
    np.add.at(table, (rows, columns), 1)
    both, left, right = pairs(table), pairs(table.sum(1)), pairs(table.sum(0))
    chance = left * right / pairs(np.array([len(first)]))
    return (both - chance) / ((left + right) / 2 - chance)


def skill_mix(selection: Selection, skills: NDArray[Any]) -> NDArray[np.float64]:
    """Share of each skill among the selected rows."""
    names = np.unique(skills)
    chosen = skills[selection.ids]
    return np.array([(chosen == name).mean() for name in names])


def measure(plan: Plan, root: Path) -> dict[str, float]:
    """One proxy training, both recordings, all comparisons."""
    inputs = make_inputs(plan)
    pretrain(plan, root, "proxy", lambda _: None)
    trainer = make_trainer(
        LlamaForCausalLM.from_pretrained(root / "models" / "proxy"),
        inputs.examples,
        inputs.tokenizer,
        plan.proxy_training,
        seed=plan.seed,
        output_dir=root / "trainer",
        on_step=lambda: None,
    )
    trainer.add_callback(LossTrajectoryCallback(trainer, root / "probe", num_checkpoints=plan.num_checkpoints))
    trainer.add_callback(LossTrajectoryCallback(trainer, root / "in_run", mode="in_run"))
    trainer.train()
    probe, in_run = Trace.load(root / "probe"), Trace.load(root / "in_run")

    def choose(trace: Trace, seed: int) -> Selection:
        return S2LSelector(budget=plan.budget, num_clusters=plan.num_clusters, seed=seed).select(trace)

    def clusters(selection: Selection) -> NDArray[np.int32]:
        assert selection.clusters is not None
        return selection.clusters

    exact, again, cheap = choose(probe, 1), choose(probe, 2), choose(in_run, 1)
    skills = np.asarray(inputs.corpus.train["skill"][:])
    mix = skill_mix(exact, skills)

    def distance(selection: Selection) -> float:
        return float(np.abs(skill_mix(selection, skills) - mix).sum() / 2)

    return {
        "visits": in_run.num_checkpoints,
        "rand_probe_in_run": adjusted_rand_index(clusters(exact), clusters(cheap)),
        "rand_probe_probe": adjusted_rand_index(clusters(exact), clusters(again)),
        "mix_probe_in_run": distance(cheap),
        "mix_probe_probe": distance(again),
        "mix_probe_random": distance(RandomSelector(budget=plan.budget, seed=1).select(probe)),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--num_seeds", type=int, default=5)
    num_seeds = parser.parse_args().num_seeds
    plan = Plan.from_arguments(QuickstartArguments())
    runs = []
    for seed in range(100, 100 + num_seeds):
        with tempfile.TemporaryDirectory() as folder:
            runs.append(measure(replace(plan, seed=seed), Path(folder)))
    table = {name: np.array([run[name] for run in runs]) for name in runs[0]}
    summary = {
        name: {
            "mean": round(float(values.mean()), 4),
            "std_error": round(float(values.std(ddof=1) / len(runs) ** 0.5), 4),
        }
        for name, values in table.items()
    }
    print_table(["quantity", "mean", "standard error"], [[n, s["mean"], s["std_error"]] for n, s in summary.items()])
    setting = {
        "num_rows": plan.num_rows,
        "budget": plan.budget,
        "num_clusters": plan.num_clusters,
        "num_checkpoints": plan.num_checkpoints,
        "seeds": list(range(100, 100 + num_seeds)),
    }
    write_result("in_run_agreement", {"setting": setting, "summary": summary, "runs": runs}, packages=PACKAGES)


if __name__ == "__main__":
    main()
