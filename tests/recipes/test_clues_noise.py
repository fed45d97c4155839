"""The measures and the damage that the CLUES benchmark rests on, held against slow oracles."""

import doctest
import json
import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hf_datasel import Trace
from recipes.benchmarks.clues_noise import cell, corrupt, data, lab, metrics, scores, summary
from recipes.benchmarks.clues_noise.corrupt import KINDS, Row

# Few distinct scores, so that ties are frequent.
SCORED_ROWS = st.lists(st.tuples(st.sampled_from([-1.0, 0.0, 0.5, 2.0]), st.booleans()), min_size=1, max_size=30)


def arrays(rows: list[tuple[float, bool]]) -> tuple[np.ndarray, np.ndarray]:
    return np.array([score for score, _ in rows]), np.array([clean for _, clean in rows])


def make_rows(num_rows: int) -> list[Row]:
    return [Row(f"what is {i} ?", f"it is number {i} and no other one", "p") for i in range(num_rows)]


@pytest.mark.parametrize("module", [corrupt, data, metrics], ids=lambda module: module.__name__.rpartition(".")[2])
def test_examples_in_docstrings_hold(module):
    found = doctest.testmod(module)
    assert found.attempted > 0
    assert found.failed == 0


@given(SCORED_ROWS)
def test_auroc_is_the_share_of_pairs_in_the_right_order(rows):
    values, clean = arrays(rows)
    pairs = [
        1.0 if good > bad else 0.5 if good == bad else 0.0
        for good, is_good in rows
        for bad, is_bad in rows
        if is_good and not is_bad
    ]
    measured = metrics.auroc(values, clean)
    if pairs:
        assert measured == pytest.approx(sum(pairs) / len(pairs))
    else:
        assert math.isnan(measured)


@given(SCORED_ROWS)
def test_auroc_of_equal_scores_is_a_half_and_turns_round_with_the_sign(rows):
    values, clean = arrays(rows)
    if clean.all() or not clean.any():
        return
    assert metrics.auroc(np.zeros(len(rows)), clean) == 0.5
    assert metrics.auroc(-values, clean) == pytest.approx(1 - metrics.auroc(values, clean))


@given(st.lists(st.tuples(st.booleans(), st.booleans()), min_size=1, max_size=30))
def test_confusion_counts_row_by_row(rows):
    kept, clean = (np.array(column) for column in zip(*rows, strict=True))
    right = sum(k and c for k, c in rows)
    wrong = sum(k and not c for k, c in rows)
    missed = sum(c and not k for k, c in rows)
    found = metrics.confusion(kept, clean)
    assert found["accuracy"] == pytest.approx(sum(k == c for k, c in rows) / len(rows))
    assert found["precision"] == pytest.approx(right / (right + wrong) if right + wrong else math.nan, nan_ok=True)
    assert found["recall"] == pytest.approx(right / (right + missed) if right + missed else math.nan, nan_ok=True)
    if right:
        assert found["f1"] == pytest.approx(2 / (1 / found["precision"] + 1 / found["recall"]))
    elif wrong or missed:
        assert found["f1"] == 0


@given(SCORED_ROWS)
def test_no_threshold_beats_the_best_f1(rows):
    values, clean = arrays(rows)
    if not clean.any():
        return
    reached = [metrics.confusion(values >= cut, clean)["f1"] for cut in (-2.0, -1.0, -0.5, 0.0, 0.2, 0.5, 1.0, 2.0)]
    assert metrics.best_f1(values, clean) == pytest.approx(max(reached))


def test_each_kind_is_measured_against_the_clean_rows_alone():
    kinds = np.array(["clean", "truncated", "shuffled", "clean"])
    found = metrics.per_kind(np.array([2.0, 3.0, 1.0, 2.0]), np.array([True, True, False, True]), kinds)
    assert {kind: measures["auroc"] for kind, measures in found.items()} == {
        "all": 0.5,
        "truncated": 0.0,
        "shuffled": 1.0,
    }
    assert found["shuffled"]["f1"] == 1.0
    assert found["truncated"]["precision"] == pytest.approx(2 / 3)


@given(
    st.integers(8, 40),
    st.sampled_from([0.2, 0.5, 0.8, 1.0]),
    st.lists(st.sampled_from(KINDS), min_size=1, max_size=4, unique=True),
    st.integers(0, 5),
)
def test_damage_is_what_it_says(num_rows, share, kinds, seed):
    rows = make_rows(num_rows)
    num_damaged = round(share * num_rows)
    if num_damaged < 2 * len(kinds):
        return
    damaged = corrupt.corrupt(rows, share, kinds, ["foreign text"], np.random.default_rng(seed))
    assert damaged == corrupt.corrupt(rows, share, kinds, ["foreign text"], np.random.default_rng(seed))
    assert sum(row.kind != "clean" for row in damaged) == num_damaged
    counts = [sum(row.kind == kind for row in damaged) for kind in kinds]
    assert max(counts) - min(counts) <= 1
    for before, after in zip(rows, damaged, strict=True):
        assert after.prompt == before.prompt
        assert (after.completion == before.completion) == (after.kind == "clean")
        if after.kind == "truncated":
            assert before.completion.startswith(after.completion)
        if after.kind == "shuffled":
            assert sorted(after.completion.split()) == sorted(before.completion.split())
        if after.kind == "mismatched":
            assert after.completion in {row.completion for row in rows}
    moved = [row.completion for row in damaged if row.kind == "mismatched"]
    assert len(set(moved)) == len(moved)


def test_unknown_damage_and_a_row_without_another_are_refused():
    rng = np.random.default_rng(0)
    with pytest.raises(ValueError, match="unknown kind of noise 'typos'"):
        corrupt.corrupt(make_rows(4), 0.5, ["typos"], [], rng)
    with pytest.raises(ValueError, match="one row alone"):
        corrupt.corrupt(make_rows(2), 0.5, ["mismatched"], [], rng)


def test_pools_roles_and_pretraining_share_no_row(tmp_path: Path):
    def write(name: str, rows: list[dict[str, str]]) -> None:
        (tmp_path / name).write_text("".join(json.dumps(row) + "\n" for row in rows))

    # A question in five has an answer that others have too.
    write(
        data.MEDQUAD,
        [
            {
                "prompt": f"What is {source} {i} ?",
                "completion": f"It is {source} {i if i % 5 else 'the same'} and a little more text. And more.",
                "focus": f"{source} {i}",
                "qtype": "information",
                "source": source,
            }
            for source in data.SOURCES
            for i in range(700)
        ],
    )
    write(data.FOREIGN, [{"completion": "Two and two make four, as everybody knows."}])
    worlds = [data.load_world("medquad", pool, tmp_path) for pool in data.POOLS]
    answers = [[row.completion for rows in world.pools.values() for row in rows] for world in worlds]
    assert not set(answers[0]) & set(answers[1])
    for world, own in zip(worlds, answers, strict=True):
        assert len(own) == len(set(own)) == 5 * data.POOL_SIZE
        assert not set(own) & {row.completion for row in world.pretraining}
        roles = data.deal(world, seed=3)
        parts = [getattr(roles, role) for role in data.ROLES]
        dealt = [row for part in parts for rows in part.values() for row in rows]
        assert len(dealt) == len(set(dealt)) == 5 * sum(data.ROLES.values())
        assert data.deal(world, seed=3) == roles != data.deal(world, seed=4)


def test_generated_skills_can_be_damaged_in_every_way():
    world = data.load_world("skills", "evaluation", Path("unused"))
    for rows in world.pools.values():
        damaged = corrupt.corrupt(rows, 1.0, KINDS, world.foreign, np.random.default_rng(0))
        assert all(new.completion != old.completion for old, new in zip(rows, damaged, strict=True))


def make_trace(num_rows: int, seed: int, anchors: Trace | None = None) -> Trace:
    rng = np.random.default_rng(seed)
    names = ("cosine", "loss", "contrast_mismatched", "contrast_truncated", "contrast_shuffled")
    tables = {name: rng.normal(size=(num_rows, 2)) for name in names}
    tables |= {name: rng.uniform(1, 2, size=(num_rows, 1)) for name in ("ifd", "pairing")}
    tables["num_labels"] = np.arange(1.0, num_rows + 1)[:, None] * np.ones(2)
    companions = {name: Trace.from_arrays(range(num_rows), table, metric=name) for name, table in tables.items()}
    return Trace.from_arrays(
        range(num_rows),
        rng.normal(size=(num_rows, 2)),
        learning_rates=[2e-3, 1e-3],
        metric="influence",
        companions=companions if anchors is None else companions | {"anchors": anchors},
    )


def test_every_score_is_of_all_rows_and_the_worst_detector_decides():
    trace = make_trace(20, 0, anchors=make_trace(40, 1))
    kinds = np.array(["clean", "truncated"] * 10)
    found = scores.all_scores(lab.Evidence(kinds, {"plain": trace}), seed=0)
    assert set(scores.OF_LOSSES) < set(found)
    for score in found.values():
        assert score.rows.shape == (20,)
        assert score.anchors is None or score.anchors.shape == (40,)
    parts = []
    for options in ({"detectors": (name,)} for name in scores.OF_LOSSES["weakest link of four"]["detectors"]):
        parts.append(scores.score_trace(trace, options).rows)
    assert found["weakest link of four"].rows == pytest.approx(np.min(parts, axis=0))
    assert found["plain dot, learning-rate weights"].rows == pytest.approx(trace.values @ [2e-3, 1e-3], rel=1e-5)


def test_rules_keep_what_they_say():
    values = np.arange(10.0)
    anchors = np.arange(100.0) / 10
    score = scores.Score(values, anchors)
    assert cell.keep(score, "ratio").sum() == round(cell.RATIO * 10)
    assert cell.keep(score, "mean").tolist() == (values >= anchors.mean()).tolist()
    assert cell.keep(score, "conformal").tolist() == (values >= np.sort(anchors)[9]).tolist()
    assert cell.keep(score, "score").tolist() == (values >= anchors.mean() - anchors.std()).tolist()
    judged = cell.judge(score, np.array(["truncated"] * 5 + ["clean"] * 5))
    assert judged["auroc"] == {"all": 1.0, "truncated": 1.0}
    assert judged["best_f1"] == 1.0
    assert judged["rules"]["ratio"]["all"]["recall"] == 1.0


def test_shares_of_the_oracles_gain():
    def cell(**losses: float) -> dict:
        return {"held_out": {arm: {"loss": {"p": loss, "q": loss}, "num_kept": 10} for arm, loss in losses.items()}}

    found = summary.held_out(
        [cell(base=3.0, mixed=2.5, oracle=2.0, tried=2.1), cell(base=3.0, mixed=2.5, oracle=2.0, tried=2.3)]
    )
    assert found["tried"]["share_of_gain"] == {"of_means": 0.8, "per_seed": [0.9, 0.7]}
    assert found["tried"]["share_of_gap"] == {"of_means": 0.6, "per_seed": [0.8, 0.4]}
    assert found["oracle"]["share_of_gain"]["of_means"] == 1.0
    assert found["base"]["loss"]["per_seed"] == [3.0, 3.0]
