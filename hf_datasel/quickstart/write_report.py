"""The quickstart's pictures and its Markdown report."""

import math
from pathlib import Path
from typing import Any

from datasets import Dataset

from hf_datasel import Selection, Trace, strata
from hf_datasel.quickstart import summary
from hf_datasel.quickstart.jobs import ARMS, SUBSETS
from hf_datasel.quickstart.skills import SKILLS
from hf_datasel.report import plot_scores, plot_shares, plot_trajectory_clusters
from hf_datasel.storage import write_atomic

_READ = """\
```python
from datasets import load_from_disk
from hf_datasel import Selection, Trace, Valuation

trace = Trace.load("trace")  # loss of every example at every checkpoint
values = Valuation.from_trace(Trace.load("influence"))  # what every example was worth, by which SHED chooses
selection = Selection.load("selection")  # what was kept, out of which cluster, and how it was chosen
curated = load_from_disk("curated")  # the training rows that were kept
```"""


def write_report(root: Path, results: dict[str, Any], trace: Trace, selection: Selection, examples: Dataset) -> None:
    """Write `figures/*.png` with their data as CSV, and `report.md`."""
    arms, figures = results["arms"], root / "figures"
    num_runs = arms["S2L"]["num_runs"]
    plot_scores(
        {arm: _pairs({**arms[arm]["exact_match"], summary.MACRO: arms[arm]["macro_exact_match"]}) for arm in ARMS},
        figures / "exact_match.png",
        title=f"Target trained on each choice of rows: mean and standard error of {_count(num_runs, 'run')}",
        ylabel="exact match on unseen questions",
        average=summary.MACRO,
    )
    corpus = {name: (count / results["corpus"]["num_rows"], math.nan) for name, count in _counts(results).items()}
    plot_shares(
        {**{arm: _pairs(arms[arm]["share_per_skill"]) for arm in SUBSETS}, "everything": corpus},
        figures / "skill_mix.png",
        title="Rows of each skill in what the target was trained on, in %",
        ylabel="share of the rows",
    )
    plot_trajectory_clusters(trace, selection, figures / "trajectory_clusters.png", strata=strata(examples, "skill"))
    text = _markdown(results).encode()
    write_atomic(root / "report.md", lambda file: file.write(text), len(text))


def _count(number: int, what: str) -> str:
    return f"{number} {what}{'s' if number > 1 else ''}"


def _counts(results: dict[str, Any]) -> dict[str, int]:
    return dict(results["corpus"]["rows_per_skill"])


def _pairs(values: dict[str, dict[str, Any]]) -> dict[str, tuple[float, float]]:
    return {
        name: (value["mean"], math.nan if value["standard_error"] is None else value["standard_error"])
        for name, value in values.items()
    }


def _markdown(results: dict[str, Any]) -> str:
    plan, corpus, arms = results["plan"], results["corpus"], results["arms"]
    rows_seen = plan["target_training"]["num_steps"] * plan["target_training"]["batch_size"]
    num_kept, num_runs = arms["S2L"]["num_rows"], arms["S2L"]["num_runs"]
    num_trusted = plan["num_trusted_rows"] // len(SKILLS) * len(SKILLS)
    unseen = " and ".join(f"`{skill.name}`" for skill in SKILLS if skill.pretraining_word is None)
    sections = [
        "# S2L and SHED against random selection, on a generated corpus",
        *(f"- {sentence}" for sentence in summary.verdicts(results)),
        f"\n{summary.SCOPE}\n",
        "## The target's exact match",
        f"Mean ± standard error over {_count(num_runs, 'repetition')}, on questions that occur in no training row.\n",
        summary.as_markdown(summary.score_table(results)),
        "\n![Exact match of each skill after training on S2L's subset, SHED's, a random one and everything]"
        "(figures/exact_match.png)\n",
        "## What was done",
        f"1. A corpus of {corpus['num_rows']:,} rows was generated: {len(SKILLS)} skills, from "
        f"{max(_counts(results).values()):,} rows to {min(_counts(results).values()):,}; {corpus['num_distinct']:,} "
        f"different questions; {corpus['corrupted']:.0%} corrupted answers. A proxy and a larger target were "
        f"pre-trained on other, clean text, which shows every relation but {unseen}, in other words.",
        f"2. The proxy was trained on all rows for {plan['proxy_training']['num_steps']} steps, and the loss of every "
        f"row was recorded at {plan['num_checkpoints']} checkpoints; in the same training, at every visit of a row, "
        f"also the product of its gradient with that of {num_trusted} trusted rows, which are clean, as many of each "
        "skill, and in no other part.",
        f"3. S2L (variant `{plan['variant']}`, transform `{plan['transform']}`) grouped the trajectories into "
        f"{plan['num_clusters']} clusters and spread {num_kept:,} rows over them. SHED kept as many rows, those of "
        "the highest value (QOCS; first-order In-Run Data Shapley, every row a cluster of its own). It alone saw the "
        "trusted rows.",
        f"4. The target was trained on S2L's subset, on SHED's, on as many random rows and on everything, for "
        f"{plan['target_training']['num_steps']} steps of {plan['target_training']['batch_size']} rows each time "
        f"({rows_seen / num_kept:.1f} passes over a subset, {rows_seen / corpus['num_rows']:.1f} over everything); "
        f"{_count(num_runs, 'time')}, with seeds from {plan['seed']} on.\n",
        "## What S2L chose",
        summary.as_markdown(summary.mix_table(results)),
        "\n![Share of each skill in the corpus and in each subset](figures/skill_mix.png)\n",
        "A panel below is a cluster of examples that the proxy learned in the same way; S2L keeps about as many of a "
        "large cluster as of a small one.\n",
        "![Loss trajectories of up to twelve clusters](figures/trajectory_clusters.png)\n",
        "## What lies here",
        "`trace/`, `influence/`, `selection/` and `curated/` read as below, from this directory. `results.json` holds "
        "every run, the options and the versions; `figures/` each picture with its numbers as CSV; `runs/` and "
        "`models/` what a continued quickstart need not do again.\n",
        _READ,
    ]
    return "\n".join(sections) + "\n"
