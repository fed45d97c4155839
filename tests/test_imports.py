"""Who may import whom, what an import costs, and how long a file may be."""

import ast
import os
import statistics
import subprocess
import sys
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

import hf_datasel

ROOT = Path(__file__).parent.parent
PACKAGE = ROOT / "hf_datasel"
FILES = sorted(PACKAGE.rglob("*.py"))

# each room may import its own files and the rooms before it; rooms on one line do not know each other
ROOMS = [
    ["version"],
    ["functional"],
    ["storage", "fingerprint"],
    ["artifact", "example_ids"],
    ["columns", "content", "embeddings", "ledger", "selection", "texts", "trace_manifest"],
    ["hashed_rows", "trace_view"],
    ["trace_companions"],
    ["clusters", "trace"],
    ["row_trace", "trace_values"],
    ["valuation"],
    ["cluster_values", "selectors"],
    ["bm25", "data", "damage", "dsir", "lengths"],
    ["truth"],
    ["report"],
    ["cards"],
    ["hub"],
    ["training"],
    ["collaborative"],
    ["compare"],
    ["quickstart"],
    ["cli"],
    ["__main__"],
]
RANK = {room: rank for rank, line in enumerate(ROOMS) for room in line}
# what each room may import from outside, beside the standard library; rooms not named here may import anything
OUTSIDE = {
    **dict.fromkeys(
        RANK.keys()
        - {"training", "report", "cards", "hub", "collaborative", "compare", "quickstart", "cli", "__main__"},
        frozenset({"numpy"}),
    ),
    "functional": {"numpy", "torch", "faiss"},
    "content": {"numpy", "pyarrow"},
    **dict.fromkeys(("bm25", "dsir", "lengths"), frozenset({"numpy", "tqdm"})),
    "selectors": {"numpy", "faiss", "tqdm"},
    "cluster_values": {"numpy", "tqdm"},
}


def module_of(path):
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES = {module_of(path) for path in FILES}
HOMES = {**hf_datasel._HOME_OF, "__version__": "hf_datasel.version"}


def imported(path, *, at_import=False):
    """Modules that a file imports: wherever they stand, or only those loaded with the file itself."""
    tree = ast.parse(path.read_text())
    nodes = list(_at_import(tree.body)) if at_import else list(ast.walk(tree))
    for node in nodes:
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path.name}:{node.lineno}: imports are absolute here"
            for alias in node.names:
                submodule = f"{node.module}.{alias.name}"
                public = HOMES.get(alias.name) if node.module == "hf_datasel" else None
                yield public or (submodule if submodule in MODULES else node.module)


def _at_import(body):
    for node in body:
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            continue
        yield node
        for child in ("body", "orelse", "handlers", "finalbody"):
            if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                yield from _at_import(getattr(node, child, []))


def room_of(module):
    return module.split(".")[1] if module.count(".") else "__init__"


@pytest.mark.parametrize("path", FILES, ids=module_of)
def test_imports_point_downwards(path):
    room = room_of(module_of(path))
    if room == "__init__":  # the package itself names everything, lazily
        assert set(imported(path, at_import=True)) <= {"importlib", "typing", "hf_datasel.version"}
        return
    assert room in RANK, f"{room} is new: give it a place in ROOMS"
    for name in imported(path):
        if name.split(".")[0] == "hf_datasel":
            other = room_of(name)
            assert other == room or RANK[other] < RANK[room], f"{module_of(path)} imports {name}"
        elif room in OUTSIDE:
            top = name.split(".")[0]
            assert top in sys.stdlib_module_names | OUTSIDE[room], f"{module_of(path)} imports {name}"


def test_no_files_import_each_other_in_a_circle():
    graph = {module_of(path): set(imported(path, at_import=True)) for path in FILES}
    TopologicalSorter(graph).prepare()


@pytest.mark.parametrize("folder", ["hf_datasel", "tests", "recipes"])
def test_a_reader_can_hold_a_file_in_the_head(folder):
    lengths = {path: len(path.read_text().splitlines()) for path in (ROOT / folder).rglob("*.py")}
    assert {str(path): length for path, length in lengths.items() if length >= 300} == {}


def in_fresh_python(code):
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True, env=environment)
    return done.stdout


def test_importing_the_package_loads_nothing_heavy():
    code = "import sys, hf_datasel; dir(hf_datasel); print(*sys.modules)"
    heavy = {"torch", "transformers", "trl", "datasets", "faiss", "numpy", "pyarrow", "pandas", "matplotlib"}
    assert heavy & {name.split(".")[0] for name in in_fresh_python(code).split()} == set()


def test_selecting_loads_neither_torch_nor_datasets():
    code = (
        "import sys; from hf_datasel import S2LSelector, Selection, Trace;"
        "S2LSelector(budget=1, num_clusters=1).select(Trace.from_arrays([1, 2], [[1.0], [2.0]])); print(*sys.modules)"
    )
    loaded = {name.split(".")[0] for name in in_fresh_python(code).split()}
    assert {"torch", "transformers", "trl", "datasets", "pyarrow"} & loaded == set()


def test_importing_the_package_takes_less_than_three_tenths_of_a_second():
    code = "import time; start = time.perf_counter(); import hf_datasel; print(time.perf_counter() - start)"
    assert statistics.median(float(in_fresh_python(code)) for _ in range(7)) < 0.3


def test_every_public_name_is_there():
    for name in hf_datasel.__all__:
        assert getattr(hf_datasel, name) is not None
        assert f"hf_datasel.{name}" not in MODULES, f"once imported, the module {name} would stand in its place"
    assert set(hf_datasel.__all__) <= set(dir(hf_datasel))


def test_names_for_the_type_checker_are_the_names_that_are_imported_lazily():
    tree = ast.parse((PACKAGE / "__init__.py").read_text())
    checked = next(node for node in tree.body if isinstance(node, ast.If))
    declared = {node.module: tuple(alias.name for alias in node.names) for node in checked.body}
    assert declared == hf_datasel._HOMES
    assert {name for names in declared.values() for name in names} | {"__version__"} == set(hf_datasel.__all__)


def test_an_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="no attribute 'S3LSelector'"):
        _ = hf_datasel.S3LSelector


def test_the_package_is_typed():
    assert (PACKAGE / "py.typed").exists()
