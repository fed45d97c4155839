"""The part on the real mixture: all of it in small on rows made up, who sees which rows, and what is told of them."""

import json
import math
import re
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from transformers import AutoModelForCausalLM, AutoTokenizer

from hf_datasel import Trace
from hf_datasel.compare.verdict import write_verdict
from recipes.benchmarks.effectiveness import mathematics, mathematics_tables
from recipes.benchmarks.effectiveness.setting import BUDGET, Setting
from recipes.s2l.math_mixture import prepare
from tests.compare.worlds import make_world, noisy

NUM_TRAIN = 72  # of 120 rows a source, four fifths of a quarter
NAMES = ("gsm8k_test", "mawps_asdiv", "svamp")


@pytest.fixture(scope="module")
def smoke(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any]]:
    work = tmp_path_factory.mktemp("mathematics")
    return work, mathematics.run(Setting(num_seeds=1, smoke=True), work)


def losses(found: dict[str, Any], group: str = "all") -> dict[str, float]:
    return {one["method"]: one["mean"] for one in found["metrics"]["loss"]["groups"][group]["means"]}


def test_everything_in_small_at_equal_rows_and_steps(smoke):
    _, found = smoke
    assert json.loads(json.dumps(found, allow_nan=False)) == found
    assert found["mixture"]["methods"] == ["random", "s2l", "facility_location"]
    assert found["mixture"]["on_all"] == ["confidence_curriculum"]
    assert found["in_run"]["methods"] == ["random", "s2l"]
    for one in found.values():
        assert one["groups"] == ["all", *NAMES]
        assert {arm["steps"] for arm in one["costs"]["arms"]} == {10}
        kept = {arm["method"]: arm["num_kept"] for arm in one["costs"]["arms"]}
        assert {kept.pop(name) for name in ("full", *one["on_all"])} == {one["num_rows"]} == {NUM_TRAIN}
        assert set(kept.values()) == {round(BUDGET * NUM_TRAIN)}
        assert all(
            0 < loss < found["mixture"]["before"][group] for group in NAMES for loss in losses(one, group).values()
        )
    assert losses(found["in_run"])["random"] == losses(found["mixture"])["random"]
    assert losses(found["in_run"])["s2l"] != losses(found["mixture"])["s2l"]


def test_the_flag_is_the_share_of_gsm8k(smoke):
    _, found = smoke
    assert found["mixture"]["rows"]["train"] == dict.fromkeys(prepare.SOURCES, NUM_TRAIN // 3)
    for [share] in found["mixture"]["flagged_kept"].values():
        assert share * round(BUDGET * NUM_TRAIN) in range(round(BUDGET * NUM_TRAIN) + 1)


def test_losses_are_recorded_by_sweeps_and_by_the_training(smoke):
    work, _ = smoke
    traces = {
        name: Trace.load(next((work / name / "evidence").glob("loss-*/trace"))) for name in ("mixture", "in_run")
    }
    assert {name: trace.mode for name, trace in traces.items()} == {"mixture": "probe", "in_run": "in_run"}
    assert traces["mixture"].num_checkpoints == 8
    assert traces["in_run"].num_checkpoints == 1  # an epoch


def test_losses_are_those_of_each_answer_token_by_token(smoke):
    work, found = smoke
    place = work / "models" / "target"
    model, tokenizer = AutoModelForCausalLM.from_pretrained(place), AutoTokenizer.from_pretrained(place)
    rows = mathematics.deal(mathematics.read(work / "rows"), "evaluation").test
    by_source: dict[str, list[float]] = {}
    for row in rows:
        prompt, answer = (tokenizer(row[part])["input_ids"] for part in ("prompt", "completion"))
        tokens = [*prompt, *answer, tokenizer.eos_token_id]
        assert len(tokens) <= mathematics.MAX_LENGTH
        with torch.no_grad():
            logits = model(input_ids=torch.tensor([tokens])).logits[0].double()
        for place in range(len(prompt), len(tokens)):
            loss = torch.logsumexp(logits[place - 1], 0) - logits[place - 1, tokens[place]]
            by_source.setdefault(row["source"], []).append(float(loss))
    by_source["all"] = [loss for own in by_source.values() for loss in own]
    wanted = {name: math.fsum(own) / len(own) for name, own in by_source.items()}
    # float32 logits of a size of about 10
    assert found["mixture"]["before"] == pytest.approx(wanted, rel=1e-5)


def test_what_is_there_is_not_done_again(smoke, monkeypatch):
    work, found = smoke
    monkeypatch.setattr("trl.SFTTrainer.train", lambda *args, **kwargs: pytest.fail("trained again"))
    monkeypatch.setattr(mathematics, "train_base", lambda *args, **kwargs: pytest.fail("pre-trained again"))
    assert mathematics.run(Setting(num_seeds=1, smoke=True), work) == found


def row(source: str, number: int) -> dict[str, str]:
    return {"prompt": f"{source} {number}?", "completion": f"\n{number}", "source": source}


@given(st.lists(st.integers(0, 60), min_size=4, max_size=4))
def test_no_row_has_two_roles_and_reported_gsm8k_is_of_its_test_split(sizes):
    names = (*prepare.SOURCES, prepare.TEST)
    rows = {name: [row(name, i) for i in range(size)] for name, size in zip(names, sizes, strict=True)}
    dealt = {pool: mathematics.deal(rows, pool) for pool in mathematics.POOLS}
    assert dealt["development"].pretraining == dealt["evaluation"].pretraining
    roles = [dealt["development"].pretraining, *(part for one in dealt.values() for part in (one.train, one.test))]
    questions = [one["prompt"] for role in roles for one in role]
    assert len(questions) == len(set(questions))
    tested = {one["source"] for one in dealt["evaluation"].test}
    assert tested <= {"gsm8k_test", "mawps_asdiv", "svamp"}
    assert all(one["source"] != prepare.TEST for role in (*roles[:3], dealt["evaluation"].train) for one in role)
    for name, size in zip(prepare.SOURCES, sizes, strict=False):
        for one in dealt.values():
            assert sum(own["source"] == name for own in one.train) == round(0.8 * (size // 4))


def test_of_one_question_the_first_row_is_read_and_long_ones_are_left_out(tmp_path):
    for name in (*prepare.SOURCES, prepare.TEST):
        lines = [{"prompt": f"{name}?", "completion": "1"}, {"prompt": "again?", "completion": name}]
        lines.append({"prompt": "x" * (mathematics.MOST_CHARACTERS + 1), "completion": "1"})
        (tmp_path / f"{name}.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    rows = mathematics.read(tmp_path)
    assert [(one["prompt"], one["completion"]) for one in rows["gsm8k_train"]] == [
        ("gsm8k_train?", "\n1"),
        ("again?", "\ngsm8k_train"),
    ]
    assert [one["prompt"] for one in rows["gsm8k_test"]] == ["gsm8k_test?"]


def test_models_read_questions_and_answers_apart(tmp_path, monkeypatch):
    read = []

    def train(texts, tokenizer, recipe, seed):
        read.extend(texts)
        raise KeyboardInterrupt

    monkeypatch.setattr(mathematics, "train_base", train)
    with pytest.raises(KeyboardInterrupt):
        mathematics.make_base(tmp_path / "model", [row("svamp", 1)], mathematics.BASES["proxy"])
    assert [(one.prompt, one.completion) for one in read] == [("", "svamp 1?"), ("", "1")]
    assert [path.name for path in tmp_path.iterdir()] == [".model.lock"], "nothing half-written"


def world_of(effects: dict[str, float], groups: tuple[str, ...] = (), seed: int = 0) -> dict[str, Any]:
    """Losses of five seeds: 0.5 and an effect."""
    methods = ("random", "s2l", "clues", "mean")
    found = make_world(
        noisy(effects, 0.005, seed), methods, (0.1,), num_seeds=5, groups=groups, metrics=("loss",)
    ).summarise()
    kept = dict.fromkeys(methods, [0.5] * 5)
    rows = {"test": {"svamp": 3}, "pretraining": {"svamp": 1200}}
    before = dict.fromkeys(found["groups"], 2.0)
    verdicts = {"loss": write_verdict(found)}
    return {**found, "before": before, "flagged_kept": kept, "rows": rows, "verdicts": verdicts}


def test_the_table_marks_what_is_lower_than_random_as_better():
    text = mathematics_tables.tables({"mixture": world_of({"s2l": -0.2, "clues": 0.2}, NAMES), "in_run": world_of({})})
    lines = {line[0]: line[1:] for line in re.findall(r"^\| (\w+) " + r"\| ([^|]*?) " * 6 + r"\|", text, flags=re.M)}
    assert list(lines) == ["nothing", "random", "s2l", "clues", "mean", "full"]
    assert all(cell.endswith("▲") for cell in lines["s2l"][:4])
    assert all(cell.endswith("▼") for cell in lines["clues"][:4])
    assert not any(mark in cell for name in ("random", "mean", "full") for cell in lines[name] for mark in "▲▼")
    assert lines["nothing"][:4] == ("2.000",) * 4
    assert lines["s2l"][4] == "50%"
    assert "S2L, all pairs corrected together: better than random" in text
    assert "1,200 others" in text


@pytest.mark.parametrize(("effect", "outcome"), [(-0.2, "better"), (0.2, "worse"), (0.0, "no difference can be told")])
def test_in_run_is_held_against_sweeps(effect, outcome):
    told = mathematics_tables.in_run_told({"mixture": world_of({}), "in_run": world_of({"s2l": effect}, seed=1)})
    assert f"; {outcome}." in told


def test_a_run_of_one_seed_has_a_table_without_intervals(smoke):
    _, found = smoke
    text = mathematics_tables.tables(found)
    assert "±" not in re.sub("mean ± half", "", text)
    assert f"{found['mixture']['before']['svamp']:.3f}" in text
