"""Every benchmark of speed and memory, one after another, each in a process of its own; then the README's table.

    python -m recipes.benchmarks.performance --text gsm8k_train.jsonl [--peers-python PATH] [--only NAME ...]

`--work` says what was measured: that is not measured again when a killed run is called anew, what failed is;
`--restart` begins from nothing. `--peers-python` is an interpreter that has bergson and this package's dependencies,
where bergson wants an environment of its own. What cannot run here is named, with the way out, and its result stays as
it was. `--smoke` runs whatever can be small, into a temporary folder, in processes forked from one that has imported
torch. `make results` puts the table into the README.
"""

from __future__ import annotations

import argparse
import importlib
import json
import multiprocessing
import os
import runpy
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hf_datasel.storage import read_json, write_json

ROOT = Path(__file__).parents[2]
FOLDER = "BENCHMARK_RESULTS"  # in the environment: where results go
TEXT = "--text"
TRAINS_A_PROXY = "it trains the quickstart's proxy on 6,000 rows"
PLAYS_GAMES = "it plays whole games of 3,000 players"


@dataclass(frozen=True)
class Benchmark:
    """A module beside this one, and how it is run small."""

    name: str
    smoke: tuple[str, ...] = ()
    needs_text: bool = False
    peer: str = ""  # a package that has to be there, as pip names it
    never_small: str = ""  # why it is left out of --smoke
    trains: bool = True  # a model; torch is imported before a small run forks


BENCHMARKS = (
    Benchmark("import_time", ("--num-pairs=1",), trains=False),
    Benchmark("trace_memory", ("--num-examples=20000", "--num-checkpoints=4"), trains=False),
    Benchmark("s2l_scale", ("--num-examples=20000", "--num-large=40000", "--num-pairs=2"), trains=False),
    Benchmark("recording", ("--pairs=1", "--only", "SFTTrainer_64_512")),
    Benchmark("probe_sweep", ("--rounds=1", "--rows", "24", "12", "--tokens-per-batch=512")),
    Benchmark("gradients", ("--rounds=1", "--rows=2", "--kinds", "lora_qv", "--fills", "")),
    Benchmark(
        "gradients_in_run",
        ("--blocks=1", "--pretraining=1", "--validation=8", "--scored=8", "--kinds", "lora_qv"),
        needs_text=True,
    ),
    Benchmark("gradients_memory", ("--kinds", "lora_qv", "--checkpointing", "no checkpointing", "--scoring", "exact")),
    Benchmark(
        "gradients_peers",
        ("--blocks=1", "--rounds=1", "--rows=2", "--pretraining=1", "--kinds", "lora_qv"),
        needs_text=True,
        peer="bergson==2.5.1",
    ),
    Benchmark("coalitions", ("--cases", "64_b4", "--rounds=1")),
    Benchmark("shapley_games", never_small=PLAYS_GAMES),
    Benchmark("in_run_agreement", never_small=TRAINS_A_PROXY),
    Benchmark("growth", ("--smoke",)),
)
NAMES = [one.name for one in BENCHMARKS]


class State:
    """What a run has measured so far, on the disk.

    Args:
        path: a JSON file; made where it is missing.
        settings: what must not change within a run.

    Raises:
        ValueError: the run that is there has other settings.
    """

    def __init__(self, path: Path, settings: dict[str, Any]) -> None:
        self.path, self.settings = path, settings
        known = self._read()
        if known["settings"] != settings:
            raise ValueError(
                f"{path} is of a run with other settings ({known['settings']}): pass --restart to begin anew, or "
                "another --work."
            )

    @property
    def done(self) -> dict[str, str]:
        """When each benchmark was finished, by this process or another."""
        return self._read()["done"]

    def finish(self, name: str) -> None:
        """Note that a benchmark is measured."""
        known = self._read()
        known["done"][name] = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
        self.path.parent.mkdir(parents=True, exist_ok=True)
        write_json(self.path, known)

    def _read(self) -> dict[str, Any]:
        if not self.path.exists():
            return {"settings": self.settings, "done": {}}
        return read_json(self.path, "state of the performance study")


def missing_package(python: str, peer: str) -> bool:
    """Whether an interpreter lacks a package."""
    module = peer.split("==")[0]
    code = f"import importlib.util, sys; sys.exit(importlib.util.find_spec({module!r}) is None)"
    return subprocess.run([python, "-c", code], env=environment(), check=False).returncode != 0


def obstacle(one: Benchmark, args: argparse.Namespace) -> str | None:
    """Why a benchmark cannot run, and the way out; None where it can."""
    if args.smoke and one.never_small:
        return f"{one.never_small}, which cannot be small"
    if one.needs_text and args.text is None and not args.smoke:
        return f"it reads a text: pass {TEXT} FILE, JSON Lines with `prompt` and `completion` (as of gsm8k_train)"
    if one.peer and missing_package(python_of(one, args), one.peer):
        return (
            f"{python_of(one, args)} has no {one.peer.split('==')[0]}: `pip install {one.peer}` into an environment "
            "that has this package's dependencies too, and pass --peers-python PATH"
        )
    return None


def python_of(one: Benchmark, args: argparse.Namespace) -> str:
    """The interpreter that runs a benchmark."""
    return str(args.peers_python) if one.peer and args.peers_python else sys.executable


def environment() -> dict[str, str]:
    """This one's, with the project on the path of whatever interpreter."""
    return {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, (str(ROOT), os.environ.get("PYTHONPATH"))))}


def options_of(one: Benchmark, args: argparse.Namespace, work: Path) -> list[str]:
    """Command line of a benchmark."""
    options = list(one.smoke) if args.smoke else []
    if one.needs_text:
        options.append(f"{TEXT}={args.text or small_text(work)}")
    return options


def small_text(work: Path) -> Path:
    """Rows of made-up words, enough of them for a small run."""
    path = work / "text.jsonl"
    rows = [
        {"prompt": " ".join(f"word{(row * step) % 997}" for step in range(1, 60)), "completion": f"answer {row}"}
        for row in range(800)
    ]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def run_apart(python: str, name: str, options: list[str], log: Path) -> int:
    """Run a benchmark by an interpreter; its exit status."""
    with open(log, "w") as told:
        command = [python, "-m", f"recipes.benchmarks.{name}", *options]
        return subprocess.run(command, env=environment(), stdout=told, stderr=told, check=False).returncode


def run_forked(one: Benchmark, options: list[str], log: Path) -> int:
    """Run a benchmark in a fork of this process, which has imported what takes long; its exit status."""
    if one.trains:
        importlib.import_module("recipes.benchmarks.gradient_workload")
    process = multiprocessing.get_context("fork").Process(target=_forked, args=(one.name, options, log))
    process.start()
    process.join()
    return process.exitcode or 0


def _forked(name: str, options: list[str], log: Path) -> None:
    with open(log, "w") as told:
        for stream in (sys.stdout, sys.stderr):
            os.dup2(told.fileno(), stream.fileno())
        sys.argv = [name, *options]
        runpy.run_module(f"recipes.benchmarks.{name}", run_name="__main__", alter_sys=True)
        sys.stdout.flush()


def measure(one: Benchmark, args: argparse.Namespace, work: Path, results: Path) -> str | None:
    """Run one; None, or what went wrong."""
    log, begun = work / f"{one.name}.log", time.time()
    options = options_of(one, args, work)
    if args.smoke and not one.peer:
        status = run_forked(one, options, log)
    else:
        status = run_apart(python_of(one, args), one.name, options, log)
    if status:
        said = [line for line in log.read_text(errors="replace").splitlines() if line.strip()]
        return f"exit status {status}: {said[-1] if said else 'it said nothing'} (all of it: {log})"
    written = results / f"{one.name}.json"
    if not written.exists() or written.stat().st_mtime < begun - 1:
        return f"it wrote no {written}"
    return None


def run(args: argparse.Namespace, work: Path, results: Path) -> int:
    """Run what is asked for and has not been measured; the exit status."""
    os.environ[FOLDER] = str(results)
    path = work / "state.json"
    if args.restart:
        path.unlink(missing_ok=True)
    state = State(path, {"results": str(results), "smoke": args.smoke})
    asked = [one for one in BENCHMARKS if one.name in (args.only or NAMES)]
    left_out, failed = {}, {}
    work.mkdir(parents=True, exist_ok=True)
    for number, one in enumerate(asked, 1):
        label = f"[{number}/{len(asked)}] {one.name}"
        if one.name in state.done:
            print(f"{label}: measured {state.done[one.name]}, not again", flush=True)
        elif (why := obstacle(one, args)) is not None:
            left_out[one.name] = why
            print(f"{label}: left as it stands", flush=True)
        else:
            print(f"{label} ...", flush=True)
            begun = time.monotonic()
            wrong = measure(one, args, work, results)
            if wrong is None:
                state.finish(one.name)
                print(f"{label}: measured in {time.monotonic() - begun:.0f} s", flush=True)
            else:
                failed[one.name] = wrong
                print(f"{label}: FAILED", flush=True)
    from recipes.benchmarks.performance_table import table

    print(f"\n{table(results)}\n")
    for name, why in left_out.items():
        print(f"{name} was not measured: {why}. Its result stays as it was.", file=sys.stderr)
    for name, why in failed.items():
        print(f"{name} failed: {why}", file=sys.stderr)
    return 1 if failed or (args.only and left_out) else 0


def main() -> None:
    """Parse the command line and run."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="+", choices=NAMES, metavar="NAME", help=f"of {', '.join(NAMES)}")
    parser.add_argument(TEXT, type=Path, help="JSON Lines with prompt and completion, that models are trained on")
    parser.add_argument("--peers-python", type=Path, help="interpreter that has bergson; this one by default")
    parser.add_argument("--work", type=Path, help="state and logs; outputs/performance by default")
    parser.add_argument("--results", type=Path, help="where results are written; beside this script by default")
    parser.add_argument("--restart", action="store_true", help="measure again what is measured")
    parser.add_argument("--smoke", action="store_true", help="as small as it goes, into a temporary folder")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        scratch = Path(folder) if args.smoke else ROOT
        work = args.work or scratch / "outputs" / "performance"
        results = args.results or (Path(folder) if args.smoke else Path(__file__).parent / "results")
        sys.exit(run(args, work.resolve(), results.resolve()))


if __name__ == "__main__":
    main()
