"""Which selection works, by `compare_selections`: generated skills, real mathematics, noisy clients, values of rows.

    python -m recipes.benchmarks.effectiveness.run --data DATA --work effectiveness --num_processes 2

Pieces, each of which one process does: "clean" and "corrupted" (30% wrong answers) hold all methods against each other
on generated skills, and S2L with other K; "checkpoints", "proxies" and "recording" vary its trajectories; "corpus-44"
and so on repeat a few methods on other corpora. "mathematics" is S2L and its paper's baselines on a real mixture,
"clients" CLUES on clients with damaged rows, "valuations" SHED. `--data` is a folder with the real rows:
gsm8k_train.jsonl, gsm8k_test.jsonl, mawps_asdiv.jsonl, svamp.jsonl and medquad.jsonl; a smoke run makes rows up.

What is in `--work` is not done again: a run that was killed goes on.
"""

from __future__ import annotations

import argparse
import gc
import json
import multiprocessing
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

import torch

from hf_datasel import __version__
from hf_datasel.compare.sharing import do_all
from hf_datasel.quickstart.progress import quiet_libraries
from hf_datasel.storage import read_json, write_json
from recipes.benchmarks.common import machine_class, versions, write_flat
from recipes.benchmarks.effectiveness import clients, mathematics, skills, valuations
from recipes.benchmarks.effectiveness.figures import draw_all
from recipes.benchmarks.effectiveness.setting import CORPORA, NUM_CHECKPOINTS, WORLDS, Setting

HERE = Path(__file__).parent
PACKAGES = ("torch", "transformers", "trl", "datasets", "faiss-cpu")
DIGITS = 6
Piece = Callable[[Setting, Path], dict[str, Any]]  # by part of the result and name within it


def part(setting: Setting, work: Path, name: str, run: Piece) -> dict[str, Any]:
    """A part of one piece, in a folder of its own."""
    return {name: run(setting, work / name)}


PARTS: dict[str, Piece] = {"mathematics": mathematics.run, "clients": clients.run, "valuations": valuations.run}
PIECES: dict[str, Piece] = {  # the long ones first
    **{name: partial(part, name=name, run=run) for name, run in PARTS.items()},
    **{world: partial(skills.world, name=world) for world in WORLDS},
    **{f"corpus-{seed}": partial(skills.corpus, seed=seed) for seed in CORPORA},
    "checkpoints": skills.checkpoints,
    "proxies": skills.proxies,
    "recording": skills.recording,
}


def run(setting: Setting, work: Path, pieces: Sequence[str], num_processes: int = 1) -> dict[str, Any]:
    """The pieces in the folder `work`, shared by so many processes; returns what `result.json` holds.

    Raises:
        ValueError: there is no such piece, or one lacks its real rows.
    """
    unknown = [piece for piece in pieces if piece not in PIECES]
    if unknown:
        raise ValueError(f"unknown piece {unknown[0]!r}: choose from {list(PIECES)}")
    real = [piece for piece in pieces if piece in PARTS]
    if real and setting.data is None and not setting.smoke:
        raise ValueError(
            f"{', '.join(real)}: real rows are needed; name their folder with --data, or leave these out."
        )
    begun, kept = time.monotonic(), work.is_dir() and any(work.iterdir())
    begin = multiprocessing.get_context("spawn").Process
    others = [begin(target=work_at, args=(setting, work, pieces)) for _ in range(num_processes - 1)]
    for process in others:
        process.start()
    work_at(setting, work, pieces)
    for process in others:
        process.join()
    found: dict[str, Any] = {
        "benchmark": "effectiveness",
        "machine": machine_class(),
        "versions": {"hf_datasel": __version__, **versions(*PACKAGES)},
        "settings": {
            "plan": {**asdict(setting.plan("clean")), "corrupted": WORLDS},
            "num_checkpoints": NUM_CHECKPOINTS,
            "methods": {method.label: method.describe() for world in WORLDS for method in setting.methods(world)},
            "equal": "steps",
            "smoke": setting.smoke,
        },
    }
    done = {piece: read_json(place(setting, work, piece), "piece") for piece in PIECES if piece in pieces}
    for one in done.values():
        for name, value in one["found"].items():
            found.setdefault(name, {}).update(value)
    found["minutes"] = {  # on the clock; of the whole only where the folder was empty, of a piece in its last process
        "num_processes": num_processes,
        "whole": None if kept else (time.monotonic() - begun) / 60,
        "pieces": {piece: one["minutes"] for piece, one in done.items()},
    }
    return _rounded(found)


def pieces_of(setting: Setting) -> list[str]:
    """What a whole run does: in a smoke run one other corpus stands for all."""
    left_out = [f"corpus-{seed}" for seed in CORPORA if seed not in setting.corpora]
    return [piece for piece in PIECES if piece not in left_out]


def work_at(setting: Setting, work: Path, pieces: Sequence[str]) -> None:
    """Do what no other process does; return when all is done."""
    torch.set_num_threads(1)
    gc.freeze()  # every Trainer collects garbage; what the imports left behind need not be searched each time

    def do(piece: str) -> None:
        begun = time.monotonic()
        found = PIECES[piece](setting, work)
        path = place(setting, work, piece)
        path.parent.mkdir(parents=True, exist_ok=True)
        write_json(path, {"found": found, "minutes": (time.monotonic() - begun) / 60})

    with quiet_libraries():
        do_all(pieces, partial(place, setting, work), do, lambda number: None)


def place(setting: Setting, work: Path, piece: str) -> Path:
    """Where a piece's result goes."""
    return work / "pieces" / f"{piece}-{setting.num_seeds}{'-smoke' * setting.smoke}.json"


def _rounded(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _rounded(one) for name, one in value.items()}
    if isinstance(value, list | tuple):
        return [_rounded(one) for one in value]
    return float(f"{value:.{DIGITS}g}") if isinstance(value, float) else value


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, help="folder of the real rows")
    parser.add_argument("--work", type=Path, help="kept pieces, for a run that goes on; else a temporary folder")
    parser.add_argument("--pieces", nargs="+", choices=list(PIECES), help="all if not given")
    parser.add_argument("--num_seeds", type=int, default=5)
    parser.add_argument("--num_processes", type=int, default=1, help="at work side by side, a thread each")
    parser.add_argument("--smoke", action="store_true", help="seconds instead of minutes; says nothing of methods")
    parser.add_argument("--output", type=Path, default=HERE / "result.json", help="where the result is written")
    options = parser.parse_args()
    setting = Setting(options.num_seeds, options.smoke, options.data)
    pieces = options.pieces or pieces_of(setting)
    with tempfile.TemporaryDirectory() as scratch:
        content = run(setting, options.work or Path(scratch), pieces, options.num_processes)
    write_flat(options.output, content)
    draw_all(content, options.output.parent)
    verdicts = {world: one["verdicts"] for world, one in content.get("worlds", {}).items()}
    print(json.dumps(verdicts, indent=1))
    print(f"wrote {options.output}")


if __name__ == "__main__":
    main()
