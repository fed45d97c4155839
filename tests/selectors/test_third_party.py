"""The package of recipes/third_party, built and installed beside hf_datasel, used as its page says."""

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from hf_datasel import Selection, Trace
from hf_datasel.selectors.rederive import NotRederivable, Published, rederive
from hf_datasel.training.evidence import RECORDERS
from tests.conftest import TinyFiles

ROOT = Path(__file__).parents[2]
EXAMPLE = ROOT / "recipes" / "third_party"
SOURCE = EXAMPLE / "hf_datasel_variability"
PAGE = (EXAMPLE / "README.md").read_text()
PACKAGE = {"name": "hf-datasel-variability", "version": "0.1.0"}
FILES = ("pyproject.toml", "hf_datasel_variability.py", "tests/test_variability.py")
AFTERWARDS = """
import numpy as np
from hf_datasel import Selection
from hf_datasel.selectors.rederive import Published, rederive
from hf_datasel.selectors.registry import selector_names

assert {"broken", "variability"} <= set(selector_names())
trainer.create_model_card()
for path in ("out/selection", "selection"):
    made = Selection.load(path)
    assert np.array_equal(rederive(made.provenance[-1], Published.of(made)), made.kept)
assert np.array_equal(selection.ids, made.ids)
assert trace.complete and trace.metric == "length"
"""


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", PAGE, flags=re.DOTALL)


def pip(*arguments: object) -> None:
    line = [sys.executable, "-m", "pip", "--disable-pip-version-check", "-q", *map(str, arguments)]
    subprocess.run(line, check=True, capture_output=True, text=True)


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that the package was installed into, without a network, and beside it one that is broken."""
    root = tmp_path_factory.mktemp("third_party")
    shutil.copytree(SOURCE, root / "source")
    offline = ("--no-index", "--no-deps")
    pip("wheel", *offline, "--no-build-isolation", "--wheel-dir", root / "wheels", root / "source")
    (wheel,) = (root / "wheels").glob("*.whl")
    pip("install", *offline, "--target", root / "site", wheel)
    broken = root / "site" / "broken-1.0.dist-info"
    broken.mkdir()
    (broken / "METADATA").write_text("Metadata-Version: 2.1\nName: broken\nVersion: 1.0\n")
    (broken / "entry_points.txt").write_text("[hf_datasel.selectors]\nbroken = no_such_module:Broken\n")
    return root / "site"


@pytest.fixture(scope="module")
def folder(installed: Path, tiny_files: TinyFiles, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where a reader did all that the page says, in its order."""
    folder = tmp_path_factory.mktemp("reader")
    shutil.copy(tiny_files.data, folder / "data.jsonl")
    for name in ("Qwen/Qwen3-0.6B", "EleutherAI/pythia-70m"):
        shutil.copytree(tiny_files.model, folder / name)
    shutil.copytree(SOURCE / "tests", folder / "tests_of_the_package")
    lines = [shlex.split(line[2:]) for block in blocks("console") for line in block.splitlines()]
    assert [" ".join(line) for line in lines[:2]] == ["python -m pip install .", "python -m pytest tests"]
    commands = [{"command": words} for program, *words in lines[2:] if program == "hf-datasel"]
    assert len(commands) == len(lines) - 2
    train, load, measure = ({"python": code} for code in blocks("python")[-3:])
    steps = [train, *commands, load, measure, {"python": AFTERWARDS}, {"pytest": "tests_of_the_package"}]
    done = subprocess.run(
        [sys.executable, "-m", "tests.selectors.readers_session"],
        input=json.dumps(steps),
        capture_output=True,
        text=True,
        cwd=folder,
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(installed), str(ROOT)]), "HF_HOME": str(folder / "hf")},
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return folder


def slow_choice(trace: Trace, skip: int, budget: int) -> list[int]:
    spread = [np.std([np.exp(-float(loss)) for loss in row[skip:]]) for row in trace.values]
    return sorted(trace.ids[np.argsort(spread)[-budget:]].tolist())


@pytest.mark.parametrize(
    ("chosen", "recorded"), [("out/selection", "out/_selection_stage/trace"), ("selection", "trace")]
)
def test_the_trainer_and_the_command_line_select_by_its_name(folder: Path, chosen: str, recorded: str) -> None:
    selection, trace = Selection.load(folder / chosen), Trace.load(folder / recorded)
    assert selection.ids.tolist() == slow_choice(trace, skip=2, budget=12)
    (step,) = selection.provenance
    assert (step["selector"], step["package"], step["config"]["skip"]) == ("variability", PACKAGE, 2)


def test_a_stage_belongs_to_the_package_it_was_made_with(folder: Path) -> None:
    assert json.loads((folder / "out/_selection_stage/stage.json").read_text())["selector"]["package"] == PACKAGE


def test_where_it_is_not_installed_nothing_can_be_chosen_again(folder: Path) -> None:
    selection = Selection.load(folder / "selection")
    with pytest.raises(NotRederivable, match="'variability' is not known"):
        rederive(selection.provenance[-1], Published.of(selection))


def test_the_page_shows_the_files_as_they_are() -> None:
    shown = [*blocks("toml"), *blocks("python")[:2]]
    assert shown == [(SOURCE / name).read_text() for name in FILES]


def test_the_page_names_every_metric_that_a_stage_records() -> None:
    rows = [row.split("|")[2] for row in PAGE.splitlines() if re.match(r"\| `(Trace|Embeddings|Valuation)`", row)]
    assert sorted(re.findall(r'`"(\w+)"`', " ".join(rows))) == sorted(RECORDERS)
