"""What is to be trained, under which names, and what is refused before that."""

import numpy as np
import pytest

from hf_datasel.compare.choosing import args_of
from hf_datasel.compare.plan import Cell, Method, Plan
from tests.training.selecting import config


def test_random_comes_first_and_everything_last_and_once():
    plan = Plan(["s2l", "perplexity:0.5,s2l"], [0.1, 30], num_seeds=2, seed=7)
    assert [method.label for method in plan.methods] == ["random", "s2l", "perplexity:0.5,s2l", "full"]
    assert [method.label for method in Plan(["full", "s2l", "random"], [0.1]).methods] == ["full", "s2l", "random"]
    one = [("random", 0.1), ("random", 30), ("s2l", 0.1), ("s2l", 30)]
    one += [("perplexity:0.5,s2l", 0.1), ("perplexity:0.5,s2l", 30), ("full", 1.0)]
    found = [(cell.method.label, cell.budget, cell.seed) for cell in plan.cells()]
    assert found == [(*place, seed) for seed in (7, 8) for place in one]


def test_files_are_named_by_label_budget_and_seed():
    method = Method.of("a b/c:0.5,s2l")
    assert [Cell(method, budget, 42).name for budget in (0.05, 3000)] == [
        "a_b_c_0.5_s2l-0.05-42",
        "a_b_c_0.5_s2l-3000-42",
    ]
    budgets = Plan(["s2l"], [np.float64(0.1), np.int64(3)]).budgets
    assert [type(budget) for budget in budgets] == [float, int]


def test_a_label_stands_before_its_chain():
    assert Method.of("published=clues:0.5,s2l") == Method("published", "clues:0.5,s2l")
    assert Method("clues", options={"score": "dot"}).describe() == {"chain": "clues", "options": {"score": "dot"}}


def test_the_confidence_curriculum_has_one_budget_under_whatever_label():
    plan = Plan(["easy=confidence_curriculum", "s2l"], [0.1, 0.2], num_seeds=1)
    found = [(cell.method.label, cell.budget) for cell in plan.cells() if cell.method.is_on_all]
    assert found == [("easy", 1.0), ("full", 1.0)]


class Rouge:
    """As an `EvaluateMetric` says it."""

    name, entry = "rouge", "rougeL"


@pytest.mark.parametrize(
    ("metric", "name"),
    [
        ("exact_match", "exact_match"),
        ("/some/where/overlap.py", "overlap"),
        ("metrics/overlap", "overlap"),
        ("user/overlap", "overlap"),
        (Rouge(), "rouge.rougeL"),
        (len, "len"),
    ],
)
def test_metrics_are_called_by_the_last_part_of_their_path(metric, name):
    assert Plan(["s2l"], [0.1], metrics=[metric]).metric_names == [name]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"num_seeds": 0}, "num_seeds=0: at least one repetition"),
        ({"num_seeds": True}, "num_seeds=True: at least one"),
        ({"num_seeds": 1.0}, "num_seeds=1.0: at least one"),
        ({"budgets": []}, r"budgets=\[\] must be a list of one or more"),
        ({"budgets": [0.1, 1.5]}, "budgets: 1.5 is neither a share"),
        ({"budgets": [0]}, "budgets: 0 is neither a share"),
        ({"budgets": [True]}, "budgets: True is neither a share"),
        ({"budgets": [0.1, 0.1]}, "budgets: 0.1 is there twice"),
        ({"methods": "s2l"}, "methods='s2l' must be a list"),
        ({"methods": ["s2l", "s2l"]}, "methods: s2l is there twice.*label of its own"),
        ({"methods": ["a b=s2l", "a_b=clues"]}, "methods: a_b is there twice"),
        ({"methods": ["mine=full"]}, "the label 'mine' with the chain 'full': 'full' is always there"),
        ({"methods": ["random=s2l"]}, "the label 'random' with the chain 's2l': 'random' is always there"),
        ({"methods": [Method("full", options={"budget": 0.5})]}, "'full' is always there, .* without options"),
        ({"equal": "time"}, r"equal='time' must be one of \('steps', 'epochs'\)"),
        ({"metrics": ["loss", "loss"]}, "metrics: loss is there twice"),
        ({"metrics": ["a/x.py", "b/x.py"]}, "metrics: x is there twice"),
        ({"metrics": ()}, "metrics=.* must be a list of one or more"),
    ],
)
def test_what_is_out_of_range_is_refused(options, message):
    with pytest.raises(ValueError, match=message):
        Plan(**{"methods": ["s2l"], "budgets": [0.1], **options})


def test_a_method_becomes_the_arguments_of_a_run_of_its_own(tmp_path):
    args = config(tmp_path, selection_budget=None, selection_strata_column="source")
    one = args_of(Method("clues", options={"score": "dot"}), args, 0.25, 43)
    assert (one.selection_method, one.selection_options) == ("clues", {"score": "dot"})
    assert (one.selection_budget, one.selection_seed, one.selection_strata_column) == (0.25, 43, "source")
    for everything in (args_of(Method(name), args, 1.0, 43) for name in ("full", "confidence_curriculum")):
        assert (everything.selection_budget, everything.selection_strata_column) == (None, None)
    assert (args.selection_method, args.selection_seed) == ("s2l", 42), "the run's own arguments stay"
