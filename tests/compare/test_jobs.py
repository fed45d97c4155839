"""Cells: what is trained is what a user would train by hand, once, wherever the comparison was killed."""

import json
import math
import os
import subprocess
import sys
from pathlib import Path
from unittest import mock

import numpy as np
import pytest
import torch
from trl import SFTTrainer

from hf_datasel import Selection
from hf_datasel.compare.inputs import Inputs
from hf_datasel.compare.jobs import Measure, is_better_low
from hf_datasel.compare.plan import Method, Plan
from hf_datasel.training.utility import EvaluateMetric
from tests.compare import kill_and_continue, share_cells
from tests.compare.comparing import NUM_ROWS, NUM_TEST, STEPS, arguments, compare, train_rows, unseen_rows
from tests.compare.comparing import watched_trainings as watched
from tests.training.launching import launch
from tests.training.reference import reference_losses
from tests.training.selecting import anchor_rows, lora, validation_rows, weights
from tests.training.tiny import make_dataset, tiny_model, word_tokenizer

ROOT = Path(__file__).parents[2]
METHODS = ["s2l", "perplexity:0.75,s2l"]
SEEDS = (42, 43)
# A loss is the end of some sixty roundings in a row, each relative to numbers of the loss's size.
TOLERANCE = 64 * float(np.finfo(np.float32).eps)


def cells_of(folder):
    return {path.stem: json.loads(path.read_text()) for path in sorted((folder / "cells").glob("*.json"))}


def without_seconds(cell):
    return {name: value for name, value in cell.items() if not name.endswith("seconds")}


@pytest.fixture(scope="module")
def done(tmp_path_factory):
    """A comparison, the ids of each training, and the model that each cell came to."""
    folder, models, of_trainer = tmp_path_factory.mktemp("done"), [], Measure.of_trainer

    def kept(measure, trainer):
        models.append(trainer.model)
        return of_trainer(measure, trainer)

    with watched() as trained, mock.patch.object(Measure, "of_trainer", kept):
        comparison = compare(folder, methods=METHODS, num_seeds=2, group_column="source", peft_config=lora())
    return folder, comparison, trained, models


def test_losses_are_recorded_once_for_all_methods_and_every_cell_is_trained_once(done):
    folder, _, trained, _ = done
    assert len(list((folder / "evidence").iterdir())) == 1
    assert trained[0] == list(range(NUM_ROWS)), "the proxy's, on everything"
    names = [f"{name}-{seed}" for seed in SEEDS for name in ("random-0.5", "s2l-0.5", "perplexity_0.75_s2l-0.5")]
    selections = {name: Selection.load(folder / "selections" / name).ids.tolist() for name in names}
    everything = [list(range(NUM_ROWS))] * len(SEEDS)
    assert sorted(trained[1:]) == sorted([*selections.values(), *everything])
    assert sorted(cells_of(folder)) == sorted([*names, *(f"full-1.0-{seed}" for seed in SEEDS)])
    assert selections["random-0.5-42"] != selections["random-0.5-43"], "a seed draws rows of its own"


def test_a_cell_says_what_was_done(done):
    folder, _, _, _ = done
    for name, cell in cells_of(folder).items():
        method = name.split("-")[0].replace("_0.75_", ":0.75,")
        kept = NUM_ROWS if method == "full" else NUM_ROWS // 2
        assert (cell["method"], cell["num_kept"], cell["steps"]) == (method, kept, STEPS)
        assert cell["select_seconds"] > 0
        assert cell["train_seconds"] > 0
        assert set(cell["metrics"]) == {"loss", "exact_match"}
        assert all(set(values) == {"all", "even", "odd"} for values in cell["metrics"].values())


@pytest.mark.parametrize("number", [1, 6])
def test_a_cell_is_an_sft_trainer_on_the_chosen_rows_bit_for_bit(done, tmp_path, number):
    folder, _, _, models = done
    cell = Plan(METHODS, [0.5], num_seeds=2).cells()[number]
    chosen = Selection.load(folder / "selections" / cell.name).apply(train_rows())
    plain = by_hand(tmp_path, chosen, seed=cell.seed, max_steps=STEPS, peft_config=lora())
    assert torch.equal(weights(plain), torch.cat([part.detach().flatten() for part in models[number].parameters()]))
    found = cells_of(folder)[cell.name]["metrics"]
    assert found == measured(plain)
    rows = unseen_rows()
    losses = np.array(reference_losses(plain.model, rows, word_tokenizer()))
    lengths = np.array([len(text.split()) + 1 for text in rows["completion"]])  # the end of the text is one more
    for group in ("all", "even", "odd"):
        picked = np.array([group in ("all", source) for source in rows["source"]])
        expected = float(np.average(losses[picked], weights=lengths[picked]))
        assert found["loss"][group] == pytest.approx(expected, rel=TOLERANCE)


def by_hand(folder, dataset, *, peft_config=None, **options):
    """What a user would do."""
    trainer = SFTTrainer(
        tiny_model(),
        args=arguments(folder, **options),
        train_dataset=dataset,
        processing_class=word_tokenizer(),
        peft_config=peft_config,
    )
    trainer.train()
    return trainer


def measured(trainer):
    plan = Plan(["s2l"], [0.5], group_column="source")
    return inputs(Path(trainer.args.output_dir)).prepare(plan).measure.of_trainer(trainer)


def inputs(folder, *, train=None, **options):
    peft_config = options.pop("peft_config", None)
    return Inputs.checked(
        arguments(folder, **options),
        train_rows() if train is None else train,
        model=tiny_model(),
        test=unseen_rows(),
        processing_class=word_tokenizer(),
        peft_config=peft_config,
        proxy_model=None,
    )


@pytest.mark.parametrize("case", ["weights", "packed", "any order", "cut"])
def test_equal_epochs_are_those_of_an_sft_trainer_too(tmp_path, case):
    options = {"packed": {"packing": True, "max_length": 32}, "cut": {"max_length": 9}}.get(case, {})
    train = train_rows(26 if case == "cut" else NUM_ROWS)  # of 26 rows three lose all labels
    if case == "any order":
        train = train.shuffle(seed=3)
    ids = np.arange(0, len(train), 2)
    target = inputs(tmp_path, train=train, **options).prepare(Plan(["s2l"], [0.5])).target
    with target.training(7).trained(ids) as trainer:
        found, steps = weights(trainer), trainer.state.global_step
    chosen = train.filter(lambda row: row["example_id"] in ids)
    plain = by_hand(tmp_path, chosen, seed=7, **options)
    assert torch.equal(found, weights(plain))
    assert steps == plain.state.global_step
    assert not torch.equal(found, torch.cat([part.flatten() for part in tiny_model().parameters()]))
    assert target.num_steps() == by_hand(tmp_path, train, **options).state.global_step


def test_metrics_of_ones_own_and_error_rates_are_reported_as_they_are_told(tmp_path):
    class Errors(EvaluateMetric):
        """An error rate that needs no library."""

        def __init__(self):
            self.name, self.greater_is_better = "errors", False

        def describe(self):
            return {"name": self.name}

        def measure(self, trainer, dev, groups):
            return [-0.25 - len(rows) for rows in groups]

    def longest(model, rows):
        assert not model.training
        return [len(tokens) for tokens in rows["input_ids"]]

    plan = Plan(["s2l"], [0.5], metrics=["loss", longest, Errors()], group_column="source")
    assert plan.metric_names == ["loss", "longest", "errors"]
    ready = inputs(tmp_path).prepare(plan)
    assert [is_better_low(metric) for metric in ready.measure.metrics.values()] == [True, False, True]
    with ready.target.training(42).start(np.arange(2)) as trainer:
        found = ready.measure.of_trainer(trainer)
    assert found["errors"] == {"all": 5.25, "even": 3.25, "odd": 2.25}
    lengths = np.array([len(tokens) for tokens in ready.measure.test["input_ids"]])
    assert found["longest"] == {"all": lengths.mean(), "even": lengths[::2].mean(), "odd": lengths[1::2].mean()}
    assert found["loss"]["all"] > 0


def test_a_comparison_called_again_does_what_is_missing(done, tmp_path):
    folder, comparison, _, _ = done
    before = cells_of(folder)
    missing = folder / "cells" / "s2l-0.5-43.json"
    missing.unlink()
    others = {path: path.stat().st_mtime_ns for path in (folder / "cells").glob("*.json")}
    options = {"num_seeds": 2, "group_column": "source", "peft_config": lora()}
    with watched() as trained:
        again = compare(folder, methods=[*METHODS, "longest"], **options)
    ids = [
        Selection.load(folder / "selections" / f"{name}-0.5-{seed}").ids.tolist()
        for name, seed in (("s2l", 43), ("longest", 42), ("longest", 43))
    ]
    assert sorted(trained) == sorted(ids), "the missing one, and those of the new method"
    assert without_seconds(before["s2l-0.5-43"]) == without_seconds(cells_of(folder)["s2l-0.5-43"])
    assert {path: path.stat().st_mtime_ns for path in others} == others
    assert set(again.result["methods"]) == {*comparison.result["methods"], "longest"}


def test_another_comparison_is_refused_and_says_what_differs(done):
    folder = done[0]
    options = {"num_seeds": 2, "group_column": "source", "peft_config": lora()}
    for other, message in (
        ({"learning_rate": 0.5}, r"recipe.learning_rate \(0.01 there, 0.5 here\)"),
        ({"equal": "epochs"}, r'equal \("steps" there, "epochs" here\)'),
        ({"methods": [Method("s2l", options={"num_iterations": 5})]}, "methods.s2l.options.num_iterations"),
        ({"model": tiny_model(seed=1)}, "model.digest"),
        ({"train_dataset": make_dataset(num_rows=NUM_ROWS, seed=9)}, "dataset"),
    ):
        with pytest.raises(ValueError, match=f"holds another comparison: .*{message}"):
            compare(folder, **{"methods": METHODS, **options, **other})


def test_a_folder_of_something_else_is_left_alone(tmp_path):
    (tmp_path / "cells").mkdir()
    with pytest.raises(FileExistsError, match="'cells', which no comparison wrote"):
        compare(tmp_path)


def test_a_cell_that_fails_is_named(tmp_path):
    with pytest.raises(RuntimeError, match=r"random at 0\.5, seed 42: ValueError: its training loss is nan"):
        compare(tmp_path, methods=["longest"], learning_rate=math.inf, max_grad_norm=0.0)
    assert not cells_of(tmp_path)


LEAKS = {"test_dataset": train_rows().select([3]).remove_columns("example_id")}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"budgets": [17]}, "random at 17: .*there are 16 candidates"),
        ({"methods": ["s3l"]}, "s3l at 0.5: selection_method='s3l' is not known; choose one of"),
        ({"methods": ["clues"]}, "clues at 0.5: .*pass validation_dataset="),
        ({"methods": ["bm25"]}, "bm25 at 0.5: .*pass validation_dataset="),
        ({"methods": ["clues,s2l"], "validation_dataset": validation_rows()}, "pass anchor_dataset="),
        ({"methods": ["s2l,longest"]}, "'s2l' goes before another method, so it must say how much it keeps"),
        ({"methods": ["perplexity:0.25,s2l"]}, "'s2l'.* asks for 8 of 16 rows, but .* keeps 4"),
        ({"methods": ["s2l:0.25"]}, "both say how much 's2l' keeps"),
        ({"methods": [Method("s2l", options={"num_cluster": 3})]}, "num_cluster is no hyperparameter of S2LSelector"),
        ({"validation_dataset": validation_rows()}, r"None of the methods \['random', 's2l', 'full'\] reads valid"),
        ({"anchor_dataset": anchor_rows()}, "reads anchor_dataset: leave it out"),
        ({"num_seeds": 0}, "num_seeds=0"),
        ({"group_column": "language"}, "group_column='language' is not a column of test_dataset"),
        ({"equal": "epochs", "max_steps": 3}, "equal='epochs' .*max_steps=3"),
        ({"selection_budget": 0.5}, "selection_budget=0.5 is of a single selection"),
        ({"selection_threshold": "mean"}, "selection_threshold='mean' is of a single selection"),
        ({"selection_curriculum": "confidence"}, "selection_curriculum='confidence' is of a single"),
        ({"selection_same_steps": True}, "selection_same_steps=True is of a single selection"),
        ({"proxy_model": tiny_model(), "metrics": ["no such"]}, "metric='no such' is not 'log_likelihood'"),
        (LEAKS, "Row 0 of test_dataset is also training example 3"),
        (
            {"methods": ["bm25"], "validation_dataset": unseen_rows().select([2])},
            "Row 2 of test_dataset is also row of validation_dataset, number 0",
        ),
    ],
)
def test_what_cannot_be_compared_is_refused_before_any_work(tmp_path, options, message):
    with watched() as trained, pytest.raises(ValueError, match=message):
        compare(tmp_path, **options)
    assert trained == []
    assert not list(tmp_path.iterdir())


def test_a_comparison_that_was_killed_ends_as_one_that_was_not(tmp_path):
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-W", "ignore", kill_and_continue.__file__, str(tmp_path)]
    ended = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300, check=False)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    whole, killed = (cells_of(tmp_path / name) for name in ("whole", "killed"))
    assert len(whole) == 3
    assert {name: without_seconds(cell) for name, cell in killed.items()} == {
        name: without_seconds(cell) for name, cell in whole.items()
    }
    for name in ("evidence/*/trace/columns/*.npy", "selections/*/kept.npy"):
        files = [sorted((tmp_path / run).glob(name)) for run in ("whole", "killed")]
        assert [file.read_bytes() for file in files[0]] == [file.read_bytes() for file in files[1]] != []
    results = [json.loads((tmp_path / run / "result.json").read_text()) for run in ("whole", "killed")]
    assert results[0]["metrics"] == results[1]["metrics"]


def test_two_processes_share_the_cells(tmp_path):
    ended = launch(share_cells.__file__, tmp_path)
    assert ended.returncode == 0, ended.stderr
    ranks = [json.loads((tmp_path / f"rank{rank}.json").read_text()) for rank in (0, 1)]
    assert ranks[0]["verdict"] == ranks[1]["verdict"]
    assert all(rank["num_processes"] == 2 for rank in ranks)
    cells = cells_of(tmp_path / "two")
    assert sorted(ranks[0]["done"] + ranks[1]["done"]) == sorted(cells)
    assert ranks[0]["done"], "both work"
    assert ranks[1]["done"], "both work"
    (cost,) = (tmp_path / "two" / "evidence").glob("*/cost.json")
    assert json.loads(cost.read_text()).items() >= {"forwards": 3 * NUM_ROWS, "backwards": NUM_ROWS}.items()
    compare(tmp_path / "one", num_seeds=2)
    one = cells_of(tmp_path / "one")
    alike = [name for name in one if not name.startswith("s2l")]  # whose proxy had batches of both processes
    assert [without_seconds(cells[name]) for name in alike] == [without_seconds(one[name]) for name in alike]
    assert len(alike) == 4
    assert len(unseen_rows()) == NUM_TEST
