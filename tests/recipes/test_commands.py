"""Every command that a document shows is run here, or says what it needs; all are read by the real parsers."""

import argparse
import importlib
import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
from accelerate.commands.config.config_args import load_config_from_file
from accelerate.commands.launch import launch_command_parser

from hf_datasel import Selection, Trace, Valuation
from hf_datasel.cli import COMMANDS, main
from recipes.smoke import NUM_ROWS, write_smoke
from tests.recipes.documents import DOCUMENTS, ROOT, Command, commands

# What a run on tiny stand-ins takes instead of the options of a real one.
TINY = (
    "--use_cpu --bf16 false --gradient_checkpointing false --max_steps 8 --per_device_train_batch_size 8 "
    "--report_to none --save_strategy no"
).split()
SMALL = {
    "quickstart": "--smoke --num_seeds 1 --num_workers 1 --num_rows 400".split(),
    "compare": "--budgets 0.4 --num_seeds 1".split(),
}
# These take minutes to hours: their command lines are read by their own parsers, and other tests run them in small.
STUDIES = ("recipes.benchmarks.clues_noise.run", "recipes.benchmarks.shed.run", "recipes.s2l.math_mixture.run")
TOOLS = ("python", "hf-datasel", "ruff", "mypy")


@pytest.fixture(scope="session")
def rows_and_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("smoke")
    write_smoke(folder)
    return folder


@pytest.fixture
def reader(rows_and_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of a reader who has a checkout and rows of their own; names of models lead to a tiny one."""
    (tmp_path / "recipes").symlink_to(ROOT / "recipes")
    for name in ("data", "trusted", "anchors"):
        shutil.copy(rows_and_model / f"{name}.jsonl", tmp_path)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def command_and_options(words: list[str]) -> list[str] | None:
    """What `hf-datasel` is told, by itself or by `accelerate launch`; None for another program."""
    if words[0] == "hf-datasel":
        return words[1:]
    if words[:2] != ["accelerate", "launch"]:
        return None
    launched = launch_command_parser().parse_args(words[2:])
    assert launched.module
    assert launched.training_script == "hf_datasel"
    if launched.config_file is not None:
        load_config_from_file(launched.config_file)
    return list(launched.training_script_args)


def parse(told: list[str]) -> dict[str, Any]:
    """The options as the command's own parser reads them."""
    assert told[0] in COMMANDS, told[0]
    parsed = importlib.import_module(f"hf_datasel.cli.{told[0]}").make_parser().parse(told[1:])
    return {name: value for options in parsed or () for name, value in vars(options).items()}


def stand_in(options: dict[str, Any], model: Path) -> None:
    """Put the tiny model where a model is named, and rows where a dataset of the Hub is."""
    for option in ("model_name_or_path", "proxy_model"):
        name = options.get(option)
        if name is not None and not Path(name).exists():
            shutil.copytree(model, name)
    for option in ("dataset", "dataset_name"):
        name = options.get(option)
        if name is not None and not Path(name).exists():
            Path(name).mkdir(parents=True)
            shutil.copy("data.jsonl", Path(name, "train.jsonl"))


def run_hf_datasel(told: list[str], model: Path) -> None:
    options = parse(told)
    stand_in(options, model)
    tiny = [*(TINY if options.get("use_cpu") is False else []), *SMALL.get(told[0], [])]
    assert main([*told, *tiny]) == 0


def run_trl(words: list[str], model: Path) -> None:
    """`trl sft`, without the launcher."""
    from trl.scripts import sft

    parsed = sft.make_parser().parse_args_and_config([*words[2:], *TINY])
    stand_in({name: value for options in parsed for name, value in vars(options).items()}, model)
    sft.main(*parsed)


def run_make(target: str, folder: Path) -> None:
    """`make` with tools that only say that they were called; what they are told must be there."""
    log, stub = folder / "called", folder / "venv"
    (stub / "bin").mkdir(parents=True, exist_ok=True)
    for tool in TOOLS:
        path = stub / "bin" / tool
        path.write_text(f'#!/bin/sh\necho {tool} "$@" >> {log}\n')
        path.chmod(0o755)
    (stub / ".installed").touch()
    assert target != "clean"
    log.write_text("")
    subprocess.run(["make", "-C", str(ROOT), target, f"VENV={stub}"], check=True, capture_output=True)
    called = [line.split() for line in log.read_text().splitlines()]
    assert called
    for tool, *arguments in called:
        if tool == "hf-datasel":
            parse(arguments)
        else:
            module = arguments[1] if arguments[:1] == ["-m"] else tool
            assert find_spec(module) is not None, module


def run_module(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """`python -m`; a study only as far as its command line."""
    module = importlib.import_module(name)
    if name not in STUDIES:
        module.main()
        return
    parse_args = argparse.ArgumentParser.parse_args

    class Parsed(Exception):
        pass

    def stop(parser: argparse.ArgumentParser) -> None:
        parse_args(parser)
        raise Parsed

    with monkeypatch.context() as patch:
        patch.setattr(argparse.ArgumentParser, "parse_args", stop)
        with pytest.raises(Parsed):
            module.main()


def run(command: Command, folder: Path, model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Run what is not marked; parse what is ours in any case."""
    words = shlex.split(command.line)
    told = command_and_options(words)
    if command.needs is not None:
        assert told is None or (parse(told) or not told[1:])
    elif told is not None:
        run_hf_datasel(told, model)
    elif words[:3] == ["trl", "sft", "--config"]:
        run_trl(words, model)
    elif words[0] == "make":
        run_make(words[1], folder)
    elif words[:3] == ["python", "-m", "recipes.smoke"] or (words[:2] == ["python", "-m"] and words[2] in STUDIES):
        monkeypatch.setattr(sys, "argv", words[2:])
        run_module(words[2], monkeypatch)
    else:
        raise AssertionError(f"{command.line!r} is neither run here nor marked with <!-- needs: gpu --> or network")


def check_guide(folder: Path) -> None:
    """What the smoke recipes leave behind."""
    kept = {name: Selection.load(folder / "smoke" / name / "selection") for name in ("s2l", "clues", "shed")}
    assert {name: selection.provenance[-1]["selector"] for name, selection in kept.items()} == {
        name: name for name in kept
    }
    assert len(kept["s2l"]) == len(kept["shed"]) == NUM_ROWS // 5
    assert NUM_ROWS // 5 < len(kept["clues"]) < NUM_ROWS
    traces = [Trace.load(folder / "smoke" / "s2l" / name) for name in ("trace", "trace_x2")]
    assert traces[0].values.tolist() == traces[1].values.tolist()
    assert Trace.load(folder / "smoke" / "clues" / "trace").companion("anchors").num_checkpoints == 2
    assert Valuation.load(folder / "smoke" / "shed" / "valuation").num_clusters == 4
    for name, selection in kept.items():
        curated = (folder / "smoke" / name / "curated.jsonl").read_text().splitlines()
        assert len(curated) == len(selection)
        weights = "model.safetensors"
        assert (folder / "smoke" / name / "model" / weights).is_file()


CHECKS: dict[str, Callable[[Path], None]] = {"recipes/README.md": check_guide}


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_the_commands_of_a_document_run(
    document: Path, reader: Path, rows_and_model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("MAKEFLAGS", raising=False)
    for command in commands(document.read_text()):
        run(command, reader, rows_and_model / "model", monkeypatch)
    CHECKS.get(str(document.relative_to(ROOT)), lambda folder: None)(reader)


def test_a_mark_counts_for_the_block_below_it() -> None:
    text = (
        "<!-- needs: gpu -->\n```sh\nhf-datasel a \\\n  --b  # why\n\n# nothing\nmake c\n```\n"
        "```sh\nd\n```\n<!-- needs: network -->\n\n```bash\ne '#f'\n```\n```python\ng\n```\n"
    )
    found = [("hf-datasel a    --b", "gpu"), ("make c", "gpu"), ("d", None), ("e '#f'", "network")]
    assert list(commands(text)) == [Command(*each) for each in found]


@pytest.mark.parametrize(
    ("line", "needs"),
    [
        ("pip install hf_datasel", None),
        ("hf-datasel select --bugdet 3", "gpu"),
        ("hf-datasel slect --budget 3", "network"),
        ("accelerate launch --config_file nowhere.yaml -m hf_datasel select --budget 3", "gpu"),
        ("accelerate launch script.py", "gpu"),
        ("python -m recipes.benchmarks.coalitions", None),
        ("make nothing", None),
        ("hf-datasel select --method random --budget 900 --dataset data.jsonl", None),
    ],
)
def test_what_does_not_work_is_found(
    line: str, needs: str | None, reader: Path, rows_and_model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises((AssertionError, ValueError, OSError, subprocess.CalledProcessError)):
        run(Command(line, needs), reader, rows_and_model / "model", monkeypatch)
