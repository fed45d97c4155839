"""The study of effectiveness: all of it in small, what it tells of known worlds, and the settings it rests on."""

import json
import math
import re
from pathlib import Path
from typing import Any

import pytest

from hf_datasel.compare.verdict import write_verdict
from hf_datasel.quickstart.plan import Plan, QuickstartArguments
from hf_datasel.storage import read_json
from recipes.benchmarks.effectiveness import figures, run, setting, telling
from recipes.benchmarks.effectiveness import skills_tables as tables
from tests.compare.worlds import make_world, noisy

SMOKE = setting.Setting(num_seeds=1, smoke=True)
SKILLS = ("clean", "corrupted", "corpus-44", "checkpoints", "proxies", "recording")
NUM_ROWS = 400
WRONG_SHARE = 0.3


@pytest.fixture(scope="module")
def smoke(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any]]:
    work = tmp_path_factory.mktemp("effectiveness")
    return work, run.run(SMOKE, work, [piece for piece in run.pieces_of(SMOKE) if piece in SKILLS])


def losses(found: dict[str, Any]) -> dict[str, float]:
    return {one["method"]: one["mean"] for one in found["metrics"]["loss"]["groups"]["all"]["means"]}


def test_everything_in_small_at_equal_rows_and_steps(smoke):
    work, result = smoke
    assert json.loads(json.dumps(result, allow_nan=False)) == result
    assert list(result["worlds"]) == list(result["clusters"]) == list(setting.WORLDS)
    assert list(result["checkpoints"]) == ["2"]
    assert list(result["proxies"]) == ["32x1"]
    assert list(result["in_run"]) == list(result["corpora"]["44"]) == list(setting.WORLDS)
    assert {path.stem for path in (work / "pieces").glob("*.json")} == {f"{piece}-1-smoke" for piece in SKILLS}
    parts = ("worlds", "clusters", "checkpoints", "proxies", "in_run")
    for found in (one for part in parts for one in result[part].values()):
        arms = {one["method"]: one for one in found["costs"]["arms"]}
        assert {one["steps"] for one in arms.values()} == {10}
        assert {one["num_kept"] for name, one in arms.items() if name != "full"} == {setting.BUDGET * NUM_ROWS}
        assert found["seeds"] == [setting.CORPUS_SEED]
        assert all(math.isfinite(loss) and loss > 0 for loss in losses(found).values())
    assert result["worlds"]["clean"]["methods"] == [
        "random",
        *(one.label for one in SMOKE.methods("clean")),
    ]
    assert result["clusters"]["clean"]["methods"] == ["random", "s2l, K = 8", "s2l", "s2l, K = 100"]


def test_the_share_of_wrong_answers_is_that_of_the_rows_kept(smoke):
    work, result = smoke
    assert set(result["worlds"]["clean"]["flagged_kept"]["random"]) == {0.0}
    kept = result["worlds"]["corrupted"]["flagged_kept"]
    assert all((share == 0) == (name == "oracle") for name, shares in kept.items() for share in shares)
    assert all(share < 1 for shares in kept.values() for share in shares)
    assert all(
        share * setting.BUDGET * NUM_ROWS == pytest.approx(round(share * setting.BUDGET * NUM_ROWS), abs=1e-3)
        for [share] in kept.values()
    )
    selections = list((work / "corrupted" / "checkpoints-8" / "selections").iterdir())
    assert len(selections) == len(kept) + 2 + 1  # two more K, and full


def test_a_cell_stands_for_all_comparisons_that_hold_it(smoke):
    """Ablations take S2L, random and full from the comparison; only what is varied is other."""
    _, result = smoke
    clean, wrong = (losses(result["worlds"][world]) for world in setting.WORLDS)
    for first, again in (
        (clean, result["clusters"]["clean"]),
        (wrong, result["clusters"]["corrupted"]),
    ):
        common = losses(again).keys() & first.keys()
        assert common >= {"random", "s2l", "full"}
        assert {name: losses(again)[name] for name in common} == {name: first[name] for name in common}
    for other in (result["checkpoints"]["2"], result["proxies"]["32x1"], result["in_run"]["clean"]):
        assert losses(other)["full"] == clean["full"]
        assert losses(other)["s2l"] != clean["s2l"]
    assert losses(result["corpora"]["44"]["clean"])["full"] != clean["full"]


def test_what_is_there_is_not_done_again(smoke, monkeypatch):
    work, result = smoke
    monkeypatch.setattr("trl.SFTTrainer.train", lambda *args, **kwargs: pytest.fail("trained again"))
    again = run.run(SMOKE, work, ["clean"])
    assert again["worlds"]["clean"] == result["worlds"]["clean"]
    for piece in (work / "pieces").glob("*.json"):
        piece.unlink()  # and where a piece was killed, its cells are there
    resumed = run.run(SMOKE, work, ["clean"])
    assert resumed["worlds"] == again["worlds"]
    assert resumed["minutes"]["whole"] is None


def test_minutes_of_the_whole_are_told_where_nothing_was_kept(smoke):
    work, result = smoke
    told = result["minutes"]
    assert told["num_processes"] == 1
    assert list(told["pieces"]) == [piece for piece in run.PIECES if piece in SKILLS]
    assert 0 < sum(told["pieces"].values()) <= told["whole"]  # one process does one after another
    again = run.run(SMOKE, work, list(SKILLS))["minutes"]
    assert again["whole"] is None


def test_tables_and_picture_show_every_method_and_world(smoke, tmp_path):
    _, result = smoke
    text = tables.tables(result)
    lines = re.findall(r"^\| (.*?) \|", text, flags=re.MULTILINE)
    few = [one.label for one in SMOKE.few]
    methods = ["random", *few, "oracle", "full"]
    assert lines == [
        "trained on",
        "---",
        *methods,
        "S2L",
        "---",
        "as above",
        "K = 8",
        "K = 100",
        "T = 2",
        "proxy 32x1",
        "in_run",
        "exact match",
        "---",
        *few,
    ]
    assert all(telling.verdict_of(one) in text for one in result["worlds"].values())
    assert not re.search(r"\d s\b", text), "seconds are those of a machine"
    figures.draw_all(result, tmp_path)
    assert [path.name for path in tmp_path.glob("*.png")] == ["methods.png"], "of no part that was not run"
    assert (tmp_path / "methods.csv").read_text().count("\n") == 2 * len(methods)  # in the clean world no oracle


def world_of(effects: dict[str, float], noise: float, seed: int = 0) -> dict[str, Any]:
    found = make_world(
        noisy(effects, noise, seed), ("random", "s2l", "mean", "middle"), (0.1,), num_seeds=5
    ).summarise()
    return {**found, "verdicts": {"exact_match": write_verdict(found)}}


def test_s2l_is_said_to_win_and_to_lose_where_it_does_and_by_how_much():
    told = telling.told_of("s2l", world_of({"random": -0.2, "middle": 0.3}, 0.005))
    better, worse, same = re.fullmatch(
        r".*: better than (.*); worse than (.*); not to be told apart from (.*)\.", told
    ).groups()
    wins = {name: float(by) for name, by in re.findall(r"(\w+) \(([+-][\d.]+), interval", better)}
    losses = {name: float(by) for name, by in re.findall(r"(\w+) \(([+-][\d.]+), interval", worse)}
    assert wins == {"random": pytest.approx(0.2, abs=0.02)}
    assert losses == {"middle": pytest.approx(-0.3, abs=0.02)}
    assert same == "mean, full"


def test_an_interval_that_is_turned_round_holds_its_mean():
    told = telling.told_of("s2l", world_of({"s2l": 0.3}, 0.005))
    bounds = re.findall(r"\(([+-][\d.]+), interval \[([+-][\d.]+), ([+-][\d.]+)\]\)", told)
    assert len(bounds) == 4
    assert all(0 < float(low) < float(mean) < float(high) for mean, low, high in bounds)


def test_inside_the_noise_nothing_is_said():
    told = telling.told_of("s2l", world_of({"s2l": 0.01}, 0.1))
    assert told == "S2L, all pairs corrected together: not to be told apart from random, mean, middle, full."


def test_an_ablation_is_marked_where_it_differs_from_the_setting_of_the_comparison():
    proxies = {"32x1": -0.3, "96x2": 0.0, "128x2": 0.3}
    worlds = {"clean": world_of({}, 0.02, seed=9)}
    found = {name: world_of({"s2l": effect}, 0.02, seed) for seed, (name, effect) in enumerate(proxies.items())}
    _, usual, *rows = tables.ablation_table({"worlds": worlds, "proxies": found})
    assert [name for name, *_ in rows] == [f"proxy {name}" for name in proxies]
    assert [cell[-1] if cell[-1] in "▲▼" else "" for _, cell, _ in rows] == ["▼", "", "▲"]
    assert [float(cell.split()[0]) for _, cell, _ in (usual, *rows)] == pytest.approx([0.5, 0.2, 0.5, 0.8], abs=0.05)


def test_corpora_are_what_an_interval_is_over():
    corpora = {
        str(seed): {"clean": world_of({"s2l": 0.2, "random": -0.1}, 0.01, seed), "corrupted": world_of({}, 0.1, seed)}
        for seed in range(6)
    }
    header, s2l, mean, _ = tables.corpora_table(corpora)
    assert header[1:] == [
        f"less {other}, {world}" for world in ("clean", "corrupted") for other in ("random", "everything")
    ]
    assert (s2l[0], mean[0]) == ("s2l", "mean")
    assert [cell[-1] for cell in s2l[1:]] == ["▲", "▲", "]", "]"]
    assert [cell[-1] for cell in mean[1:3]] == ["▲", "]"]
    mid, low, high = map(float, re.findall(r"[+-][\d.]+", s2l[1]))
    assert mid == pytest.approx(0.3, abs=0.02)
    assert 0 < low < mid < high


def test_the_setting_is_the_quickstarts_on_a_corpus_that_nothing_was_chosen_on():
    plan, default = setting.Setting().plan("corrupted"), Plan.from_arguments(QuickstartArguments())
    assert plan.num_clusters == default.num_clusters == setting.NUM_CLUSTERS
    assert plan.num_checkpoints == default.num_checkpoints == setting.NUM_CHECKPOINTS
    for name in ("num_rows", "proxy_size", "target_size", "proxy_training", "target_training", "variant", "transform"):
        assert getattr(plan, name) == getattr(default, name)
    assert plan.corrupted == WRONG_SHARE
    assert plan.seed not in (1000, 1001, default.seed)


def test_a_world_or_a_part_that_is_not_there_is_refused(tmp_path):
    with pytest.raises(ValueError, match="unknown world 'moon'"):
        setting.Setting().plan("moon")
    with pytest.raises(ValueError, match="unknown piece 'all'"):
        run.run(SMOKE, tmp_path, ["all"])
    assert not list(tmp_path.iterdir())


def test_real_rows_are_asked_for_and_not_made_up(tmp_path):
    with pytest.raises(ValueError, match=r"mathematics, valuations: real rows are needed.*--data"):
        run.run(setting.Setting(num_seeds=1), tmp_path, ["mathematics", "clean", "valuations"])
    assert not list(tmp_path.iterdir())


def test_processes_share_the_pieces(smoke, tmp_path):
    _, alone = smoke
    together = run.run(SMOKE, tmp_path, ["checkpoints", "recording"], num_processes=2)
    assert losses(together["checkpoints"]["2"]) == losses(alone["checkpoints"]["2"])
    assert losses(together["in_run"]["clean"]) == losses(alone["in_run"]["clean"])


def test_cells_were_trained_as_the_quickstart_trains(smoke):
    work, _ = smoke
    settings = read_json(work / "clean" / "checkpoints-8" / "comparison.json", "comparison")["settings"]
    assert settings["proxy"]["training_args"] == {
        "max_steps": 25,  # an epoch
        "per_device_train_batch_size": 16,
        "learning_rate": 3e-3,
        "warmup_steps": 1,
    }


def test_the_committed_study_is_of_one_run_within_its_limit():
    """Of one call in an empty folder, on two cores; its limit is 90 minutes."""
    told = read_json(run.HERE / "result.json", "result of the study")["minutes"]
    assert told["whole"] is not None
    assert told["whole"] < 90
    assert list(told["pieces"]) == list(run.PIECES)
