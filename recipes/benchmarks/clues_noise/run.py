"""CLUES against noise: which scores tell clean rows from damaged ones, and what selecting by them gains.

    python -m recipes.benchmarks.clues_noise.run --data ../shared/data

Two worlds of five clients each (`data.py`), four kinds of damage (`corrupt.py`), a base model of a million parameters
that is trained on clean rows outside the clients' (`model.py`), an adapter a client (`lab.py`). Every cell (a world, a
pattern of noise, a seed) is a JSON file of its own in `--work`, written whole: a run that was killed goes on with the
cells that are missing. `--pool development` is for choosing settings; results are from the evaluation pool.

What the committed result says, and where CLUES loses (three seeds):

- Mismatched answers alone (medquad): gradients against the validation gradient are beaten by IFD read the other way
  round (low is good) and by pairing, which ask the very question, whether the answer fits its own prompt better than
  none or another; the default's other detectors then only add false alarms. IFD as published is upside down on such
  data.
- Four kinds together: each detector is blind to some kind (pairing and IFD to truncation, perplexity to mismatching
  and truncation), and the weakest link of several is ahead of the published score, of IFD and of perplexity. What its
  gradients add to pairing and loss, and its lead over the plain cosine, three seeds do not settle.
- The mean of the anchors as threshold keeps too few rows of every score; the conformal rule is close to the best F1.
- Held-out loss: the base has learned all that these clients teach, so the oracle gains nothing over it and what is
  compared is how much of the harm of damaged rows is undone. Whatever removes shuffled and foreign rows undoes all of
  it, perplexity included, whatever mismatched rows it leaves in. It does not tell the scores apart.
- The generated skills are too easy: pairing, IFD and nearly every fused score find all damaged rows.
- The default's detectors were chosen on the development pool (`development.json`: `--pool development --worlds medquad
  --patterns mismatched-50 mixed-50 --detection-only`): in conformal F1 two, without a gradient, and three are equal in
  the mean of both patterns, .852 and .847, four are behind, .810; of four kinds of damage three are ahead.
"""

from __future__ import annotations

import argparse
import functools
import json
import tempfile
import time
from pathlib import Path
from typing import Any

import datasets
import torch
from transformers import LlamaForCausalLM, PreTrainedTokenizerFast
from transformers.utils import logging

from hf_datasel import __version__
from hf_datasel.storage import write_json
from recipes.benchmarks.clues_noise.cell import PATTERNS, detect, train_arms
from recipes.benchmarks.clues_noise.data import POOLS, World, load_world
from recipes.benchmarks.clues_noise.lab import Lab
from recipes.benchmarks.clues_noise.model import load_or_train
from recipes.benchmarks.clues_noise.summary import summarise
from recipes.benchmarks.common import machine_class, versions, write_flat

HERE = Path(__file__).parent
PACKAGES = ("torch", "transformers", "trl", "peft", "datasets")
WORLDS = {"medquad": list(PATTERNS), "skills": ["mismatched-50", "mixed-50"]}


def run(options: argparse.Namespace) -> list[dict[str, Any]]:
    """All cells; what is on the disk is read, the rest computed: first what is detected, then what is trained."""
    cells = []
    for world in options.worlds:
        bench = Bench(world, options.pool, options.data, options.work / f"{world}-{options.pool}")
        names = options.patterns or WORLDS[world]
        if unknown := set(names) - set(PATTERNS):
            raise ValueError(f"unknown pattern {sorted(unknown)[0]!r}; there are {tuple(PATTERNS)}")
        for name in names:
            of_pattern = [
                {"world": world, "pattern": name, "seed": seed, **bench.piece(name, seed, "detection")}
                for seed in options.seeds
            ]
            for cell in of_pattern if PATTERNS[name].trains and not options.detection_only else []:
                cell["held_out"] = bench.piece(name, cell["seed"], "held_out", cell["kept"])
            cells += of_pattern
    return cells


class Bench:
    """A world with its base model, both loaded when first needed, and the pieces of result on the disk."""

    def __init__(self, world: str, pool: str, data: Path, work: Path) -> None:
        self._load = lambda: load_world(world, pool, data)
        self._work = work

    @functools.cached_property
    def _world(self) -> World:
        return self._load()

    @functools.cached_property
    def _base(self) -> tuple[LlamaForCausalLM, PreTrainedTokenizerFast]:
        return load_or_train(self._world, self._work / "base")

    def piece(self, name: str, seed: int, what: str, kept: Any = None) -> dict[str, Any]:
        """What a pattern and a seed give: from the disk, or computed and put there."""
        path = self._work / f"{name}-{seed}-{what}.json"
        if path.exists():
            return json.loads(path.read_text())
        lab = Lab(*self._base, self._work / "scratch", seed)
        start = time.perf_counter()
        if what == "detection":
            found = detect(self._world, PATTERNS[name], seed, lab)
        else:
            found = train_arms(self._world, PATTERNS[name], seed, lab, kept)
        write_json(path, found)
        print(f"{self._work.name} {name} {seed} {what}: {time.perf_counter() - start:.0f} s", flush=True)
        return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=Path("../shared/data"), help="folder of the JSON Lines files")
    parser.add_argument("--work", type=Path, default=Path(tempfile.gettempdir()) / "clues_noise", help="kept cells")
    parser.add_argument("--worlds", nargs="+", default=list(WORLDS), choices=list(WORLDS))
    parser.add_argument("--patterns", nargs="+", default=[], help=f"of {tuple(PATTERNS)}; all by default")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--detection-only", action="store_true", help="train no merged models")
    parser.add_argument("--pool", choices=POOLS, default="evaluation")
    parser.add_argument("--output", type=Path, default=HERE / "result.json")
    options = parser.parse_args()
    torch.set_num_threads(1)
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    datasets.disable_progress_bars()
    cells = run(options)
    content = {
        "benchmark": "clues_noise",
        "machine": machine_class(),
        "versions": {"hf_datasel": __version__, **versions(*PACKAGES)},
        "pool": options.pool,
        "seeds": options.seeds,
        **summarise(cells),
    }
    write_flat(options.output, content)
    print(f"wrote {options.output}")


if __name__ == "__main__":
    main()
