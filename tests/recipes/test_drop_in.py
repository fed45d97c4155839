"""The drop-in page: its diffs are those of the files, and the files run and do what it says."""

import difflib
import re
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from datasets import load_from_disk
from safetensors.torch import load_file

from hf_datasel import Selection, Trace
from hf_datasel.cli import train
from recipes.smoke import NUM_ROWS, write_smoke
from tests.recipes.documents import ROOT

FOLDER = ROOT / "recipes" / "drop_in"
PAGE = (FOLDER / "README.md").read_text()
PAIRS = [
    (f"{name}_before{ending}", f"{name}_after{ending}")
    for name, ending in (("trainer", ".py"), ("sft", ".py"), ("sft", ".yaml"))
]
# What a tiny model on a machine without GPU needs beside the scripts' own options.
TINY = {
    "use_cpu": True,
    "max_steps": 8,
    "report_to": "none",
    "disable_tqdm": True,
    "learning_rate": 1e-2,
    "dataloader_pin_memory": False,
}


def changes(before: str, after: str) -> list[str]:
    files = [(FOLDER / name).read_text().splitlines() for name in (before, after)]
    return list(difflib.unified_diff(*files, before, after, n=1, lineterm=""))


@pytest.mark.parametrize(("before", "after"), PAIRS)
def test_the_page_shows_the_difference_of_the_files(before: str, after: str) -> None:
    shown = [block.splitlines() for block in re.findall(r"```diff\n(.*?)```", PAGE, flags=re.DOTALL)]
    assert len(shown) == len(PAIRS)
    assert changes(before, after) in shown


def test_three_lines_are_three_lines() -> None:
    added = {}
    for before, after in PAIRS:
        lines = changes(before, after)[2:]
        added[after] = [line for line in lines if line.startswith("+")]
        for line in lines:
            assert not line.startswith("-") or len(added[after]) == 3 or "dataset = " in line
    assert {name: len(lines) for name, lines in added.items()} == {
        "trainer_after.py": 4,  # and an import
        "sft_after.py": 3,
        "sft_after.yaml": 3,
    }


@pytest.fixture(scope="module")
def rows_and_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("smoke")
    write_smoke(folder)
    return folder


def run_script(name: str, rows_and_model: Path, folder: Path) -> None:
    """Run a script where its models' names lead to a tiny one."""
    folder.mkdir()
    shutil.copy(rows_and_model / "data.jsonl", folder)
    for model in ("EleutherAI/pythia-70m", "Qwen/Qwen3-0.6B"):
        shutil.copytree(rows_and_model / "model", folder / model)
    source = (FOLDER / name).read_text()
    assert source.count('output_dir="out"') == 1
    tiny = {**TINY, **({"bf16": False, "gradient_checkpointing": False} if name.startswith("sft") else {})}
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        torch.manual_seed(0)
        exec(compile(source.replace('output_dir="out"', 'output_dir="out", **tiny'), name, "exec"), {"tiny": tiny})


def weights(folder: Path) -> dict[str, torch.Tensor]:
    return load_file(folder / "out" / "checkpoint-8" / "model.safetensors")


def test_a_trainer_script_trains_the_same_and_selects(rows_and_model: Path, tmp_path: Path) -> None:
    for name in ("before", "after"):
        run_script(f"trainer_{name}.py", rows_and_model, tmp_path / name)
    before, after = weights(tmp_path / "before"), weights(tmp_path / "after")
    assert all(torch.equal(before[name], after[name]) for name in before)
    trace = Trace.load(tmp_path / "after" / "trace")
    assert trace.values.shape == (NUM_ROWS, 8)
    curated = load_from_disk(tmp_path / "after" / "curated")
    assert len(curated) == round(0.11 * NUM_ROWS)
    assert set(curated["example_id"]) < set(trace.ids.tolist())


def test_a_trl_script_trains_on_the_selection(rows_and_model: Path, tmp_path: Path) -> None:
    for name in ("before", "after"):
        run_script(f"sft_{name}.py", rows_and_model, tmp_path / name)
        assert weights(tmp_path / name)
    assert len(Selection.load(tmp_path / "after" / "out" / "selection")) == round(0.11 * NUM_ROWS)
    assert not (tmp_path / "before" / "out" / "selection").exists()


def test_a_configuration_of_trl_is_one_of_ours() -> None:
    """`tests/recipes/test_commands.py` runs both."""
    from trl.scripts import sft

    before, after = (FOLDER / name for name in PAIRS[2])
    theirs = sft.make_parser().parse_args_and_config(["--config", str(before), "--bf16", "false"])
    told = {name: value for options in theirs for name, value in vars(options).items()}
    dataset_options, _, options, args, model_args = read(after)
    assert dataset_options.dataset == told["dataset_name"]
    assert (dataset_options.dataset_split, options.eval_split) == ("train", "test")
    assert model_args.model_name_or_path == told["model_name_or_path"]
    for name in yaml.safe_load(before.read_text()):
        assert not hasattr(args, name) or getattr(args, name) == told[name]
    assert (args.selection_method, args.selection_budget) == ("s2l", 0.11)


def read(path: Path) -> Any:
    return train.make_parser().parse(["--config", str(path)])


def test_a_key_and_its_other_name_are_one_option(tmp_path: Path) -> None:
    config = tmp_path / "train.yaml"
    config.write_text("dataset_name: a\ndataset_test_split: held_out\n")
    dataset_options, _, options, *_ = read(config)
    assert (dataset_options.dataset, options.eval_split) == ("a", "held_out")
    config.write_text("dataset_name: a\ndataset: b\n")
    with pytest.raises(ValueError, match="dataset says again what another key says"):
        read(config)
