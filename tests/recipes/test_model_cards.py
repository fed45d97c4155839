"""The committed cards are what their JSON says, and nothing else."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import pytest
from huggingface_hub import ModelCard

from recipes import model_cards
from recipes.benchmarks import render
from tests.cards.rendered import TAGS, read

NAMES = sorted(model_cards.RECIPES)


@pytest.mark.parametrize("name", NAMES)
def test_a_card_is_what_its_result_says(name: str) -> None:
    path = model_cards.FOLDER / f"{name}.md"
    assert path.read_text() == model_cards.card(name), "run `make results` and commit model_cards/"


@pytest.mark.parametrize("name", NAMES)
def test_a_card_is_read_by_the_hub_and_by_people(name: str) -> None:
    card = ModelCard((model_cards.FOLDER / f"{name}.md").read_text())
    seen = read(card.text)
    assert seen.tags <= TAGS
    assert seen.headings[1] == "Results"
    assert {"How to make it", "What it does not promise", "Citation"} <= set(seen.headings)
    assert len(seen.tables) >= 2
    assert "None" not in seen.text
    assert "hf-datasel" in card.data.tags
    assert all((model_cards.ROOT / path).exists() for path in model_cards.RECIPES[name].results)


@pytest.mark.parametrize(
    ("name", "told", "where"),
    [
        ("quickstart", "exact match, trained on 720 rows: S2L", "arms/S2L/macro_exact_match/mean"),
        ("s2l_math_mixture", "loss, trained on random", "answer_loss_on_gsm8k_test/random/mean"),
        ("shed", "loss, trained on full", "worlds/skills/concentrated/arms/full/loss/mean"),
        ("clues_noise", "loss, trained on oracle", "worlds/medquad/mixed-50/held_out/oracle/loss/mean"),
    ],
)
def test_the_metadata_holds_the_means(name: str, told: str, where: str) -> None:
    value = json.loads((model_cards.ROOT / model_cards.RECIPES[name].results[0]).read_text())
    for key in where.split("/"):
        value = value[key]
    results = ModelCard(model_cards.card(name)).data.eval_results
    found = [one.metric_value for one in results if one.metric_name == told]
    assert round(value, 4) in found


def test_another_result_makes_another_card(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = model_cards.RECIPES["s2l_math_mixture"].results[0]
    (tmp_path / path).parent.mkdir(parents=True)
    shutil.copy(model_cards.ROOT / path, tmp_path / path)
    for module in (model_cards, render):
        monkeypatch.setattr(module, "ROOT", tmp_path)
    committed = (model_cards.FOLDER / "s2l_math_mixture.md").read_text()
    assert model_cards.card("s2l_math_mixture") == committed
    result = json.loads((tmp_path / path).read_text())
    result["answer_loss_on_gsm8k_test"]["s2l"]["mean"] += 0.001
    (tmp_path / path).write_text(json.dumps(result))
    assert model_cards.card("s2l_math_mixture") != committed


def test_every_card_is_listed() -> None:
    listed = re.findall(r"\]\(([a-z0-9_]+)\.md\)", (model_cards.FOLDER / "README.md").read_text())
    on_disk = [path.stem for path in model_cards.FOLDER.glob("*.md") if path.stem != "README"]
    assert sorted(listed) == sorted(on_disk) == NAMES
