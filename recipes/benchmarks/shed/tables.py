"""The README's tables of a result: what selecting by values gains, what values cost and how exact they are."""

from __future__ import annotations

from typing import Any

from hf_datasel.quickstart.summary import as_markdown
from recipes.benchmarks.shed.cell import BASE, FULL, RANDOM
from recipes.benchmarks.shed.figures import ARMS, CURVES, WORLD_NAMES

FAMILY_NAMES = {"gpt_neox": "GPT-NeoX", "gpt2": "GPT-2"}


def tables(result: dict[str, Any]) -> str:
    """Arms, costs, the game and the transfer as Markdown; what was not run is left out."""
    parts = []
    for world, patterns in result.get("worlds", {}).items():
        for pattern, found in patterns.items():
            parts += [_what(world, pattern, found), as_markdown(arms_table(world, found)), _costs(found)]
    if "game" in result:
        parts += [_of_game(result["game"]), as_markdown(game_table(result["game"]))]
    if "transfer" in result:
        parts += ["*Chosen by the Llama, trained by others* (generated skills).", as_markdown(transfer_table(result))]
    return "\n\n".join(parts)


def arms_table(world: str, found: dict[str, Any]) -> list[list[str]]:
    """A line an arm."""
    header = ["trained on", "loss, nats", "less full's", "damaged rows kept", "AUROC of values"]
    skills = world == "skills"
    rows = []
    for arm, label in {BASE: "base, untrained", **ARMS}.items():
        if arm not in found["arms"]:
            continue
        one = found["arms"][arm]
        values = found["auroc"].get(arm.removesuffix(", half, random").removesuffix(", QOCS").removesuffix(", QWCS"))
        rows.append(
            [
                label,
                _with_spread(one["loss"]),
                "" if arm == FULL else _with_spread(one[f"minus_{FULL}"], "+.3f"),
                f"{one['kept_corrupted']['mean']:.0%}" if "kept_corrupted" in one else "",
                _with_spread(values, ".2f", ".2f") if values else "",
                *([_with_spread(one["exact_match"], ".2f", ".2f")] if skills else []),
            ]
        )
    return [[*header, *(["exact match"] if skills else [])], *rows]


def game_table(game: dict[str, Any]) -> list[list[str]]:
    """A line an estimator, a column a number of fine-tunes."""
    budgets = list(game["spearman"]["regression"])
    rows = [
        [label, *(_with_spread(game["spearman"][name][budget], ".2f", ".2f") for budget in budgets)]
        for name, (label, _, _) in CURVES.items()
    ]
    return [["Spearman's correlation at fine-tunes", *budgets], *rows]


def transfer_table(result: dict[str, Any]) -> list[list[str]]:
    """A line a pattern and a family."""
    rows = []
    for pattern, families in result["transfer"].items():
        for family, found in families.items():
            arms = found["arms"]
            chosen = next(arm for arm in arms if arm not in (BASE, RANDOM, FULL))
            rows.append(
                [
                    f"{pattern}, {FAMILY_NAMES[family]}",
                    ARMS[chosen],
                    _with_spread(arms[chosen]["loss"]),
                    _with_spread(arms[chosen][f"minus_{RANDOM}"], "+.3f"),
                    _with_spread(arms[chosen][f"minus_{FULL}"], "+.3f"),
                ]
            )
    return [["damage, trained model", "chosen by", "loss, nats", "less random's", "less full's"], *rows]


def _what(world: str, pattern: str, found: dict[str, Any]) -> str:
    ceiling, seeds = found["cluster_ceiling"]["mean"], ", ".join(map(str, found["seeds"]))
    return (
        f"*{WORLD_NAMES[world].capitalize()}, {pattern}.* {found['num_rows'][0]:,} rows, "
        f"{found['num_clusters'][0]} clusters, seeds {seeds}; ± is half of the 95% interval. 10% kept unless said "
        f"otherwise, equal steps. No cluster's value could reach an AUROC above {ceiling:.2f}."
    )


def _costs(found: dict[str, Any]) -> str:
    costs = "; ".join(
        f"{name}: {cost['fine_tunes']} fine-tune{'s' if cost['fine_tunes'] > 1 else ''}, "
        f"{cost['full_trainings']['mean']:.1f} times the processor time of one arm's training"
        for name, cost in found["costs"].items()
    )
    shares = found["in_run_over_regression"]
    gains = ", ".join(f"{ARMS[arm]} {one['mean']:.0%}" for arm, one in shares.items() if arm in ARMS)
    return f"Cost of values: {costs}. Gain over the base as a share of that of {ARMS['regression, QWCS']}: {gains}."


def _of_game(game: dict[str, Any]) -> str:
    return (
        f"*A real game of {game['num_players']} players* (proxies of the generated skills, all 1,024 coalitions "
        f"trained), {len(game['seeds'])} games, the mean of {game['repeats']} runs of each estimator in each."
    )


def _with_spread(measure: dict[str, Any], mean: str = ".3f", spread: str = ".3f") -> str:
    low_high = measure["interval"]
    text = f"{measure['mean']:{mean}}"
    return text if low_high is None else f"{text} ± {(low_high[1] - low_high[0]) / 2:{spread}}"
