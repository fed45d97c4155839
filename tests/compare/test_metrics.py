"""Metrics of `evaluate`, loaded from a path: what a comparison says of them is what they are."""

import json
import re

import numpy as np
import pytest

from hf_datasel.training.utility import EvaluateMetric
from tests.compare.comparing import NUM_ROWS, NUM_TEST, compare, train_rows, unseen_rows, watched_trainings
from tests.training.tiny import WORDS, make_dataset
from tests.training.utility.evaluate_scripts import SCRIPT, modules_apart

LEARNED, OTHER = WORDS[:2]
DISTANCE = SCRIPT.replace(
    "right = ", "return {'distance': sum(a != b for a, b in zip(predictions, references))}\n        "
)
NUM_EVEN = (NUM_TEST + 1) // 2


def answering(rows, answers):
    return rows.remove_columns("completion").add_column("completion", [f" {answer}" for answer in answers])


def data():
    """All training rows have one answer, which is learned; of the test rows those of the source "even" have it."""
    train, test = train_rows(), unseen_rows()
    answers = [LEARNED if source == "even" else OTHER for source in test["source"]]
    return {"train_dataset": answering(train, [LEARNED] * NUM_ROWS), "test_dataset": answering(test, answers)}


@pytest.fixture(scope="module")
def done(tmp_path_factory):
    """Shares and errors of both scripts: one has two entries, of the other a single one."""
    root = tmp_path_factory.mktemp("metrics")
    for name, script in (("overlap", SCRIPT), ("distance", DISTANCE)):
        (root / f"{name}.py").write_text(script)
    with modules_apart(root / "modules"):
        overlap = str(root / "overlap.py")
        metrics = [
            EvaluateMetric(overlap, entry="wrong", greater_is_better=False, max_new_tokens=4),
            "exact_match",
            EvaluateMetric(overlap, entry="right", max_new_tokens=4),
            EvaluateMetric(str(root / "distance.py"), greater_is_better=False, max_new_tokens=4),
        ]
        shape = {"num_seeds": 2, "group_column": "source", "max_steps": 30}
        yield root, compare(root / "compare", methods=["longest"], metrics=metrics, **shape, **data())


def test_values_are_those_of_the_metric_on_each_group(done):
    root, _ = done
    cells = [json.loads(path.read_text()) for path in (root / "compare" / "cells").glob("*.json")]
    assert len(cells) == 6
    for cell in cells:
        found = cell["metrics"]
        assert found["exact_match"] == {"all": NUM_EVEN / NUM_TEST, "even": 1.0, "odd": 0.0}, "what was learned"
        assert found["overlap.right"] == found["exact_match"]
        assert found["overlap.wrong"] == {group: 1 - value for group, value in found["exact_match"].items()}
        assert found["distance"] == {"all": NUM_TEST - NUM_EVEN, "even": 0, "odd": NUM_TEST - NUM_EVEN}


def test_directions_and_names_are_told(done):
    root, comparison = done
    measured = comparison.result["metrics"]
    assert {name: one["higher_is_better"] for name, one in measured.items()} == {
        "overlap.wrong": False,
        "exact_match": True,
        "overlap.right": True,
        "distance": False,
    }
    assert comparison.verdict.startswith("Measured by overlap.wrong (lower is better) over 2 seeds")
    assert "The lowest mean of a subset is 0.4" in comparison.verdict
    assert "did better" not in comparison.verdict, "every model has learned the same"
    assert re.findall(r"^## (.*is better\))$", comparison.markdown(), re.MULTILINE) == [
        "overlap.wrong (lower is better)",
        "exact\\_match (higher is better)",
        "overlap.right (higher is better)",
        "distance (lower is better)",
    ]
    assert str(root) not in json.dumps(comparison.result), "a name, not a place"
    assert (root / "compare" / "report" / "overlap.wrong_by_budget.png").is_file()


@pytest.mark.parametrize(
    ("metric", "options", "message"),
    [
        ("overlap.py", {}, r"returns \['right', 'wrong'\]: choose one, as in EvaluateMetric\("),
        ("missing.py", {}, "evaluate cannot load it .*Without a network, give the path of the metric's script"),
        (
            "distance.py",
            {"train_dataset": make_dataset("text", 8), "test_dataset": make_dataset("text", 3, seed=100)},
            "row 0 has no question before its answer",
        ),
    ],
)
def test_what_cannot_be_measured_is_refused_before_any_work(done, tmp_path, metric, options, message):
    root, _ = done
    with watched_trainings() as trained, pytest.raises(ValueError, match=message):
        compare(tmp_path, metrics=["loss", str(root / metric)], **{**data(), **options})
    assert trained == []
    assert not list(tmp_path.iterdir())


def test_a_script_that_has_changed_is_another_metric(tmp_path):
    script = tmp_path / "distance.py"
    options = {"methods": ["longest"], "metrics": [str(script)], "num_seeds": 1, "max_steps": 1, **data()}
    for number, text in enumerate((DISTANCE, DISTANCE.replace("a != b", "a == b"))):
        script.write_text(text)
        with modules_apart(tmp_path / f"modules{number}"):
            if number == 0:
                compare(tmp_path / "compare", **options)
                compare(tmp_path / "compare", **options)
            else:
                with pytest.raises(ValueError, match="metrics"):
                    compare(tmp_path / "compare", **options)


def test_a_value_that_is_no_number_is_refused_by_name(done, tmp_path):
    class Nothing:
        """Knows no answer of the second group."""

        name = "nothing"

        def describe(self):
            return {"name": self.name}

        def measure(self, trainer, dev, groups):
            return [np.nan if len(rows) < NUM_EVEN else 1.0 for rows in groups]

    message = "random at 0.5, seed 42: ValueError: metric 'nothing' is nan on 'odd': it has to be a finite number"
    with pytest.raises(RuntimeError, match=message):
        compare(tmp_path, methods=["longest"], metrics=[Nothing()], group_column="source")
