"""The oracle in a comparison: a yardstick that draws rows which a column says are good."""

import json

import numpy as np
import pytest

from hf_datasel import Selection
from hf_datasel.compare.plan import Method
from tests.compare.comparing import NUM_ROWS, compare, train_rows, watched_trainings

NUM_GOOD = 6
BAD = "corrupted"


def rows():
    """Six rows are good: every third one."""
    good = [row % 3 == 0 for row in range(NUM_ROWS)]
    kinds = ["clean" if one else "odd" for one in good]
    return train_rows().add_column("clean", good).add_column(BAD, [not one for one in good]).add_column("kind", kinds)


GOOD = set(range(0, NUM_ROWS, 3))
ORACLE = Method("oracle", options={"column": "clean"})
SAME = Method("by kind", "oracle", {"column": "kind", "good": "clean"})
TURNED = Method("turned", "oracle", {"column": BAD, "good": False})
WORST = Method("worst", "oracle", {"column": BAD})
CHAIN = Method("oracle,longest", options={"oracle": {"column": "clean"}})
AMONG = Method("easy", "perplexity,random", {"perplexity": {"threshold": 1e6}})


@pytest.fixture(scope="module")
def done(tmp_path_factory):
    folder = tmp_path_factory.mktemp("oracle")
    methods = [ORACLE, SAME, TURNED, WORST, CHAIN, AMONG]
    return folder, compare(
        folder, train_dataset=rows(), methods=methods, budgets=[0.25], num_seeds=2, metrics=["loss"]
    )


def ids_of(folder, name, seed):
    return Selection.load(folder / "selections" / f"{name}-0.25-{seed}").ids.tolist()


def test_it_draws_rows_that_are_good_by_their_column(done):
    folder, _ = done
    drawn = {seed: ids_of(folder, "oracle", seed) for seed in (42, 43)}
    assert [len(ids) for ids in drawn.values()] == [4, 4]
    assert set().union(*drawn.values()) <= GOOD
    assert drawn[42] != drawn[43], "a repetition draws rows of its own"
    for seed, ids in drawn.items():
        assert ids_of(folder, "by_kind", seed) == ids_of(folder, "turned", seed) == ids
        assert not GOOD & set(ids_of(folder, "worst", seed))
        assert set(ids_of(folder, "oracle_longest", seed)) < GOOD


def test_its_truth_is_read_once_a_column_and_trains_nothing(done):
    folder, comparison = done
    assert len(list((folder / "evidence").glob("clean-*"))) == 4, "two columns, one by both values, and labels"
    (cost,) = (one for one in comparison.result["costs"]["methods"] if one["method"] == "oracle")
    assert (cost["forwards"], cost["backwards"], cost["fine_tunes"]) == (0, 0, 0)
    assert cost["evidence"][0].startswith("clean-")


def test_it_is_no_choice_that_the_verdict_speaks_of(done):
    _, comparison = done
    result = comparison.result
    assert result["yardsticks"] == ["oracle", "by kind", "turned", "worst", "oracle,longest"], "a chain with it, too"
    assert "easy" in result["methods"]
    for label in result["yardsticks"]:
        assert f"{label}, a yardstick that is told what nobody knows, has " in comparison.verdict
    best = comparison.verdict.partition("mean of a subset is ")[2].partition(";")[0]
    assert best.rpartition(", of ")[2] in ("random at 25% of the rows", "easy at 25% of the rows")
    assert "oracle is a yardstick and no method" in comparison.markdown()


def test_it_may_be_added_to_a_comparison_that_began_without_it(tmp_path):
    options = {"train_dataset": rows(), "budgets": [0.25], "metrics": ["loss"]}
    compare(tmp_path, methods=["longest"], **options)
    with watched_trainings() as trained:
        again = compare(tmp_path, methods=["longest", ORACLE], **options)
    assert trained == [ids_of(tmp_path, "oracle", 42)]
    assert again.result["yardsticks"] == ["oracle"]
    with pytest.raises(ValueError, match=r'methods.oracle.options.column \("clean" there, "kind" here\)'):
        compare(tmp_path, methods=[Method("oracle", options=SAME.options)], **options)
    assert json.loads((tmp_path / "result.json").read_text())["methods"] == ["random", "longest", "oracle"]


@pytest.mark.parametrize(
    ("method", "budgets", "message"),
    [
        (
            "oracle",
            [0.25],
            r"oracle at 0.25: .*name the column of train_dataset .*Method\(.oracle.*--method_options '\{",
        ),
        ("oracle,s2l", [0.25], "oracle,s2l at 0.25: 'oracle' is told which rows are good: name the column"),
        (Method("oracle", options={"column": "cleen"}), [0.25], "oracle at 0.25: .*no column 'cleen', only"),
        (Method("oracle", options={"column": "kind"}), [0.25], "'kind' is of string, and good=True is no value of it"),
        (Method("oracle", options={"column": "kind", "good": "x"}), [0.25], r"only \['clean', 'odd'\]"),
        (Method("oracle", options={"colum": "kind"}), [0.25], "colum is no hyperparameter of OracleSelector"),
        (
            ORACLE,
            [0.25, 0.5],
            r"oracle at 0.5: 'oracle' is to keep 8 rows, but only 6 of 16 are good \(column 'clean'",
        ),
        (ORACLE, [7], "oracle at 7: 'oracle' is to keep 7 rows, but only 6"),
        (CHAIN, [7], "oracle,longest at 7: 'longest' is to keep 7 rows, but only 6"),
        (
            Method("longest:0.5,oracle", options={"oracle": {"column": "clean"}}),
            [7],
            "'oracle' is to keep 7 rows, but only 6",
        ),
        (
            Method("perplexity", options={"threshold": 2.0}),
            [4],
            r'perplexity at 4: .*threshold=2.0.*"perplexity,random" with the options \{"perplexity": \{"threshold": 2',
        ),
        (
            Method("perplexity", options={"threshold": 2.0, "budget": None}),
            [4],
            "perplexity at 4: the option threshold=2.0 says how much 'perplexity' keeps",
        ),
        (Method("longest", options={"budget": 2}), [4], "longest at 4: the option budget=2 .*: leave it out.$"),
        (
            Method("perplexity:0.5,longest", options={"longest": {"budget": 2}}),
            [4],
            "the option budget=2 says how much 'longest' keeps",
        ),
    ],
)
def test_what_cannot_be_had_is_refused_before_any_work(tmp_path, method, budgets, message):
    with watched_trainings() as trained, pytest.raises(ValueError, match=message):
        compare(tmp_path, train_dataset=rows(), methods=[method], budgets=budgets)
    assert trained == []
    assert not list(tmp_path.iterdir())


def test_as_many_rows_as_are_good_can_be_had(tmp_path):
    compare(tmp_path, train_dataset=rows().shuffle(seed=1), methods=[ORACLE], budgets=[NUM_GOOD], metrics=["loss"])
    kept = Selection.load(tmp_path / "selections" / f"oracle-{NUM_GOOD}-42").ids
    np.testing.assert_array_equal(kept, sorted(GOOD))
