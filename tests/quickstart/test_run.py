"""The whole quickstart, small: what it leaves behind, and that it is continued and not repeated."""

import json
import re
import shutil
from pathlib import Path
from typing import Any

import matplotlib.image
import numpy as np
import pytest
from datasets import load_from_disk
from transformers import LlamaForCausalLM

from hf_datasel import LossTrajectoryCallback, Selection, Trace
from hf_datasel.quickstart import jobs
from hf_datasel.quickstart.plan import QuickstartArguments
from hf_datasel.quickstart.progress import Progress
from hf_datasel.quickstart.run import main, quickstart
from hf_datasel.quickstart.skills import SKILL_NAMES
from hf_datasel.quickstart.workers import one_thread
from hf_datasel.training.state import preserved_rng

OPTIONS: dict[str, Any] = {
    "smoke": True,
    "num_rows": 200,
    "budget": 0.25,
    "num_clusters": 6,
    "num_seeds": 2,
    "corrupted": 0.1,
    "num_workers": 1,
}


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("quickstart") / "run"
    quickstart(root, **OPTIONS)
    return root


@pytest.fixture
def trainings(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """Grows by one with every training that is begun."""
    begun: list[Path] = []
    make_trainer = jobs.make_trainer

    def counted(*args: Any, **kwargs: Any) -> Any:
        begun.append(kwargs["output_dir"])
        return make_trainer(*args, **kwargs)

    monkeypatch.setattr(jobs, "make_trainer", counted)
    return begun


def read(path: Path) -> dict[str, Any]:
    content: dict[str, Any] = json.loads(path.read_text())
    return content


def test_everything_it_writes_can_be_read(finished: Path) -> None:
    trace = Trace.load(finished / "trace")
    assert (trace.num_examples, trace.num_checkpoints) == (200, 4)
    trace.require_measured()
    influence = Trace.load(finished / "influence")
    assert (influence.metric, influence.mode, influence.num_checkpoints) == ("influence", "in_run", 1)
    assert influence.fingerprint == trace.fingerprint
    influence.require_measured()
    selection = Selection.load(finished / "selection")
    curated = load_from_disk(finished / "curated")
    assert len(selection) == len(curated) == 50
    assert sorted(curated["example_id"]) == selection.ids.tolist()
    assert selection.fingerprint == trace.fingerprint is not None
    for picture in ("trajectory_clusters", "exact_match", "skill_mix"):
        pixels = matplotlib.image.imread(finished / "figures" / f"{picture}.png")
        assert pixels.shape[0] > 300
        assert len(np.unique(pixels.reshape(-1, pixels.shape[-1]), axis=0)) > 20
        assert len((finished / "figures" / f"{picture}.csv").read_text().splitlines()) > 8
    assert not list(finished.rglob(".partial-*"))


def test_results_are_those_of_the_runs(finished: Path) -> None:
    results = read(finished / "results.json")
    assert set(results) == {"plan", "versions", "corpus", "arms", "differences", "runs"}
    assert {"torch", "transformers", "trl", "hf_datasel"} <= set(results["versions"])
    for arm in jobs.ARMS:
        runs = [read(jobs.run_path(finished, arm, index)) for index in (0, 1)]
        assert [run for run in results["runs"] if run["arm"] == arm] == runs
        assert [run["seed"] for run in runs] == [42, 43]
        told = results["arms"][arm]
        macro = [np.mean([run["exact_match"][skill] for skill in SKILL_NAMES]) for run in runs]
        assert told["macro_exact_match"]["mean"] == pytest.approx(np.mean(macro))
        assert told["macro_exact_match"]["standard_error"] == pytest.approx(np.std(macro, ddof=1) / np.sqrt(2))
    assert results["corpus"]["corrupted"] == pytest.approx(0.1)
    assert results["arms"]["everything"]["num_rows"] == 200


def test_selections_of_the_repetitions_differ(finished: Path) -> None:
    plan = jobs.Plan.from_arguments(QuickstartArguments(**OPTIONS))
    trace = Trace.load(finished / "trace")
    for choose in (jobs.select_s2l, jobs.select_random):
        assert choose(plan, trace, 0).ids.tolist() != choose(plan, trace, 1).ids.tolist()
    assert jobs.select_s2l(plan, trace, 0).ids.tolist() == Selection.load(finished / "selection").ids.tolist()


def test_shed_keeps_the_rows_worth_most_in_every_repetition(finished: Path) -> None:
    plan = jobs.Plan.from_arguments(QuickstartArguments(**OPTIONS))
    influence = Trace.load(finished / "influence")
    worth = influence.rows(0, 200).astype(np.float64) @ np.array(influence.learning_rates)
    best = sorted(influence.ids[np.argsort(-worth)[:50]])
    for index in (0, 1):
        assert jobs.select_shed(plan, influence, index).ids.tolist() == best


def test_every_subset_is_compared_with_random_and_with_everything(finished: Path) -> None:
    told = [(one["first"], one["second"]) for one in read(finished / "results.json")["differences"]]
    assert told[:4] == [(subset, other) for subset in ("S2L", "SHED") for other in ("random", "everything")]
    assert told[4:] == [("S2L", "SHED")]


def test_report_tells_the_numbers_of_the_results(finished: Path) -> None:
    results, report = read(finished / "results.json"), (finished / "report.md").read_text()
    for row, value in [
        (skill, results["arms"][arm]["exact_match"][skill]) for skill in SKILL_NAMES for arm in jobs.ARMS
    ] + [("macro average", results["arms"][arm]["macro_exact_match"]) for arm in jobs.ARMS]:
        line = next(line for line in report.splitlines() if line.startswith(f"| {row} |"))
        assert f"{value['mean']:.3f} ± {value['standard_error']:.3f}" in line
    for difference in results["differences"]:
        assert difference["verdict"] in report
    for picture in re.findall(r"!\[[^\]]+\]\(([^)]+)\)", report):
        assert (finished / picture).is_file()
    assert report.count("![") == 3


def test_a_finished_run_trains_nothing_again(
    finished: Path, trainings: list[Path], capsys: pytest.CaptureFixture[str]
) -> None:
    before = {path: path.read_bytes() for path in finished.rglob("*") if path.is_file()}
    quickstart(finished, **OPTIONS)
    assert not trainings
    assert {path: path.read_bytes() for path in finished.rglob("*") if path.is_file()} == before
    printed = capsys.readouterr().out
    assert "macro average" in printed
    assert "S2L - random" in printed


def test_a_killed_run_continues_to_the_same_results(
    finished: Path, tmp_path: Path, trainings: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Killed twice: in the middle of the recording, and in the middle of a target's training."""
    root = tmp_path / "run"

    def run_until(num_advances: int | None) -> None:
        seen = 0

        def advance(self: Progress, amount: float) -> None:
            nonlocal seen
            seen += 1
            if seen == num_advances:
                raise KeyboardInterrupt

        with monkeypatch.context() as patch:
            patch.setattr(Progress, "advance", advance)
            quickstart(root, **OPTIONS)

    for num_advances in (10 + 10 + 12, 20 + 1 + 11 + 5):  # steps, sweeps and tests advance the bar by one call each
        with pytest.raises(KeyboardInterrupt):
            run_until(num_advances)
    assert len(Trace.load(root / "trace").steps) == 4
    assert [path.name for path in (root / "runs").iterdir()] == ["S2L-0.json"]
    assert not (root / "report.md").exists()
    trainings.clear()
    quickstart(root, **OPTIONS)
    assert len(trainings) == 7
    for name in ("results.json", "report.md", "selection/kept.npy", "figures/trajectory_clusters.png"):
        assert (root / name).read_bytes() == (finished / name).read_bytes(), name


def test_more_repetitions_continue_a_finished_run(finished: Path, tmp_path: Path, trainings: list[Path]) -> None:
    root = tmp_path / "run"
    quickstart(root, **{**OPTIONS, "num_seeds": 1})
    assert "nothing can be said" in (root / "report.md").read_text()
    trainings.clear()
    quickstart(root, **OPTIONS)
    assert len(trainings) == 4
    assert (root / "results.json").read_bytes() == (finished / "results.json").read_bytes()


def test_the_losses_are_those_of_a_training_without_gradients(finished: Path, tmp_path: Path) -> None:
    plan = jobs.Plan.from_arguments(QuickstartArguments(**OPTIONS))
    inputs = jobs.make_inputs(plan)
    trainer = jobs.make_trainer(
        LlamaForCausalLM.from_pretrained(finished / "models" / "proxy"),
        inputs.examples,
        inputs.tokenizer,
        plan.proxy_training,
        seed=plan.seed,
        output_dir=tmp_path / "models",
        on_step=lambda: None,
    )
    trainer.add_callback(LossTrajectoryCallback(trainer, tmp_path / "trace", num_checkpoints=plan.num_checkpoints))
    with preserved_rng(), one_thread():
        trainer.train()
    alone, beside = Trace.load(tmp_path / "trace"), Trace.load(finished / "trace")
    assert alone.rows(0, 200).tobytes() == beside.rows(0, 200).tobytes()


def test_a_recording_killed_between_its_two_traces_is_made_again(
    finished: Path, tmp_path: Path, trainings: list[Path]
) -> None:
    root = tmp_path / "run"
    shutil.copytree(finished, root)
    shutil.rmtree(root / "influence")
    quickstart(root, **OPTIONS)
    assert len(trainings) == 1
    for name in ("trace", "influence"):
        again, before = Trace.load(root / name), Trace.load(finished / name)
        assert again.rows(0, 200).tobytes() == before.rows(0, 200).tobytes()


def test_several_processes_give_the_same_results(finished: Path, tmp_path: Path) -> None:
    results = quickstart(tmp_path / "run", **{**OPTIONS, "num_workers": 2})
    assert results == read(finished / "results.json")


def test_a_torchrun_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(RuntimeError, match="torchrun"):
        main(QuickstartArguments(output_dir=str(tmp_path / "run")))
    assert not (tmp_path / "run").exists()
