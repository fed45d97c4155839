"""`hf-datasel compare`."""

import json
import re
from pathlib import Path

import pytest
import yaml

from hf_datasel.cli import main
from tests.cli.lines import TRAINING


@pytest.fixture(scope="module")
def unseen(tmp_path_factory):
    """Test rows that are none of the tiny dataset's, which are of shorter questions."""
    path = tmp_path_factory.mktemp("unseen") / "test.jsonl"
    rows = [
        {"prompt": "red green blue one two three plus", "completion": f" {word} is so", "source": source}
        for word, source in (("one", "common"), ("two", "rare"), ("three", "common"))
    ]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def line(tiny_files, unseen, folder, *more):
    named = ("--dataset", tiny_files.data, "--test_dataset", unseen, "--model_name_or_path", tiny_files.model)
    return ["compare", *map(str, named), *TRAINING, "--output_dir", str(folder), *more]


def test_a_comparison_from_the_command_line_and_from_yaml(tiny_files, unseen, tmp_path, capsys):
    shape = "--budgets 0.25,8 --seeds 1 --group_column source --selection_num_checkpoints 2 --metrics exact_match loss"
    methods = ["--methods", "longest", "rare=s2l", "--method_options", '{"rare": {"num_clusters": 2}}']
    assert main(line(tiny_files, unseen, tmp_path / "one", *shape.split(), *methods)) == 0
    captured = capsys.readouterr()
    assert f"Report: {tmp_path / 'one' / 'report' / 'report.md'}" in captured.out
    assert "By exact_match" in captured.out or "Measured by exact_match" in captured.out
    assert "%|" not in captured.err
    result = json.loads((tmp_path / "one" / "result.json").read_text())
    assert result["methods"] == ["random", "longest", "rare"]
    assert result["budgets"] == [8, 0.25]
    assert result["groups"] == ["all", "common", "rare"]
    cells = sorted(path.stem for path in (tmp_path / "one" / "cells").glob("*.json"))
    assert cells == sorted(
        [*(f"{name}-{budget}-42" for name in ("random", "longest", "rare") for budget in ("0.25", "8")), "full-1.0-42"]
    )
    (step,) = json.loads((tmp_path / "one/selections/rare-8-42/manifest.json").read_text())["provenance"]
    assert (step["selector"], step["config"]["num_clusters"], step["num_kept"]) == ("s2l", 2, 8)

    options = {"methods": ["longest", "rare=s2l"], "budgets": [0.25, 8], "num_seeds": 1, "group_column": "source"}
    options |= {"selection_num_checkpoints": 2, "metrics": ["exact_match", "loss"]}
    options |= {"method_options": {"rare": {"num_clusters": 2}}}
    config = tmp_path / "compare.yaml"
    config.write_text(yaml.safe_dump(options))
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "one" / "cells").glob("*.json")}
    assert main(line(tiny_files, unseen, tmp_path / "one", "--config", str(config))) == 0
    assert {path: path.stat().st_mtime_ns for path in before} == before, "the same comparison, which was done"


@pytest.mark.parametrize(
    ("code", "more", "message"),
    [
        (2, (), "required: --methods"),
        (2, ("--methods", "s2l", "--budgets", "many"), "--budgets: 'many' is neither a number"),
        (2, ("--methods", "s2l", "--equal", "time"), "--equal: invalid choice: 'time'"),
        (2, ("--methods", "s2l", "--method_options", "{"), "--method_options: '{' is no JSON"),
        (2, ("--methods", "s2l", "--method_options", '{"s3l": {}}'), "--method_options: s3l is none of --methods s2l"),
        (2, ("--methods", "s2l", "--method_options", '{"s2l": 3}'), "s2l has 3, no JSON object"),
        (1, ("--methods", "s2l", "--budgets", "41"), "random at 41: .*there are 40 candidates"),
        (1, ("--methods", "s2l", "--num_seeds", "0"), "num_seeds=0: at least one repetition"),
        (1, ("--methods", "s2l", "--selection_budget", "0.1"), "selection_budget=0.1 is of a single selection"),
        (1, ("--methods", "s2l", "--test_dataset", "nowhere.jsonl"), "--test_dataset nowhere.jsonl: there is no such"),
    ],
)
def test_what_is_wrong_is_said_in_a_line(tiny_files, unseen, tmp_path, failing, code, more, message):
    told = failing(code, *line(tiny_files, unseen, tmp_path / "out", *more))
    assert re.search(message, told), told
    assert not Path(tmp_path / "out" / "comparison.json").exists()


def test_test_rows_are_needed(tiny_files, failing):
    told = failing(2, "compare", "--dataset", tiny_files.data, "--methods", "s2l")
    assert "required: --test_dataset" in told
