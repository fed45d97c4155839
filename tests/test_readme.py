"""The README keeps its word: snippets run, commands parse, links lead somewhere, tables are what the JSON says."""

import functools
import importlib
import json
import re
import shlex
import shutil
from pathlib import Path
from typing import Any

import pytest

from hf_datasel import Selection, Trace
from hf_datasel.cli import COMMANDS
from recipes.benchmarks.render import SECTIONS, render
from tests.conftest import TinyFiles
from tests.training.embedding.encoders import save_encoder

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()
DOCUMENTS = sorted(path for path in ROOT.rglob("*.md") if ".venv" not in path.parts and ".git" not in path.parts)
MODELS = ("EleutherAI/pythia-70m", "Qwen/Qwen3-0.6B")
ENCODER = "sentence-transformers/all-MiniLM-L6-v2"
# What a tiny model on a machine without GPU needs beside the README's own options.
TINY = {"use_cpu": True, "bf16": False, "gradient_checkpointing": False, "num_train_epochs": 1, "report_to": "none"}


def blocks(language: str, text: str = README) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", text, flags=re.DOTALL)


def commands(text: str) -> list[str]:
    """The `hf-datasel` command lines in a text's shell blocks and inline code."""
    lines = [line for block in blocks("sh", text) for line in block.replace("\\\n", " ").splitlines()]
    lines += re.findall(r"`([^`\n]+)`", text)
    starts = ("hf-datasel ", "accelerate launch -m hf_datasel ")
    return [line.split("#")[0].strip() for line in lines if line.startswith(starts) and "|" not in line]


def arguments(line: str) -> list[str]:
    """A command line's command and flags, without what launches it."""
    words = shlex.split(line)
    return words[words.index("hf_datasel") + 1 :] if "hf_datasel" in words else words[1:]


@pytest.fixture
def readers_folder(tiny_files: TinyFiles, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with data.jsonl, in which the README's model names lead to a tiny model."""
    rows = tiny_files.data.read_text().splitlines(keepends=True)
    (tmp_path / "data.jsonl").write_text("".join(rows * 8))
    for name, some in (("hospital", rows[::2] * 3), ("clinic", rows[1::2] * 3)):
        (tmp_path / f"{name}.jsonl").write_text("".join(some))
    turned = [json.loads(row) for row in rows]  # trusted rows may not be training rows
    turned = [json.dumps({"prompt": row["completion"] + " ", "completion": row["prompt"]}) + "\n" for row in turned]
    for name, some in (("trusted", turned[:4]), ("anchors", turned[4:40])):
        (tmp_path / f"{name}.jsonl").write_text("".join(some))
    for name in MODELS:
        shutil.copytree(tiny_files.model, tmp_path / name)
    save_encoder(tmp_path / ENCODER)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize("number", range(len(blocks("python"))))
def test_python_snippets_run(number: int, readers_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import trl

    import hf_datasel

    for module, name in ((trl, "SFTConfig"), (hf_datasel, "SelectingSFTConfig")):
        monkeypatch.setattr(module, name, functools.partial(getattr(module, name), **TINY))
    names: dict[str, Any] = {}
    exec(compile(blocks("python")[number], f"README.md, snippet {number}", "exec"), names)
    if "CLUESSelector" not in names:
        assert len(Selection.load("out/selection") if "curated" not in names else names["curated"]) == 35
    elif "curated" in names:
        assert Trace.load("trace").metric == "influence"
        assert 0 < len(names["curated"]) <= 320
    else:
        assert sorted(names["result"].selections) == ["clinic", "hospital"]
        assert names["merged"].active_adapters


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_commands_parse(path: Path, readers_folder: Path) -> None:
    for line in commands(path.read_text()):
        command, *rest = arguments(line)
        assert command in (*COMMANDS, "COMMAND", "..."), line
        if command in COMMANDS:
            parse(command, rest, readers_folder)


@pytest.mark.parametrize("command", COMMANDS)
def test_examples_of_the_help_parse(command: str, readers_folder: Path) -> None:
    module = importlib.import_module(f"hf_datasel.cli.{command}")
    assert module.EXAMPLES
    for line in module.EXAMPLES:
        parse(command, arguments(line.replace("\\\n", " "))[1:], readers_folder)


def parse(command: str, args: list[str], folder: Path) -> None:
    """Parse a command line as the command does; a YAML file it names is a recipe's, or nearly empty."""
    if "--config" in args:
        name = args[args.index("--config") + 1]
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text((ROOT / name).read_text() if (ROOT / name).exists() else "output_dir: out\n")
    parser = importlib.import_module(f"hf_datasel.cli.{command}").make_parser()
    asks_for_help = bool({"--help", "--help-all"} & set(args))
    assert (parser.parse(args) is None) == asks_for_help


def test_readme_shows_commands_and_snippets() -> None:
    assert len(blocks("python")) == 5
    assert {arguments(line)[0] for line in commands(README)} >= {"record", "select", "train"}


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_make_targets_exist(path: Path) -> None:
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), flags=re.MULTILINE))
    text = path.read_text()
    named = set(re.findall(r"^make ([a-z]+)", text, flags=re.MULTILINE)) | set(re.findall(r"`make ([a-z]+)`", text))
    assert named <= targets


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_relative_links_lead_somewhere(path: Path) -> None:
    links = re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", path.read_text())
    missing = [link for link in links if "://" not in link and not (path.parent / link).exists()]
    assert missing == []


@pytest.mark.parametrize("document", SECTIONS)
def test_tables_are_what_the_results_say(document: str) -> None:
    assert render(document) == (ROOT / document).read_text(), f"run `make results` and commit {document}"
