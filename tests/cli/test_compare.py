"""`hf-datasel compare`."""

import json
import re
from pathlib import Path

import pytest
import yaml

from hf_datasel import Selection
from hf_datasel.cli import main
from tests.cli.lines import TRAINING
from tests.training.utility.evaluate_scripts import SCRIPT, modules_apart


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


def test_a_yardstick_an_order_and_a_metric_of_evaluate(tiny_files, unseen, tmp_path):
    script = tmp_path / "overlap.py"
    script.write_text(SCRIPT)
    shape = "--budgets 0.5 --seeds 1 --selection_num_checkpoints 2 --methods confidence_curriculum oracle --metrics"
    methods = {"oracle": {"column": "source", "good": "common"}, "confidence_curriculum": {"full_at": 1.0}}
    metrics = {str(script): {"entry": "wrong", "greater_is_better": False, "max_new_tokens": 3}}
    more = ["--method_options", json.dumps(methods), "--metric_options", json.dumps(metrics)]
    with modules_apart(tmp_path / "modules"):
        assert main(line(tiny_files, unseen, tmp_path / "out", *shape.split(), "loss", str(script), *more)) == 0
    result = json.loads((tmp_path / "out" / "result.json").read_text())
    assert (result["yardsticks"], result["on_all"]) == (["oracle"], ["confidence_curriculum"])
    assert {name: one["higher_is_better"] for name, one in result["metrics"].items()} == {
        "loss": False,
        "overlap.wrong": False,
    }
    rows = [json.loads(text) for text in tiny_files.data.read_text().splitlines()]
    kept = Selection.load(tmp_path / "out" / "selections" / "oracle-0.5-42").ids
    assert {rows[number]["source"] for number in kept} == {"common"}
    cell = json.loads((tmp_path / "out" / "cells" / "confidence_curriculum-1.0-42.json").read_text())
    assert (cell["num_kept"], cell["steps"]) == (40, 4)
    assert 0 <= cell["metrics"]["overlap.wrong"]["all"] <= 1


@pytest.mark.parametrize(
    ("code", "more", "message"),
    [
        (2, (), "required: --methods"),
        (2, ("--methods", "s2l", "--budgets", "many"), "--budgets: 'many' is neither a number"),
        (2, ("--methods", "s2l", "--equal", "time"), "--equal: invalid choice: 'time'"),
        (2, ("--methods", "s2l", "--method_options", "{"), "--method_options: '{' is no JSON"),
        (2, ("--methods", "s2l", "--method_options", '{"s3l": {}}'), "--method_options: s3l is none of --methods s2l"),
        (2, ("--methods", "s2l", "--method_options", '{"s2l": 3}'), "s2l has 3, no JSON object"),
        (2, ("--methods", "s2l", "--metric_options", '{"bleu": {}}'), "bleu is none of --metrics loss exact_match"),
        (2, ("--methods", "s2l", "--metric_options", '{"loss": {"entry": "a"}}'), "loss has no options"),
        (
            2,
            ("--methods", "s2l", "--metrics", "x.py", "--metric_options", '{"x.py": {"entri": 1}}'),
            r"entri is no option of x.py \(entry, greater_is_better, max_new_tokens, batch_size\)",
        ),
        (
            2,
            ("--methods", "s2l", "--metrics", "x.py", "--metric_options", '{"x.py": {"greater_is_better": "no"}}'),
            "greater_is_better of x.py must be true or false",
        ),
        (1, ("--methods", "oracle"), "oracle at 0.05: 'oracle' is told which rows are good: name the column"),
        (
            1,
            ("--methods", "oracle", "--method_options", '{"oracle": {"column": "source"}}'),
            "'source' is of string, and good=True is no value of it",
        ),
        (1, ("--methods", "s2l", "--metrics", "no/such.py"), "metric='no/such.py' is not .*evaluate cannot load it"),
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
