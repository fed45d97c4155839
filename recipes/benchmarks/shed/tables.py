"""The README's tables of a result: what selecting by values gains, what values cost and how exact they are."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from hf_datasel.quickstart.summary import as_markdown
from recipes.benchmarks.shed.cell import BASE, DECLARED, FULL, RANDOM
from recipes.benchmarks.shed.figures import ARMS, CURVES, WORLD_NAMES

FAMILY_NAMES = {"gpt_neox": "GPT-NeoX", "gpt2": "GPT-2"}


Cell = tuple[str, str, dict[str, Any]]  # world, pattern, what was found


def tables(result: dict[str, Any]) -> str:
    """Arms, values, costs, the game and the transfer as Markdown; what was not run is left out."""
    cells = [
        (world, pattern, found)
        for world, patterns in result.get("worlds", {}).items()
        for pattern, found in patterns.items()
    ]
    parts = []
    if cells:
        parts += [
            _what(cells),
            as_markdown(arms_table(cells)),
            *(_declared(cell) for cell in cells if len(cell[2]["seeds"]) > 1),
        ]
        parts += ["What values tell and cost:", as_markdown(values_table(cells))]
    if "game" in result:
        parts += [_of_game(result["game"]), as_markdown(game_table(result["game"]))]
    if "transfer" in result:
        parts += ["*Chosen by the Llama, trained by others* (generated skills).", as_markdown(transfer_table(result))]
    return "\n\n".join(parts)


def arms_table(cells: Sequence[Cell]) -> list[list[str]]:
    """A line an arm, a column a world and pattern: loss less that of full, and the share of damaged rows kept."""
    rows = []
    for arm, label in {BASE: "base, untrained", **ARMS}.items():
        row = [label]
        for _, _, found in cells:
            one = found["arms"].get(arm)
            row.append("" if one is None or arm == FULL else _with_spread(one[f"minus_{FULL}"], "+.3f"))
            if one is not None and arm == FULL:
                row[-1] = f"loss {_with_spread(one['loss'])}"
            if one is not None and "kept_corrupted" in one:
                row[-1] += f" ({one['kept_corrupted']['mean']:.0%})"
        rows.append(row)
    return [["trained on", *(_name(cell) for cell in cells)], *rows]


def values_table(cells: Sequence[Cell]) -> list[list[str]]:
    """A line a kind of values: AUROC of clean rows against damaged ones, fine-tunes and processor time."""
    rows = []
    for name in cells[0][2]["auroc"]:
        told = [_with_spread(found["auroc"][name], ".2f", ".2f") for _, _, found in cells]
        cost = [found["costs"].get(name) for _, _, found in cells]
        if None in cost:
            rows.append([name, *told, "", ""])
            continue
        times = [one["full_trainings"]["mean"] for one in cost]
        tunes = "/".join(dict.fromkeys(str(one["fine_tunes"]) for one in cost))
        rows.append([name, *told, tunes, f"{min(times):.0f} to {max(times):.0f}"])
    ceiling = ["the best cluster values could", *(f"{found['cluster_ceiling']['mean']:.2f}" for _, _, found in cells)]
    header = ["AUROC of values", *(_name(cell) for cell in cells), "fine-tunes", "processor time, in arms trained"]
    return [header, *rows, [*ceiling, "", ""]]


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


def _what(cells: Sequence[Cell]) -> str:
    sizes = "; ".join(
        f"{_name(cell)}: {cell[2]['num_rows'][0]:,} rows, {cell[2]['num_clusters'][0]} clusters, seeds "
        f"{', '.join(map(str, cell[2]['seeds']))}"
        for cell in cells
    )
    return (
        "Held-out loss in nats less that of training on everything, ± half of the 95% interval over seeds; in "
        f"brackets the share of damaged rows kept. 10% kept unless said otherwise, equal steps. {sizes}."
    )


def _declared(cell: Cell) -> str:
    """What can be said of the arm that was declared before its seeds were looked at."""
    arm = cell[2]["arms"][DECLARED]
    told = []
    for other in (FULL, RANDOM):
        low, high = arm[f"minus_{other}"]["interval"]
        clear = "" if low > 0 or high < 0 else ": they cannot be told apart"
        told.append(f"{arm[f'minus_{other}']['mean']:+.3f} nats against {other} [{low:+.3f}, {high:+.3f}]{clear}")
    return f"{_name(cell).capitalize()}, {ARMS[DECLARED]}: {'; '.join(told)}."


def _name(cell: Cell) -> str:
    return f"{WORLD_NAMES[cell[0]]}, {cell[1]}"


def _of_game(game: dict[str, Any]) -> str:
    return (
        f"*A real game of {game['num_players']} players* (proxies of the generated skills, all 1,024 coalitions "
        f"trained), {len(game['seeds'])} games, the mean of {game['repeats']} runs of each estimator in each."
    )


def _with_spread(measure: dict[str, Any], mean: str = ".3f", spread: str = ".3f") -> str:
    low_high = measure["interval"]
    text = f"{measure['mean']:{mean}}"
    return text if low_high is None else f"{text} ± {(low_high[1] - low_high[0]) / 2:{spread}}"
