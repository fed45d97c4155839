"""Two processes see what one sees: the same Trace, the same Selection, the same training."""

import json
import os
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from filelock import FileLock
from safetensors.torch import load_file

from hf_datasel import Chain, CLUESSelector, S2LSelector, Selection, Trace, Valuation
from hf_datasel.training.in_run import RecordLog
from tests.training.launching import launch
from tests.training.online_watcher import row_scores
from tests.training.reference import reference_losses
from tests.training.scripts import two_processes
from tests.training.tiny import make_dataset, tiny_model, word_tokenizer

ROOT = Path(__file__).parents[2]
COMPARED = [
    "probe",
    "probe_uneven",
    "callbacks",
    "in_run",
    *two_processes.FORMATS,
    "select",
    "select_again",
    "clues",
    "chain",
    "shed",
    "online",
    "utility",
    "push",
    "curriculum",
    "whole",
]
# Losses lie near 4, where float32 steps by 2**-21. Two processes sum a gradient in another order, which moves weights
# by some roundings a step; over 20 steps of plain SGD that stays within tens of roundings of a loss.
TOLERANCE = 32 * 2.0**-21


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Folders of what two processes and one process wrote; made once, however many workers share these tests."""
    base = tmp_path_factory.getbasetemp()
    shared = base.parent if "PYTEST_XDIST_WORKER" in os.environ else base
    two, one, made = shared / "two_processes", shared / "one_process", shared / "two_processes.made"
    with FileLock(shared / "two_processes.lock"):
        if not made.exists():
            two.mkdir(parents=True, exist_ok=True)
            ended = launch(two_processes.__file__, two, *COMPARED)
            assert ended.returncode == 0, ended.stderr
            torch.set_num_threads(1)
            two_processes.run(one, COMPARED, world_size=1)
            made.touch()
    return two, one


def saved_model(path: Path) -> torch.nn.Module:
    model = tiny_model("llama")
    model.load_state_dict(load_file(path), strict=True)
    return model


@pytest.mark.parametrize(("name", "num_rows"), [("probe", 40), ("probe_uneven", 37)])
def test_a_probe_of_two_processes_scores_every_example_once(runs: tuple[Path, Path], name: str, num_rows: int) -> None:
    trace = Trace.load(runs[0] / name / "trace")
    data = make_dataset(num_rows=num_rows)
    expected = reference_losses(saved_model(runs[0] / name / "weights.safetensors"), data, word_tokenizer())
    assert trace.ids.tolist() == data["example_id"]
    np.testing.assert_allclose(trace.column(trace.num_checkpoints - 1), expected, rtol=0, atol=TOLERANCE)


@pytest.mark.parametrize(
    ("name", "num_equal"),
    [
        ("probe", 6),
        # 37 rows leave one row to the tenth step; two processes fill it up with three others, a different training.
        ("probe_uneven", 3),
        ("callbacks", 6),
        ("in_run", 2),
    ],
)
def test_the_trace_does_not_depend_on_the_number_of_processes(
    runs: tuple[Path, Path], name: str, num_equal: int
) -> None:
    two, one = (Trace.load(folder / name / "trace") for folder in runs)
    assert two.ids.tolist() == one.ids.tolist()
    assert two.steps.tolist() == one.steps.tolist()
    assert two.epochs.tolist() == one.epochs.tolist()
    assert two.learning_rates.tolist() == one.learning_rates.tolist()
    assert two.info == one.info
    np.testing.assert_allclose(two.values[:, :num_equal], one.values[:, :num_equal], rtol=0, atol=TOLERANCE)
    moved = np.abs(np.diff(two.values, axis=1)).max(axis=0)
    assert (moved > 1000 * TOLERANCE).all(), "training must move the losses, or there is nothing to compare"


def test_a_recorder_without_the_trainer_sees_what_one_with_it_sees(runs: tuple[Path, Path]) -> None:
    for folder in runs:
        seen, given = (Trace.load(folder / "callbacks" / name).values for name in ("trace", "given"))
        np.testing.assert_array_equal(seen, given)


@pytest.mark.parametrize("name", list(two_processes.FORMATS))
def test_values_are_those_of_the_examples_in_every_format(runs: tuple[Path, Path], name: str) -> None:
    expected = reference_losses(tiny_model("llama"), make_dataset(num_rows=37), word_tokenizer())
    for folder in runs:
        for way in ("in_run", "probe"):
            trace = Trace.load(folder / name / way)
            assert trace.ids.tolist() == list(range(37))
            assert trace.num_checkpoints == 2
            for t in range(2):
                np.testing.assert_allclose(trace.column(t), expected, rtol=0, atol=TOLERANCE)


@pytest.mark.parametrize("name", list(two_processes.FORMATS))
def test_both_processes_record_and_each_visit_counts_once(runs: tuple[Path, Path], name: str) -> None:
    expected = np.array(reference_losses(tiny_model("llama"), make_dataset(num_rows=37), word_tokenizer()))
    files = sorted((runs[0] / name / "records").iterdir())
    assert [file.name for file in files] == ["rank00000.bin", "rank00001.bin"]
    assert all(len(RecordLog.read(file)) > 0 for file in files)
    records = RecordLog.read_all(runs[0] / name / "records")
    np.testing.assert_allclose(records["loss"], expected[records["id"]], rtol=0, atol=TOLERANCE)
    for epoch in (0, 1):
        ids, times = np.unique(records["id"][records["epoch"] == epoch], return_counts=True)
        assert ids.tolist() == list(range(37))
        if name == "accumulated":
            assert times.sum() == 38, "19 steps of a row on each process: one row comes a second time"


def test_processes_share_out_a_curriculum(runs: tuple[Path, Path]) -> None:
    (one,), (first, second) = (
        [json.loads(file.read_text()) for file in sorted((folder / "curriculum").glob("rank*.json"))]
        for folder in runs[::-1]
    )
    assert [sorted(mine + yours) for mine, yours in zip(first, second, strict=True)] == [sorted(step) for step in one]
    losses = [Trace.load(folder / "curriculum" / "_curriculum_trace").values for folder in runs]
    np.testing.assert_array_equal(*losses)


def test_all_processes_train_on_the_selection_of_one(runs: tuple[Path, Path]) -> None:
    two, one = (folder / "select" for folder in runs)
    ranks = [Selection.load(two / name) for name in ("rank0", "rank1", "selection", "checkpoint-8/selection")]
    from_trace = S2LSelector(budget=16, num_clusters=4).select(Trace.load(two / "_selection_stage" / "trace"))
    for selection in ranks:
        assert selection.ids.tolist() == from_trace.ids.tolist()
        assert selection.clusters.tolist() == from_trace.clusters.tolist()
        assert selection.provenance == ranks[0].provenance
    assert stable_under_rounding(Trace.load(two / "_selection_stage" / "trace"), from_trace)
    assert Selection.load(one / "rank0").ids.tolist() == from_trace.ids.tolist()


def stable_under_rounding(trace: Trace, selection: Selection) -> bool:
    """Whether losses moved by ten times the tolerance select the same: then one process has to, too."""
    rng = np.random.default_rng(0)
    moved = [trace.values + 10 * TOLERANCE * rng.uniform(-1, 1, trace.values.shape) for _ in range(5)]
    selector = S2LSelector(budget=len(selection), num_clusters=4)
    return all(
        selector.select(Trace.from_arrays(trace.ids, values)).ids.tolist() == selection.ids.tolist()
        for values in moved
    )


@pytest.mark.parametrize("name", ["select", "clues", "online"])
def test_training_is_that_of_an_sft_trainer_on_the_chosen_rows(runs: tuple[Path, Path], name: str) -> None:
    for folder in runs:
        selecting = load_file(folder / name / "selecting.safetensors")
        plain = load_file(folder / name / "plain.safetensors")
        assert selecting.keys() == plain.keys()
        assert all(torch.equal(selecting[name], plain[name]) for name in plain)
        initial = dict(two_processes.target_model(0.0).named_parameters())
        assert any(not torch.equal(selecting[name], initial[name]) for name in plain)


def test_all_processes_train_on_what_clues_chose(runs: tuple[Path, Path]) -> None:
    two, one = (folder / "clues" for folder in runs)
    traces = [Trace.load(folder / "_selection_stage" / "trace") for folder in (two, one)]
    selector = CLUESSelector(budget=16, score="cosine")
    chosen = selector.select(traces[0]).ids.tolist()
    for name in ("rank0", "rank1", "selection", "checkpoint-8/selection"):
        assert Selection.load(two / name).ids.tolist() == chosen
    assert Selection.load(one / "rank0").ids.tolist() == selector.select(traces[1]).ids.tolist()
    assert traces[0].companions == ("anchors", "cosine", "direction", "loss", "num_labels")
    for first, second in (traces, [trace.companion("anchors") for trace in traces]):
        assert first.ids.tolist() == second.ids.tolist()
        assert first.info == second.info
        # A cosine is a quotient of long sums, and the weights of the two runs differ by roundings, too.
        both = [trace.companion("cosine").values for trace in (first, second)]
        np.testing.assert_allclose(*both, rtol=0, atol=1e-3)
        assert np.ptp(both[0], axis=0).min() > 0.1, "examples must differ, or there is nothing to compare"


def test_all_processes_train_on_what_a_chain_chose(runs: tuple[Path, Path]) -> None:
    two, one = (folder / "chain" for folder in runs)
    chain = Chain((CLUESSelector(score="cosine", budget=0.75), S2LSelector(budget=16, num_clusters=4)))
    kept = []
    for folder, names in ((two, ("rank0", "rank1", "selection")), (one, ("rank0", "selection"))):
        stage = folder / "_selection_stage"
        chosen = chain.select([Trace.load(stage / link / "trace") for link in ("1-clues", "2-s2l")])
        assert [step["num_kept"] for step in chosen.provenance] == [30, 16]
        for name in names:
            selection = Selection.load(folder / name)
            assert selection.ids.tolist() == chosen.ids.tolist(), name
            assert selection.clusters.tolist() == chosen.clusters.tolist(), name
            assert [step["selector"] for step in selection.provenance] == ["clues", "s2l"]
        kept.append(chosen.ids.tolist())
    assert kept[0] == kept[1]


def test_every_process_keeps_the_best_of_its_own_rows(runs: tuple[Path, Path]) -> None:
    scores, size = row_scores(two_processes.target_model(0.0), make_dataset(num_rows=40))
    for folder, batch in ((runs[0], 2), (runs[1], 4)):
        ranks = [json.loads(path.read_text()) for path in sorted((folder / "online").glob("rank*.json"))]
        assert len(ranks) == 4 // batch
        for step in range(10):
            gaps = []
            for rank in ranks:
                ((offered, kept),) = rank["steps"][step]
                by_score = sorted(map(tuple, offered), key=lambda row: -scores[row])
                best, rest = by_score[: batch // 2], by_score[batch // 2 :]
                assert kept == [row for row in offered if tuple(row) in best]
                gaps.append(sum(scores[row] for row in best) - sum(scores[row] for row in rest))
                assert rank["num_items"][step] == sum(sum(one["num_labels"][step]) for one in ranks)
            mean_gap = sum(gaps) / (batch // 2) / len(ranks)
            assert all(rank["gaps"][step] == pytest.approx(mean_gap, abs=1e-5 * size) for rank in ranks)


def test_selecting_again_gives_all_processes_the_same(runs: tuple[Path, Path]) -> None:
    two, one = (folder / "select_again" for folder in runs)
    trace = Trace.load(two / "_selection_stage" / "target_trace", partial=True)
    ranks = [Selection.load(two / name) for name in ("rank0", "rank1")]
    assert trace.steps.tolist() == [4, 8]
    expected = S2LSelector(budget=16, num_clusters=4, seed=42 + 2).select(trace)
    for selection in ranks:
        assert selection.ids.tolist() == expected.ids.tolist()
    assert Selection.load(one / "rank0").ids.tolist() == expected.ids.tolist()


def test_processes_share_the_coalitions_and_agree_on_the_values(runs: tuple[Path, Path]) -> None:
    two, one = (folder / "shed" for folder in runs)
    values = [Valuation.load(folder / "_selection_stage" / "valuation").values for folder in (two, one)]
    np.testing.assert_array_equal(*values)
    chosen = [
        Selection.load(folder / rank).ids.tolist() for folder, rank in ((two, "rank0"), (two, "rank1"), (one, "rank0"))
    ]
    assert chosen[0] == chosen[1] == chosen[2]
    done = [len(file.read_bytes().splitlines()) - 1 for file in (two / "_selection_stage" / "ledger").iterdir()]
    assert len(done) == 2
    assert sum(done) == 2**3


def test_one_process_pushes_the_dataset_and_all_fail_with_it(runs: tuple[Path, Path]) -> None:
    (two, one), names = (folder / "push" for folder in runs), ("rank0.json", "rank1.json")
    first, second = (json.loads((two / name).read_text()) for name in names)
    curated = "me/model-selected"
    assert first["asked"] == [curated, "model", "OSError: the Hub is away", curated, "model"]
    reason = "RuntimeError: Pushing the curated dataset failed on the main process: OSError: the Hub is away"
    assert second["asked"] == ["model", reason, "model"]
    assert first["curated"] == second["curated"] == curated
    assert json.loads((one / "rank0.json").read_text()) == first


def test_a_killed_process_takes_no_record_with_it(runs: tuple[Path, Path], tmp_path: Path) -> None:
    killed, whole = tmp_path / "killed", runs[0] / "whole"
    assert launch(two_processes.__file__, tmp_path, "killed", timeout=120).returncode != 0
    assert sorted(path.name for path in killed.glob("checkpoint-*")) == ["checkpoint-3"]
    killed.rename(tmp_path / "whole")
    ended = launch(two_processes.__file__, tmp_path, "whole", timeout=120)
    assert ended.returncode == 0, ended.stderr
    expected = {path.relative_to(whole): path.read_bytes() for path in (whole / "trace").rglob("*.*")}
    assert len(expected) == 2 + 2 * 4 + 1
    for path, content in [*expected.items(), (Path("final/model.safetensors"), None)]:
        assert (tmp_path / "whole" / path).read_bytes() == (content or (whole / path).read_bytes()), path


def test_an_error_on_the_main_process_ends_all(tmp_path: Path) -> None:
    start = time.monotonic()
    ended = launch(two_processes.__file__, tmp_path, "fail", timeout=120)
    assert ended.returncode != 0
    assert "budget=39 examples is out of range: there are 20 candidates" in ended.stderr
    assert not (tmp_path / "fail" / "selection").exists()
    assert time.monotonic() - start < 100, "the other process must not wait for its time limit"
