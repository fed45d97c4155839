"""The study of SHED: its worlds, its game and its summary held against what is known, and one cell in small."""

import doctest
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hf_datasel.functional.valuation.exact import all_coalitions
from hf_datasel.quickstart.plan import Recipe
from recipes.benchmarks import common
from recipes.benchmarks.clues_noise.corrupt import KINDS, Row
from recipes.benchmarks.clues_noise.data import FOREIGN, MEDQUAD
from recipes.benchmarks.shed import cell, data, figures, game, model, run, summary, tables
from recipes.benchmarks.shed.model import Setting

SIZES = {"train": 20, "dev": 2, "test": 3}
LETTERS = "abcdefgh"


def make_world(num_topics: int = 5) -> data.World:
    pools = {}
    for number in range(num_topics):
        rng, size = np.random.default_rng(number), sum(SIZES.values())
        words = [" ".join(rng.choice(list(LETTERS), size=4, replace=False)) for _ in range(size)]
        name = f"skill{number} 4"
        pools[name] = [Row(f"skill{number} {place} {text} =", text[::-1], name) for place, text in enumerate(words)]
    foreign = {topic: ["a b c d"] for topic in pools}
    pretraining = [Row(f"said {text} ;", text, "") for text in ("a b", "c d", "e f", "g h")]
    return data.World("skills", pretraining, pools, foreign, SIZES, dict.fromkeys(data.PATTERNS, KINDS))


@pytest.mark.parametrize("module", [data, game], ids=lambda module: module.__name__.rpartition(".")[2])
def test_examples_in_docstrings_hold(module):
    found = doctest.testmod(module)
    assert found.attempted > 0
    assert found.failed == 0


@given(st.integers(0, 30), st.sampled_from(data.PATTERNS))
def test_damage_is_concentrated_or_scattered(seed, pattern):
    world = make_world()
    roles = data.deal(world, pattern, seed)
    assert roles == data.deal(world, pattern, seed)
    assert len(roles.train) == 5 * SIZES["train"]
    assert sum(row.kind != "clean" for row in roles.train) == 0.4 * len(roles.train)
    assert all(row.kind == "clean" for row in roles.dev + roles.test)
    shares = [
        np.mean([row.kind != "clean" for row in roles.train if row.party == topic]) for topic in sorted(world.pools)
    ]
    assert sorted(shares) == ([0, 0, 0, 1, 1] if pattern == "concentrated" else pytest.approx([0.4] * 5))
    questions = [row.prompt for part in (roles.train, roles.dev, roles.test) for row in part]
    assert len(set(questions)) == len(questions)


def test_a_pattern_a_pool_or_a_world_that_is_not_there_is_refused(tmp_path):
    with pytest.raises(ValueError, match="unknown pattern 'even'"):
        data.deal(make_world(), "even", 0)
    with pytest.raises(ValueError, match="unknown pool 'all'"):
        data.load_world("skills", "all", tmp_path)
    with pytest.raises(ValueError, match="unknown world 'moon'"):
        data.load_world("moon", "evaluation", tmp_path)


def write_real_rows(folder: Path, num_rows: int) -> None:
    def write(name: str, rows: list[dict[str, str]]) -> None:
        (folder / name).write_text("".join(json.dumps(row) + "\n" for row in rows))

    write(
        MEDQUAD,
        [
            {"source": topic.split()[0], "qtype": topic.split(maxsplit=1)[1], "prompt": f"{topic} {i} ?"}
            | {"completion": f"{topic} number {i} is this. And a second sentence."}
            for topic in (*data.MEDICAL_TOPICS, "GARD prevention", "NIDDK causes")
            for i in range(num_rows)
        ],
    )
    for topic, name in data.MATH_TOPICS.items():
        write(name, [{"prompt": f"{topic} {i} ?", "completion": f"( {i} + 1 ) = {i + 1}"} for i in range(num_rows)])
    assert FOREIGN in data.MATH_TOPICS.values()


def test_pools_of_real_rows_share_nothing_and_what_is_left_is_text_to_read(tmp_path):
    write_real_rows(tmp_path, 430)
    worlds = [data.load_world("real", pool, tmp_path) for pool in data.POOLS]
    assert worlds[0].pretraining == worlds[1].pretraining
    read = {row.completion for row in worlds[0].pretraining}
    for topic in (*data.MEDICAL_TOPICS, *data.MATH_TOPICS):
        first, second = ({row.prompt for row in world.pools[topic]} for world in worlds)
        assert len(first) == len(second) == sum(worlds[0].sizes.values())
        assert not first & second
        assert not (first | second) & read
    assert all(not row.prompt for row in worlds[0].pretraining)
    assert "second" not in worlds[0].pools["GHR frequency"][0].completion


def test_a_topic_with_too_few_rows_is_named(tmp_path):
    write_real_rows(tmp_path, 300)
    with pytest.raises(ValueError, match="topic 'GARD causes' has 300 rows"):
        data.load_world("real", "evaluation", tmp_path)


@given(st.lists(st.integers(0, 4), min_size=2, max_size=12), st.integers(0, 5))
def test_rank_correlation_is_that_of_mean_ranks(values, seed):
    first = np.array(values, float)
    second = np.random.default_rng(seed).permutation(len(first)).astype(float)
    ranks = [np.array([np.mean(np.flatnonzero(np.sort(one) == value)) for value in one]) for one in (first, second)]
    found = common.spearman(first, second)
    if np.ptp(first) == 0:
        assert found == 0
    else:
        assert found == pytest.approx(np.corrcoef(ranks)[0, 1])


def test_every_estimator_ranks_an_additive_game_rightly_with_enough_fine_tunes(monkeypatch):
    monkeypatch.setattr(game, "NUM_FINE_TUNES", (60,))
    monkeypatch.setattr(game, "NUM_REPEATS", 2)
    worth = np.arange(1.0, 7.0)
    found = game.correlations((all_coalitions(6) @ worth - 50.0).tolist())
    for name in ("regression", "paper, groups of 1", "official, v(empty) measured, groups of 1"):
        assert found[name]["60"] == pytest.approx(1.0)
    # v(empty) is -50, not 0: whoever is removed last is charged with the difference.
    assert found["official, groups of 1"]["60"] < 0.95


def small(monkeypatch) -> None:
    recipe = Recipe(num_steps=4, batch_size=10, learning_rate=1e-3)
    watched = replace(recipe, num_steps=10)
    setting = Setting(None, 16, 1, recipe, recipe, watched, 10, 24, 2)
    monkeypatch.setitem(model.SETTINGS, "skills", setting)
    monkeypatch.setattr(run, "load_world", lambda name, pool, path: make_world())


def test_one_cell_in_small_is_kept_and_read_again(tmp_path, monkeypatch):
    small(monkeypatch)
    bench = run.Bench("skills", "evaluation", tmp_path, tmp_path / "work")
    found = bench.cell("scattered", 0)
    assert found["num_rows"] == 100
    assert found["num_clusters"] == 10
    arms = {cell.BASE, *figures.ARMS}
    assert set(found["held_out"]) == arms
    assert found["kept_corrupted"]["full"] == pytest.approx(0.4)
    assert found["kept_corrupted"]["all clean rows"] == 0
    assert all(np.isfinite(one["loss"]) and one["loss"] > 0 for one in found["held_out"].values())
    assert found["held_out"]["random"]["loss"] != found["held_out"]["base"]["loss"]
    moved = bench.transfer("scattered", 0, "gpt2")
    assert moved["held_out"]["base"]["loss"] != found["held_out"]["base"]["loss"]
    again = run.Bench("skills", "evaluation", tmp_path, tmp_path / "work", only_read=True)
    assert again.cell("scattered", 0) == found
    assert again.cell("scattered", 1) is None
    assert again.game(0) is None
    result = summary.summarise({"cells": [found], "game": [], "transfer": [moved]})
    one = result["worlds"]["skills"]["scattered"]
    assert one["arms"]["full"]["minus_full"]["mean"] == 0
    assert one["costs"]["regression"]["fine_tunes"] == 24
    text = tables.tables(result)
    num_values = len(found["auroc"])
    assert text.count("\n| ") == (2 + len(arms)) + (2 + num_values + 1) + (2 + 1)
    figures.arms_picture(result, tmp_path / "arms.png")
    assert (tmp_path / "arms.csv").read_text().count("\n") == len(figures.ARMS) + 1


def test_games_are_summarised_over_seeds(monkeypatch):
    monkeypatch.setattr(game, "NUM_FINE_TUNES", (20,))
    monkeypatch.setattr(game, "NUM_REPEATS", 2)
    values = (all_coalitions(4) @ np.arange(1.0, 5.0)).tolist()
    found = summary.summarise_games([{"seed": 0, "values": values}, {"seed": 3, "values": values}])
    assert found["seeds"] == [0, 3]
    assert found["spearman"]["regression"]["20"]["mean"] == 1.0
    assert found["v_empty_and_full"] == [[0.0, 10.0]] * 2


def test_a_family_that_is_not_there_is_refused():
    with pytest.raises(ValueError, match="unknown family 'bert'"):
        model.make_model("bert", model.SETTINGS["skills"], model.make_tokenizer([Row("a", "b", "")], None, []), 0)


def test_cluster_values_can_know_no_more_than_the_share_of_clean_rows():
    clusters = type("Clusters", (), {"labels": np.array([0, 0, 1, 1])})
    truth = cell.cluster_truth(clusters, np.array([True, False, True, True]))
    assert truth.tolist() == [0.5, 0.5, 1.0, 1.0]
