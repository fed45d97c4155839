"""Options of the quickstart, and the directory that belongs to them."""

from dataclasses import fields, replace
from pathlib import Path

import pytest

from hf_datasel.quickstart.plan import Plan, QuickstartArguments
from hf_datasel.quickstart.workdir import open_workdir

PLAN = Plan.from_arguments(QuickstartArguments())


def contents(path: Path) -> dict[str, bytes]:
    return {str(file.relative_to(path)): file.read_bytes() for file in sorted(path.rglob("*")) if file.is_file()}


def test_every_option_is_explained() -> None:
    for option in fields(QuickstartArguments):
        assert option.metadata["help"], option.name


@pytest.mark.parametrize(("budget", "taken"), [(0.12, 0.12), (1.0, 1.0), (700.0, 700), (6000, 6000)])
def test_a_budget_is_a_share_or_a_number(budget: float, taken: float) -> None:
    plan = Plan.from_arguments(QuickstartArguments(budget=budget))
    assert plan.budget == taken
    assert isinstance(plan.budget, int) == (budget > 1)


@pytest.mark.parametrize("budget", [0.0, -0.1, 1.5, 6001.0, float("nan"), float("inf")])
def test_a_budget_that_is_neither_is_refused(budget: float) -> None:
    with pytest.raises(ValueError, match="budget="):
        Plan.from_arguments(QuickstartArguments(budget=budget))


@pytest.mark.parametrize(("num_rows", "num_steps"), [(6000, 800), (25_600, 800), (25_601, 801), (60_000, 1875)])
def test_the_proxy_sees_every_row(num_rows: int, num_steps: int) -> None:
    plan = Plan.from_arguments(QuickstartArguments(num_rows=num_rows))
    assert (plan.proxy_training.num_steps, plan.proxy_training.batch_size) == (num_steps, 32)


@pytest.mark.parametrize("option", ["num_seeds", "num_workers"])
def test_counts_out_of_range_are_refused(option: str) -> None:
    with pytest.raises(ValueError, match=f"{option}=-1"):
        Plan.from_arguments(QuickstartArguments(**{option: -1}))


def test_a_directory_is_continued_by_the_same_plan_and_refused_to_another(tmp_path: Path) -> None:
    root = open_workdir(tmp_path / "run", PLAN, overwrite=False)
    (root / "runs").mkdir()
    (root / "runs" / "S2L-0.json").write_text("{}")
    before = contents(root)
    assert open_workdir(root, PLAN, overwrite=False) == root
    with pytest.raises(ValueError, match=r"num_clusters: 24 there, 7 now.*overwrite"):
        open_workdir(root, replace(PLAN, num_clusters=7), overwrite=False)
    assert contents(root) == before


def test_another_version_is_named(tmp_path: Path) -> None:
    root = open_workdir(tmp_path / "run", PLAN, overwrite=False)
    manifest = root / "quickstart.json"
    manifest.write_text(manifest.read_text().replace('"trl": "', '"trl": "0.'))
    with pytest.raises(ValueError, match=r"version of trl: 0\."):
        open_workdir(root, PLAN, overwrite=False)


def test_overwrite_deletes_what_a_quickstart_wrote_and_nothing_else(tmp_path: Path) -> None:
    root = open_workdir(tmp_path / "run", PLAN, overwrite=False)
    (root / "runs").mkdir()
    (root / "runs" / "S2L-0.json").write_text("{}")
    (root / "notes.txt").write_text("mine")
    open_workdir(root, replace(PLAN, num_clusters=7), overwrite=True)
    assert sorted(contents(root)) == ["notes.txt", "quickstart.json"]
    assert (root / "notes.txt").read_text() == "mine"


@pytest.mark.parametrize("overwrite", [False, True])
def test_a_directory_of_other_things_is_left_alone(tmp_path: Path, overwrite: bool) -> None:
    (tmp_path / "runs").mkdir()
    (tmp_path / "runs" / "mine.txt").write_text("mine")
    with pytest.raises(FileExistsError, match="'runs'"):
        open_workdir(tmp_path, PLAN, overwrite=overwrite)
    with pytest.raises(FileExistsError, match="is a file"):
        open_workdir(tmp_path / "runs" / "mine.txt", PLAN, overwrite=overwrite)
    assert contents(tmp_path) == {"runs/mine.txt": b"mine"}
