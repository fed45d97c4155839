"""The part on noisy clients: all of it in small, who sees which rows, and what is summed up over deals and told."""

import json
import math
import re
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from transformers import AutoModelForCausalLM, AutoTokenizer

from hf_datasel import Selection
from hf_datasel.compare.plan import Cell, Method
from hf_datasel.storage import read_json, write_json
from recipes.benchmarks.clues_noise.cell import Pattern, deal_rows
from recipes.benchmarks.clues_noise.corrupt import KINDS
from recipes.benchmarks.clues_noise.data import World, load_world
from recipes.benchmarks.effectiveness import clients, clients_tables, deals
from recipes.benchmarks.effectiveness.setting import Setting

NUM_ROWS, NUM_CLIENTS = 400, 5
KEYS = ("skills, 50% damaged", "medquad, 50% damaged")
METHODS = [method for method in clients.METHODS if method.label in clients.SMOKE]
LABELS = ["random", *(method.label for method in METHODS)]


@pytest.fixture(scope="module")
def smoke(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any]]:
    work = tmp_path_factory.mktemp("clients")
    return work, clients.run(Setting(num_seeds=1, smoke=True), work)


@pytest.fixture(scope="module")
def worlds(smoke) -> dict[str, World]:
    work, _ = smoke
    return {name: load_world(name, "evaluation", work / "rows") for name in clients.LESSONS}


def folder_of(work: Path, key: str) -> Path:
    world, level, _ = key.replace(",", "").split()
    return work / world / level / f"deal-{clients.FIRST_DEAL}"


def means(found: dict[str, Any], metric: str = "loss") -> dict[str, float]:
    return {one["method"]: one["mean"] for one in found["metrics"][metric]["groups"]["all"]["means"]}


def test_everything_in_small_at_equal_rows_and_steps(smoke):
    _, found = smoke
    assert json.loads(json.dumps(found, allow_nan=False)) == found
    assert tuple(found) == KEYS
    assert [one["metric_names"] for one in found.values()] == [["loss", "exact_match"], ["loss"]]
    for one in found.values():
        assert one["methods"] == LABELS
        assert one["yardsticks"] == ["oracle"]
        assert one["seeds"] == [clients.FIRST_DEAL]
        assert len(one["groups"]) == 1 + NUM_CLIENTS
        assert {arm["steps"] for arm in one["costs"]["arms"]} == {3}
        kept = {arm["method"]: arm["num_kept"] for arm in one["costs"]["arms"]}
        assert kept.pop("full") == one["num_rows"] == NUM_ROWS
        assert set(kept.values()) == {NUM_ROWS // 2}
        assert all(loss > 0 and math.isfinite(loss) for loss in [*means(one).values(), *one["base_loss"]])
        assert len(set(means(one).values())) == len(means(one))


@pytest.mark.parametrize("key", KEYS)
def test_every_method_keeps_as_much_of_each_client_and_the_shares_are_those_of_its_rows(smoke, worlds, key):
    work, found = smoke
    one, folder, world = found[key], folder_of(work, key), worlds[key.partition(",")[0]]
    rows = clients.to_table(deal_rows(world, Pattern((0.5,) * NUM_CLIENTS), clients.FIRST_DEAL)[1])
    for method in (Method("random"), *METHODS):
        label = method.label
        kept = rows.select(Selection.load(folder / "selections" / Cell(method, 0.5, clients.FIRST_DEAL).name).ids)
        assert {kept["party"].count(party) for party in world.pools} == {NUM_ROWS // NUM_CLIENTS // 2}
        assert one["flagged_kept"][label] == [sum(kept["damaged"]) / len(kept)]
        for kind in ("clean", *KINDS):
            assert one["kinds_kept"][label][kind] == [kept["kind"].count(kind) / rows["kind"].count(kind)]
    assert one["flagged_kept"]["oracle"] == [0]
    assert one["kinds_kept"]["oracle"] == {"clean": [1], **{kind: [0] for kind in KINDS}}


def test_what_the_base_has_read_is_in_no_pool_and_roles_share_no_row(worlds):
    for name, world in worlds.items():
        lesson = replace(clients.LESSONS[name], is_apart=False, seen=20)
        read = clients.taught_before(world, lesson).pretraining
        assert sum(row.party != "" for row in read) == 20
        assert not {row.prompt for pool in world.pools.values() for row in pool} & {row.prompt for row in read}
        roles, damaged = deal_rows(world, Pattern((0.2,) * NUM_CLIENTS), clients.FIRST_DEAL)
        prompts = [
            row.prompt
            for part in (damaged, roles.validation, roles.anchors, roles.test)
            for rows in part.values()
            for row in rows
        ]
        assert len(set(prompts)) == len(prompts) == NUM_CLIENTS * (80 + 12 + 12 + 40)


def test_a_base_that_has_read_texts_apart_has_read_the_same_texts(worlds):
    world, lesson = worlds["medquad"], replace(clients.LESSONS["medquad"], seen=7)
    apart = clients.taught_before(world, lesson).pretraining
    together = clients.taught_before(world, replace(lesson, is_apart=False)).pretraining
    assert {row.prompt for row in apart} == {""}
    assert [row.completion for row in apart] == [text for row in together for text in (row.prompt, row.completion)]


@pytest.mark.parametrize("key", KEYS)
def test_the_loss_of_the_base_is_that_of_single_rows(smoke, worlds, key):
    work, found = smoke
    name = key.partition(",")[0]
    test = deal_rows(worlds[name], Pattern((0.5,) * NUM_CLIENTS), clients.FIRST_DEAL)[0].test
    model = AutoModelForCausalLM.from_pretrained(work / name / "base")
    tokenizer = AutoTokenizer.from_pretrained(work / name / "base")
    total, count = 0.0, 0
    for row in (row for own in test.values() for row in own):
        question = tokenizer(row.prompt)["input_ids"]
        answer = tokenizer(f" {row.completion}")["input_ids"] + [tokenizer.eos_token_id]
        with torch.no_grad():
            logits = model(input_ids=torch.tensor([question + answer])).logits[0, len(question) - 1 : -1]
        total -= float(logits.double().log_softmax(-1).gather(1, torch.tensor(answer)[:, None]).sum())
        count += len(answer)
    assert found[key]["base_loss"] == pytest.approx([total / count], rel=1e-5)  # float32 logits of order 10


def test_what_is_there_is_not_done_again(smoke, worlds, monkeypatch):
    work, found = smoke
    for method in ("trl.SFTTrainer.train", "recipes.benchmarks.effectiveness.clients.train_base"):
        monkeypatch.setattr(method, lambda *args, **kwargs: pytest.fail("trained again"))
    world, lesson = worlds["skills"], clients.LESSONS["skills"].in_small()
    base, folder = work / "skills" / "base", folder_of(work, KEYS[0])
    clients.make_base(world, base, lesson.base)
    again = clients.hold(world, base, lesson, folder.parent, 0.5, [clients.FIRST_DEAL], METHODS)
    assert again == found[KEYS[0]]


def another_deal(folder: Path, number: int, by: float) -> None:
    """What a comparison left, as of another deal in which losses are higher."""
    first = folder.parent / f"deal-{clients.FIRST_DEAL}"
    shutil.copytree(first / "selections", folder / "selections")
    for path in (first / "selections").iterdir():
        name = path.name.removesuffix(str(clients.FIRST_DEAL)) + str(number)
        (folder / "selections" / path.name).rename(folder / "selections" / name)
    for path in (first / "cells").glob("*.json"):
        cell = read_json(path, "cell")
        losses = {group: loss + by for group, loss in cell["metrics"]["loss"].items()}
        other = {**cell, "seed": number, "metrics": {**cell["metrics"], "loss": losses}}
        (folder / "cells").mkdir(exist_ok=True)
        write_json(folder / "cells" / f"{path.stem.removesuffix(str(clients.FIRST_DEAL))}{number}.json", other)


def test_deals_are_summed_up_as_seeds_are(smoke):
    work, found = smoke
    one, first = found[KEYS[0]], folder_of(work, KEYS[0])
    another_deal(first.with_name("deal-9"), 9, by=0.5)
    kinds = np.array(["clean"] * NUM_ROWS)
    done = [deals.Deal(number, first.with_name(f"deal-{number}"), one, kinds) for number in (clients.FIRST_DEAL, 9)]
    both = deals.over_deals(done, METHODS, 0.5, ("loss", "exact_match"), clients.BATCH_SIZE)
    assert both["seeds"] == [clients.FIRST_DEAL, 9]
    assert both["methods"] == one["methods"]
    assert means(both) == pytest.approx({label: loss + 0.25 for label, loss in means(one).items()})
    assert means(both, "exact_match") == means(one, "exact_match")
    for half in both["metrics"]["loss"]["groups"]["all"]["means"]:
        low, high = half["interval"]  # of two values, t(0.975, 1) = 12.706 standard errors of a quarter
        assert (high - low) / 2 == pytest.approx(12.706 * 0.25, rel=1e-4)
    for pair in both["metrics"]["loss"]["groups"]["all"]["against_random"]:
        assert pair["mean"] == pytest.approx(means(one)[pair["method"]] - means(one)["random"])
    assert both["flagged_kept"] == {label: shares * 2 for label, shares in one["flagged_kept"].items()}
    assert both["kinds_kept"] == {label: {"clean": [0.5, 0.5]} for label in LABELS}
    costs = [{cost["method"]: cost["forwards"] for cost in told["costs"]["methods"]} for told in (one, both)]
    assert costs[0] == costs[1]
    assert costs[0]["clues"] > costs[0]["perplexity"] > costs[0]["oracle"] == costs[0]["random"] == 0


def test_tables_tell_every_method_and_level(smoke):
    _, found = smoke
    text = clients_tables.tables(found)
    lines = re.findall(r"^\| (.*?) \|", text, flags=re.MULTILINE)
    told = ["trained on", "---", "nothing", *LABELS, "full"]
    passed = ["chosen by", "---", *LABELS[1:-1]]
    assert lines == [*told, *passed, *told, *passed]
    for one in found.values():
        for label, loss in means(one).items():
            assert re.search(rf"^\| {re.escape(label)} \| {loss:.3f} \|", text, flags=re.MULTILINE)
        assert re.search(rf"^\| nothing \| {one['base_loss'][0]:.3f} \|", text, flags=re.MULTILINE)
    assert "nan" not in text


@given(st.floats(0.1, 5), st.floats(0.01, 5), st.floats(-2, 2))
def test_the_share_of_the_oracles_gain_is_told_where_there_is_one(oracle, gap, share):
    def found(**losses: float) -> dict[str, Any]:
        each = [{"method": method, "mean": mean} for method, mean in losses.items()]
        return {"metrics": {"loss": {"groups": {"all": {"means": each}}}}}

    full = oracle + gap
    world = found(full=full, oracle=oracle, clues=full - share * gap)
    assert clients_tables.gained(world, "clues") == pytest.approx(share, abs=1e-9 * (1 + full / gap))
    assert math.isnan(clients_tables.gained(found(full=oracle, oracle=full, clues=1.0), "clues"))


def test_the_deals_are_none_that_was_looked_at_before():
    assert max(read_json(CLUES_RESULT, "result")["seeds"]) < clients.FIRST_DEAL


CLUES_RESULT = Path(clients.__file__).parents[1] / "clues_noise" / "result.json"
