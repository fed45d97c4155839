"""Selectors by name: what installed packages declare, what is refused of it, and whose options set what."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from hf_datasel import RandomSelector, S2LSelector, SelectingSFTConfig, Trace
from hf_datasel.cli import UsageError
from hf_datasel.cli.select import SelectArguments
from hf_datasel.cli.selectors import make_selector as make_by_flags
from hf_datasel.cli.selectors import make_selectors as make_chain_by_flags
from hf_datasel.selectors import SELECTORS
from hf_datasel.selectors.rederive import NotRederivable, Published, rederive
from hf_datasel.selectors.registry import get_selector, selector_names
from hf_datasel.training.links import make_selector as make_by_config
from tests.training.selecting import clues, selecting

HEAD = """
from dataclasses import dataclass
import numpy as np
from hf_datasel import Embeddings
from hf_datasel.selectors import Choice, RandomSelector, Selector
"""
FIRST_ROWS = f"""{HEAD}
@dataclass(frozen=True, kw_only=True)
class FirstRows(Selector):
    budget: float = 0.25
    num_clusters: int = 3
    mode: str = "plain"
    name = "first_rows"
    metrics = ("rhymes",)

    def _choose(self, pool, budget):
        return Choice(np.arange(len(pool.ids)) < budget)
"""
LAST_COSINE = f"""{HEAD}
from hf_datasel.selectors import RowScoreSelector

@dataclass(frozen=True, kw_only=True)
class LastCosine(RowScoreSelector):
    name = "last_cosine"
    direction = "high"
    metrics = ("influence",)
    recorded_by = "GradientTraceCallback"
    evidence = ("cosine",)

    def _score_rows(self, rows):
        return rows.companion("cosine", "LastCosine").last().astype(np.float64)
"""

Install = Callable[..., str]


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Install:
    """Put a package of one module on the path, as pip would leave it."""
    site = tmp_path / "site"
    monkeypatch.syspath_prepend(str(site))

    def put(code: str, *entries: str, package: str = "toolbox", version: str = "1.2") -> str:
        module = f"{package}_{tmp_path.name}".replace("-", "_")
        made = site / f"{package}-{version}.dist-info"
        made.mkdir(parents=True)
        (made / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {package}\nVersion: {version}\n")
        lines = [entry.replace("MODULE", module) for entry in entries]
        (made / "entry_points.txt").write_text("\n".join(["[hf_datasel.selectors]", *lines, ""]))
        (site / f"{module}.py").write_text(code)
        monkeypatch.delitem(sys.modules, module, raising=False)
        return module

    return put


def test_names_are_listed_without_importing_anything(install: Install) -> None:
    module = install("raise SystemExit('imported')", "mine = MODULE:Mine", "yours = MODULE:Yours")
    assert set(selector_names()) == {*SELECTORS, "mine", "yours"}
    assert selector_names() == sorted(selector_names())
    assert get_selector("s2l") is S2LSelector
    assert module not in sys.modules


def test_a_declared_class_is_found_and_its_package_noted(install: Install) -> None:
    install(FIRST_ROWS, "first_rows = MODULE:FirstRows")
    selector = get_selector("first_rows")
    selection = selector(budget=4).select(Trace.from_arrays(range(12), np.ones((12, 1)), metric="rhymes"))
    assert selection.ids.tolist() == [0, 1, 2, 3]
    step = selection.provenance[0]
    assert (step["selector"], step["package"]) == ("first_rows", {"name": "toolbox", "version": "1.2"})
    with pytest.raises(NotRederivable, match="FirstRows does not say how"):
        rederive(step, Published.of(selection))


def test_what_is_not_declared_has_no_package() -> None:
    class Mine(RandomSelector):
        name = "mine"

    for selector in (Mine, RandomSelector):
        step = selector(budget=1).select(Trace.from_arrays([1, 2], [[1.0], [2.0]])).provenance[0]
        assert "package" not in step


@pytest.mark.parametrize(
    ("code", "kind", "message"),
    [
        ("import no_such_module", ImportError, "cannot be imported: ModuleNotFoundError: No module named 'no_such"),
        ("Yours = 1", ImportError, "cannot be imported: AttributeError: .*Mine"),
        ("class Mine(:", ImportError, "cannot be imported: SyntaxError"),
        ("raise OSError('no disk')", ImportError, "cannot be imported: OSError: no disk"),
        (f"{HEAD}@dataclass\nclass Mine(Selector):\n    name = 'mine'", ImportError, "cannot inherit non-frozen"),
        ("class Mine: name = 'mine'", TypeError, "is no subclass of hf_datasel.Selector"),
        ("Mine = 3", TypeError, "is no subclass of hf_datasel.Selector"),
        (f"{HEAD}class Mine(RandomSelector):\n    name = 'mine'", TypeError, "is no dataclass: decorate it with"),
        (
            f"{HEAD}@dataclass(frozen=True)\nclass Mine(RandomSelector):\n    name = 'my'",
            ValueError,
            "calls itself 'my'",
        ),
        (f"{HEAD}@dataclass(frozen=True)\nclass Mine(Selector): pass", ValueError, "calls itself None"),
        (
            f"{HEAD}@dataclass(frozen=True)\nclass Mine(Selector):\n    name = 'mine'\n    metrics = 'loss'",
            TypeError,
            r"has metrics='loss': write a tuple such as \(\"loss\",\)",
        ),
    ],
)
def test_what_is_no_selector_is_refused_with_its_package(
    install: Install, code: str, kind: type[Exception], message: str
) -> None:
    install(code, "mine = MODULE:Mine")
    with pytest.raises(kind, match=rf"The selector 'mine' of the package toolbox 1.2 \(toolbox_.*:Mine\) .*{message}"):
        get_selector("mine")
    assert get_selector("random") is RandomSelector


def test_a_built_in_method_keeps_its_name(install: Install) -> None:
    install("raise SystemExit('imported')", "s2l = MODULE:Mine")
    with pytest.warns(UserWarning, match=r"'s2l' is hf_datasel's own S2LSelector.*package toolbox 1.2 .*left aside"):
        assert get_selector("s2l") is S2LSelector
    assert selector_names() == sorted(SELECTORS)


def test_a_name_that_two_packages_declare_is_refused_with_both(install: Install) -> None:
    for package in ("toolbox", "toolkit"):
        install(FIRST_ROWS, "first_rows = MODULE:FirstRows", package=package)
    assert selector_names().count("first_rows") == 1
    with pytest.raises(ValueError, match=r"is declared by the packages toolbox 1.2 and toolkit 1.2: uninstall"):
        get_selector("first_rows")


def test_an_unknown_name_is_answered_with_those_there_are(install: Install) -> None:
    install(FIRST_ROWS, "first_rows = MODULE:FirstRows")
    with pytest.raises(ValueError, match=r"method='s3l' is not known; choose one of \[.*'first_rows'.*'s2l'"):
        get_selector("s3l", "method")


def test_options_of_built_in_methods_do_not_reach_others(install: Install, tmp_path: Path) -> None:
    install(FIRST_ROWS, "first_rows = MODULE:FirstRows")
    own = {"num_clusters": 5}
    config = {"output_dir": str(tmp_path), "use_cpu": True, "bf16": False, "selection_num_clusters": 7}
    config |= {"selection_method": "first_rows", "selection_mode": "in_run", "selection_seed": 3}
    plain = get_selector("first_rows")(seed=3)
    assert make_by_config(SelectingSFTConfig(**config)) == plain
    assert make_by_flags(SelectArguments(method="first_rows", num_clusters=7, seed=3)) == plain
    chosen = get_selector("first_rows")(seed=3, budget=2, **own)
    config |= {"selection_budget": 2.0}
    assert make_by_config(SelectingSFTConfig(**config, selection_options=own)) == chosen
    for given in (own, json.dumps(own)):
        flags = SelectArguments(method="first_rows", budget="2", seed=3, selector_options=given)
        assert make_by_flags(flags) == chosen


def test_options_given_by_name_reach_built_in_methods_too() -> None:
    flags = SelectArguments(budget="0.5", num_clusters=4, selector_options='{"num_iterations": 5}')
    assert make_by_flags(flags) == S2LSelector(budget=0.5, num_clusters=4, num_iterations=5)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ('{"num_cluster": 4}', r"--selector_options: num_cluster is no hyperparameter of S2LSelector \(\['budget'"),
        ('{"num_clusters": 4}', "--selector_options: num_clusters of --method s2l has an option of its own"),
        ("plenty", "--selector_options: 'plenty' is no JSON:"),
        ("[1]", r"--selector_options: '\[1\]' is no JSON object such as"),
    ],
)
def test_options_that_are_none_are_refused(given: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        make_by_flags(SelectArguments(budget="0.5", selector_options=given))


@pytest.mark.parametrize(
    ("change", "read"),
    [
        (("", ""), "Trace of 'rhymes'"),
        (('metrics = ("rhymes",)', "reads = Embeddings"), "Embeddings of 'loss'"),
        (('metrics = ("rhymes",)', 'metrics = ("embeddings",)'), "Trace of 'embeddings'"),
    ],
)
def test_evidence_that_no_stage_records_is_asked_for(
    install: Install, tmp_path: Path, change: tuple[str, str], read: str
) -> None:
    install(FIRST_ROWS.replace(*change), "first_rows = MODULE:FirstRows")
    wanted = f"selection_method='first_rows' reads {read}, which no training records: select with FirstRows"
    with pytest.raises(ValueError, match=f"{wanted} yourself and pass selection="):
        selecting(tmp_path, selection_method="first_rows", selection_budget=None)


def test_a_declared_method_may_be_a_link_of_a_chain(install: Install, tmp_path: Path) -> None:
    module = install(
        LAST_COSINE + FIRST_ROWS.removeprefix(HEAD), "last_cosine = MODULE:LastCosine", "first_rows = MODULE:FirstRows"
    )
    selection = clues(tmp_path / "out", selection_method="last_cosine:18,random")._get_selection(None)
    assert [(step["selector"], step["num_kept"]) for step in selection.provenance] == [
        ("last_cosine", 18),
        ("random", 12),
    ]
    assert selection.provenance[0]["package"] == {"name": "toolbox", "version": "1.2"}
    assert (tmp_path / "out" / "_selection_stage" / "1-last_cosine" / "trace").is_dir()
    flags = SelectArguments(method="first_rows,s2l", budget="2", selector_options='{"first_rows": {"mode": "other"}}')
    first, last = make_chain_by_flags(flags)
    assert (first, last) == (get_selector("first_rows")(mode="other"), S2LSelector(budget=2))
    assert type(first).__module__ == module


def test_a_stage_records_the_companions_that_a_method_names(install: Install, tmp_path: Path) -> None:
    install(LAST_COSINE, "last_cosine = MODULE:LastCosine")
    selection = clues(tmp_path / "out", selection_method="last_cosine")._get_selection(None)
    trace = Trace.load(tmp_path / "out" / "_selection_stage" / "trace")
    assert {"cosine", "ifd", "pairing"} & set(trace.companions) == {"cosine"}
    cosines = trace.companion("cosine").values[:, -1]
    assert selection.ids.tolist() == sorted(trace.ids[np.argsort(cosines)[-12:]].tolist())
