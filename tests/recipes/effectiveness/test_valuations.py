"""The comparisons of SHED: all of them in small, what folders have in common, and the settings they rest on."""

import json
import math
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from transformers import AutoModelForCausalLM, PreTrainedTokenizerFast

from hf_datasel import Valuation
from hf_datasel.compare.verdict import write_verdict
from hf_datasel.storage import read_json
from recipes.benchmarks.effectiveness import valuations, valuations_rows, valuations_tables
from recipes.benchmarks.effectiveness.setting import Setting
from recipes.benchmarks.effectiveness.telling import verdict_of
from recipes.benchmarks.shed import cell, data
from recipes.benchmarks.shed.model import SETTINGS
from tests.compare.worlds import make_world, noisy

NAME = "skills, concentrated"
FOLDERS = ("in-run_rows", "4_clusters", "2_clusters")
METHODS = [
    "random",
    "dsir",
    "dataset_quantization",
    "oracle",
    "shed (in-run rows)",
    "shed QWCS (4 clusters)",
    "shed QOCS (4 clusters)",
    "shed QWCS (2 clusters)",
    "shed QOCS (2 clusters)",
]
NUM_ROWS = valuations_rows.SMALL_TOPICS * valuations_rows.SMALL_SIZES["train"]


@pytest.fixture(scope="module")
def smoke(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any]]:
    work = tmp_path_factory.mktemp("valuations")
    return work, valuations.run(Setting(num_seeds=1, smoke=True), work)


def test_all_valuations_are_one_comparison_at_equal_rows_and_steps(smoke):
    _, result = smoke
    assert list(result) == [NAME]
    found = result[NAME]
    assert json.loads(json.dumps(found, allow_nan=False)) == found
    assert found["methods"] == METHODS
    assert found["yardsticks"] == ["oracle"]
    assert {one["steps"] for one in found["costs"]["arms"]} == {4}
    kept = {one["method"]: one["num_kept"] for one in found["costs"]["arms"]}
    assert kept.pop("full") == found["num_rows"] == NUM_ROWS
    assert set(kept.values()) == {valuations.BUDGET * NUM_ROWS}
    groups = found["metrics"]["loss"]["groups"]["all"]
    assert all(math.isfinite(one["mean"]) and one["mean"] > 0 for one in groups["means"])
    assert len(groups["against_random"]) == len(METHODS) - 1
    assert len(groups["pairs"]) == len(METHODS) * (len(METHODS) - 1) // 2
    assert found["verdicts"]["loss"]


def test_random_rows_and_everything_are_the_same_beside_every_valuation(smoke):
    work, _ = smoke
    for arm in ("random-0.1-42", "full-1.0-42"):
        cells = [
            read_json(work / "skills" / "concentrated" / one / "cells" / f"{arm}.json", "cell") for one in FOLDERS
        ]
        assert all(one["metrics"] == cells[0]["metrics"] for one in cells)


def test_shares_of_damaged_rows_are_those_of_the_rows_kept(smoke):
    _, result = smoke
    kept = {method: share for method, [share] in result[NAME]["flagged_kept"].items()}
    assert list(kept) == METHODS
    assert kept["oracle"] == 0
    assert all(share * round(valuations.BUDGET * NUM_ROWS) in range(NUM_ROWS) for share in kept.values())


def test_values_cost_one_training_or_the_fine_tunes_that_there_can_be(smoke):
    _, result = smoke
    fine_tunes = {one["method"]: one["fine_tunes"] for one in result[NAME]["costs"]["methods"]}
    assert fine_tunes == {
        **dict.fromkeys(METHODS[:4], 0),
        "shed (in-run rows)": 1,
        **{f"shed {sampling} (4 clusters)": 14 for sampling in ("QWCS", "QOCS")},
        **{f"shed {sampling} (2 clusters)": 4 for sampling in ("QWCS", "QOCS")},  # all coalitions
    }


def test_values_are_of_rows_or_of_as_many_clusters(smoke):
    _, result = smoke
    values = result[NAME]["values"]
    assert {name: one["num_clusters"] for name, one in values.items()} == {
        "in-run rows": NUM_ROWS,
        "4 clusters": 4,
        "2 clusters": 2,
    }
    assert values["in-run rows"]["ceiling"] == 1
    assert all(0 <= one["auroc"] <= one["ceiling"] for one in values.values())


@given(st.data())
def test_no_values_tell_clean_rows_better_than_the_ceiling(drawn):
    labels = drawn.draw(st.lists(st.integers(0, 3), min_size=2, max_size=12))
    labels = np.unique(labels, return_inverse=True)[1].astype(np.int32)
    clean = drawn.draw(st.lists(st.booleans(), min_size=len(labels), max_size=len(labels)))
    clean[:2] = [True, False]
    num_clusters = int(labels.max()) + 1
    values = np.array(drawn.draw(st.lists(st.integers(-3, 3), min_size=num_clusters, max_size=num_clusters)), float)
    valuation = Valuation(
        ids=np.arange(len(labels)),
        clusters=labels,
        values=values,
        standard_errors=np.full(num_clusters, np.nan),
        num_evaluations=np.ones(num_clusters, np.int64),
    )
    found = valuations.told_by(valuation, np.array(clean))
    pairs = [
        (values[labels[i]], values[labels[j]]) for i in np.flatnonzero(clean) for j in np.flatnonzero(~np.array(clean))
    ]
    assert found["auroc"] == pytest.approx(np.mean([(a > b) + 0.5 * (a == b) for a, b in pairs]))
    assert found["auroc"] <= found["ceiling"] + 1e-12
    assert found["num_clusters"] == num_clusters


def test_the_loss_of_the_base_is_the_mean_over_all_answer_tokens(smoke):
    work, result = smoke
    place = work / "skills" / "base"
    model, tokenizer = AutoModelForCausalLM.from_pretrained(place), PreTrainedTokenizerFast.from_pretrained(place)
    losses = []
    for row in data.deal(valuations_rows.small_world(), "concentrated", valuations.DEAL).test:
        prompt, answer = (tokenizer(text)["input_ids"] for text in (row.prompt, f" {row.completion}"))
        tokens = [*prompt, *answer, tokenizer.eos_token_id]
        with torch.no_grad():
            logits = model(input_ids=torch.tensor([tokens])).logits[0].double()
        losses += [
            float(torch.logsumexp(logits[i - 1], 0) - logits[i - 1, tokens[i]])
            for i in range(len(prompt), len(tokens))
        ]
    assert result[NAME]["base_loss"] == pytest.approx(math.fsum(losses) / len(losses), rel=1e-5)


def test_what_is_there_is_not_done_again(smoke, monkeypatch):
    work, result = smoke
    monkeypatch.setattr("trl.SFTTrainer.train", lambda *args, **kwargs: pytest.fail("trained again"))
    monkeypatch.setattr(valuations_rows, "make_model", lambda *args, **kwargs: pytest.fail("made again"))
    assert valuations.run(Setting(num_seeds=1, smoke=True), work) == result


def test_training_rows_alone_are_damaged_and_no_question_has_two_roles():
    for pattern in data.PATTERNS:
        roles = data.deal(valuations_rows.small_world(), pattern, valuations.DEAL)
        train, dev, test = (valuations_rows.to_rows(rows) for rows in (roles.train, roles.dev, roles.test))
        assert sum(train["damaged"]) == 0.4 * len(train)
        assert not any([*dev["damaged"], *test["damaged"]])
        questions = [*train["prompt"], *dev["prompt"], *test["prompt"]]
        assert len(set(questions)) == len(questions)
        assert set(train.column_names) == {"prompt", "completion", "damaged"}


def test_real_rows_are_compared_where_there_are_some(tmp_path, monkeypatch):
    asked = []
    monkeypatch.setattr(valuations, "make_base", lambda world, models, place, is_trained: asked.append(is_trained))
    monkeypatch.setattr(valuations, "load_world", lambda name, pool, path: (name, pool, path))
    monkeypatch.setattr(valuations, "_over_valuations", lambda world, *args: world)
    every = valuations.run(Setting(data=tmp_path), tmp_path / "work")
    assert list(every) == [f"{world}, {pattern}" for world in data.WORLDS for pattern in data.PATTERNS]
    assert every["real, scattered"] == ("real", "evaluation", tmp_path)
    assert list(valuations.run(Setting(), tmp_path / "work")) == list(every)[:2]
    assert all(asked)


def test_a_base_that_was_not_finished_is_made_again(tmp_path, monkeypatch):
    world, models = valuations_rows.small_world(), valuations_rows.small_models()

    def die(*args: Any, **kwargs: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(valuations_rows, "make_model", die)
        with pytest.raises(KeyboardInterrupt):
            valuations_rows.make_base(world, models, tmp_path / "base", is_trained=False)
    assert not (tmp_path / "base").exists()
    valuations_rows.make_base(world, models, tmp_path / "base", is_trained=False)
    assert valuations_rows.base_loss(tmp_path / "base", world.pools["topic0 4"][:2]) > 0


def test_settings_are_those_of_the_study_of_shed_on_a_deal_that_it_did_not_use():
    studied = cell.CHOICES[cell.DECLARED]
    assert studied[0][1] == valuations.BETTER_HALF.options["best_share"]
    assert valuations.BUDGET == cell.BUDGET
    assert {name: numbers[0] for name, numbers in valuations.CLUSTERS.items()} == {
        name: models.num_clusters for name, models in SETTINGS.items()
    }
    for name in ("result", "development"):
        study = json.loads((Path(cell.__file__).parent / f"{name}.json").read_text())
        dealt = {seed for world in study["worlds"].values() for one in world.values() for seed in one["seeds"]}
        assert dealt
        assert valuations.DEAL not in dealt


def test_tables_show_every_choice_and_mark_what_is_clear(smoke):
    _, result = smoke
    text = valuations_tables.tables(result)
    lines = re.findall(r"^\| (.*?) \|", text, flags=re.MULTILINE)
    valued = ["in-run rows", "4 clusters", "2 clusters"]
    assert lines == [
        "trained on", "---", "nothing", *METHODS, "full",
        "AUROC of values, of the best possible", "---", *valued,
    ]  # fmt: skip
    assert verdict_of(result[NAME], "loss") in text
    assert not any(mark in line for line in text.splitlines() if line.startswith("|") for mark in "▲▼")
    score = noisy({"random": 0.2, "middle": 0.6}, 0.005)
    summary = make_world(score, ("random", "mean", "middle"), (0.1,), num_seeds=5, metrics=("loss",)).summarise()
    found = {
        **summary,
        "verdicts": {"loss": write_verdict(summary)},
        "flagged_kept": {"random": [0.25, 0.75], "mean": [0.5, 0.5], "middle": [0.0, 0.25]},
        "base_loss": 4.0,
    }
    _, nothing, *rows = valuations_tables.choices_table({"scattered": found})
    assert nothing == ["nothing", "4.000", ""]
    assert {row[0]: row[1][-1] in "▲▼" and row[1][-1] for row in rows} == {
        "random": False,
        "mean": "▲",
        "middle": "▼",
        "full": False,
    }
    assert [row[2] for row in rows] == ["50%", "50%", "12%", ""]
