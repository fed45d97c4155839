"""The YAML files: read by the commands' own parsers and by Accelerate; a file, flags and Python say the same."""

import importlib
import re
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest
import yaml
from accelerate.commands.config.config_args import ClusterConfig, load_config_from_file
from accelerate.commands.launch import _validate_launch_command, launch_command_parser
from accelerate.utils import FullyShardedDataParallelPlugin
from accelerate.utils.launch import prepare_multi_gpu_env

from hf_datasel.cli.parser import CommandParser
from hf_datasel.cli.values import parse_budget
from tests.recipes.documents import ROOT

RECIPES = ROOT / "recipes"
CONFIGS = sorted(path for path in RECIPES.glob("*/*/*.yaml") if path.parent.parent.name in ("s2l", "clues", "shed"))
LAUNCHES = sorted((RECIPES / "accelerate_configs").glob("*.yaml"))
METHODS = ("s2l", "clues", "shed")


def name_of(path: Path) -> str:
    return str(path.relative_to(RECIPES))


def make_parser(path: Path) -> CommandParser:
    """The parser of the command that reads the file."""
    return importlib.import_module(f"hf_datasel.cli.{path.stem}").make_parser()


def flags(config: dict[str, Any]) -> list[str]:
    """The command line that says what a file says."""
    line = []
    for name, value in config.items():
        if isinstance(value, dict):
            value = yaml.safe_dump(value, default_flow_style=True, width=1000).strip()
            value = re.sub(r"([A-Za-z_]\w*)", r'"\1"', value).replace('"true"', "true").replace('"false"', "false")
        values = value if isinstance(value, list) else [value]
        line += [f"--{name}", *(str(item).lower() if isinstance(item, bool) else str(item) for item in values)]
    return line


def values(parsed: Any) -> dict[str, Any]:
    """Every field of what was parsed; a mapping in JSON as a mapping."""
    told = {item.name: getattr(options, item.name) for options in parsed for item in fields(options) if item.init}
    if "budget" in told:  # a number in Python and in YAML, a word in a command line
        told["budget"] = None if told["budget"] is None else parse_budget(told["budget"])
    return {name: yaml.safe_load(v) if isinstance(v, str) and v.startswith("{") else v for name, v in told.items()}


@pytest.mark.parametrize("path", CONFIGS, ids=name_of)
def test_a_file_flags_and_python_say_the_same(path: Path) -> None:
    """The dataclasses refuse a value that is none when they are made, so that all three are also checked."""
    config = yaml.safe_load(path.read_text())
    parser = make_parser(path)
    by_file = parser.parse(["--config", str(path)])
    by_flags = make_parser(path).parse(flags(config))
    assert by_file is not None
    assert values(by_file) == values(by_flags)
    defaults = {action.dest: action.default for action in make_parser(path).all_actions}
    for options in by_file:
        known = {item.name for item in fields(options) if item.init}
        ours = {name: value for name, value in config.items() if name in known}
        for name, value in ours.items():  # in a file, and in flags, a list of one need not look like a list
            if isinstance(getattr(options, name), list) and not isinstance(value, list):
                ours[name] = [value]
        # The command's own defaults, of the machine it runs on, which Python does not know of.
        machine = {name: defaults[name] for name in ("bf16", "disable_tqdm") if name in known and name not in ours}
        by_python = type(options)(**{**machine, **ours})
        assert values([by_python]) == values([options])
    assert {name for options in by_file for name in vars(options)} >= set(config)


@pytest.mark.parametrize("path", CONFIGS, ids=name_of)
def test_a_file_fits_its_command(path: Path) -> None:
    """Beyond single values: the options of a recording fit its metric, those of a selector make one."""
    parsed = make_parser(path).parse(["--config", str(path)])
    if path.stem == "select":
        from hf_datasel.cli.selectors import make_selector

        assert make_selector(parsed[0]).name == path.parent.parent.name
    elif path.stem == "train":
        from hf_datasel.training.links import make_selector

        (args,) = [options for options in parsed if hasattr(options, "selection_method")]
        assert make_selector(args).name in (path.parent.parent.name, "s2l")
    else:
        _, held_out, measures, options, valuation, *_ = parsed
        held_out.validation_dataset = held_out.validation_dataset or "trusted.jsonl"
        if measures.metric == "loss":
            held_out.validation_dataset = None
        measures.require_fitting(options, held_out, valuation)
        if measures.metric == "shapley":
            valuation.check(1000)


def test_every_method_has_recipes_of_real_models_and_one_for_seconds() -> None:
    found = {(path.parent.parent.name, path.parent.name, path.stem) for path in CONFIGS}
    folders = {method: {model for kind, model, _ in found if kind == method} for method in METHODS}
    for method in METHODS:
        assert {"smoke"} < folders[method]
        assert any("llama3" in model for model in folders[method])
        assert any("qwen3" in model for model in folders[method])
        for model in folders[method]:
            assert {stem for kind, each, stem in found if (kind, each) == (method, model)} == {
                "record",
                "select",
                "train",
            }


@pytest.mark.parametrize("path", CONFIGS, ids=name_of)
def test_the_guide_names_every_folder(path: Path) -> None:
    assert f"`{path.parent.relative_to(RECIPES)}/`" in (RECIPES / "README.md").read_text()


def launched(path: Path) -> Any:
    """What `accelerate launch --config_file` makes of a file."""
    arguments = launch_command_parser().parse_args(["--config_file", str(path), "-m", "hf_datasel", "train"])
    return _validate_launch_command(arguments)[0]


@pytest.mark.parametrize(
    ("name", "kind", "num_processes"),
    [
        ("single_gpu", "NO", 1),
        ("multi_gpu", "MULTI_GPU", 8),
        ("fsdp2", "FSDP", 8),
        ("zero3", "DEEPSPEED", 8),
        ("cpu_x2", "MULTI_GPU", 2),
    ],
)
def test_accelerate_loads_the_launch_files(name: str, kind: str, num_processes: int) -> None:
    path = RECIPES / "accelerate_configs" / f"{name}.yaml"
    loaded = load_config_from_file(str(path))  # refuses keys that it does not know
    assert isinstance(loaded, ClusterConfig)
    assert loaded.distributed_type.value == kind
    arguments = launched(path)
    assert arguments.num_processes == num_processes
    assert (arguments.multi_gpu, arguments.use_fsdp, arguments.use_deepspeed) == tuple(
        kind == each for each in ("MULTI_GPU", "FSDP", "DEEPSPEED")
    )


def test_there_are_no_other_launch_files() -> None:
    assert [path.stem for path in LAUNCHES] == ["cpu_x2", "fsdp2", "multi_gpu", "single_gpu", "zero3"]


def test_fsdp2_is_version_2_and_zero3_stage_3(monkeypatch: pytest.MonkeyPatch) -> None:
    arguments = launched(RECIPES / "accelerate_configs" / "fsdp2.yaml")
    for name, value in prepare_multi_gpu_env(arguments).items():
        if name.startswith("FSDP_"):
            monkeypatch.setenv(name, value)
    monkeypatch.setenv("ACCELERATE_USE_FSDP", "true")
    plugin = FullyShardedDataParallelPlugin()
    assert plugin.fsdp_version == 2
    assert plugin.reshard_after_forward is True
    assert plugin.state_dict_type.name == "FULL_STATE_DICT"
    arguments = launched(RECIPES / "accelerate_configs" / "zero3.yaml")
    assert arguments.zero_stage == 3
    assert arguments.zero3_save_16bit_model


@pytest.mark.parametrize("name", ["fsdp2", "zero3"])
def test_files_that_shard_weights_say_what_they_are_for(name: str) -> None:
    text = (RECIPES / "accelerate_configs" / f"{name}.yaml").read_text()
    said = " ".join(line.removeprefix("#").strip() for line in text.splitlines() if line.startswith("#"))
    assert "For `train` on a saved Selection only (--selection_path): recording is refused" in said
