"""SHED's effect: what keeping a tenth by values gains where 40% of the rows are damaged, and what values cost.

    python -m recipes.benchmarks.shed.run --data ../shared/data

Two worlds (`data.py`), damaged in whole topics or scattered; values of clusters by fine-tunes on coalitions of proxies
and values of rows by one watched training (`lab.py`); a training on each choice at equal steps (`cell.py`); a game of
ten players with all its coalitions (`game.py`). Every piece is a JSON file of its own in `--work`, written whole: a
run that was killed goes on with the pieces that are missing, and `--only-read` makes a result of those that are there.
`--pool development` is for choosing settings; results are from the evaluation pool.

Seeds 0 to 2 of the evaluation pool were used to think; what came of it was compared with other ideas on the
development pool (`development.json`) and declared (`DECLARED` of `cell.py`) before seeds 3 to 10 were run, which are
the result. The pieces were computed side by side, with the same base models. What it says, and where SHED loses:

- Declared: values clean, and do not narrow: a tenth drawn at random from the better half of the rows by in-run
  cosines. Scattered damage: below training on everything, clear in both worlds. Concentrated: level with everything,
  and below a random tenth, clear in both. Values are of rows there, too.
- By values of clusters alone no tenth is clearly below random's loss, nor full's. They do tell damage where it is
  concentrated (AUROC 0.66 to 0.75), and QWCS keeps fewer damaged rows; but the more sharply they decide, the worse:
  f = 3 is worse than f = 1, and QOCS, which takes the best clusters whole, is the worst arm in all four. What is lost
  is breadth: the best clusters, and the rows with the largest values, are few and alike. By values of rows the same
  shows but for scattered damage on the skills, where QOCS, QWCS and the uniform draw come out alike: of the top tenth
  by cosines 5% and 10% is damaged where damage is scattered, yet on real rows its loss is far above random's.
- Where damage is scattered no cluster's value tells anything (AUROC 0.50 to 0.51), and in-run values of rows do: 0.63
  and 0.67 as published, 0.83 and 0.71 by cosines.
- An oracle's tenth is the floor: where damage is concentrated it gains nothing over everything, since whole topics
  then have no row left.
- Banzhaf values of few proxies tell damaged clusters as Shapley values do.
- Regression ranks ten players 2.3 to 4.3 times as well as the released code's arithmetic at 20 to 240 fine-tunes,
  which takes v of nothing for 0. With that measured (the paper's in the table) the lead is 1.1 to 1.3 times.
- The declared tenth has 105 to 118% of the gain over the base that regression's QWCS has; the top by in-run values as
  published 82 to 102%. They take one fine-tune for 100 or 200, yet of processor time 43 to 92%: fine-tunes on
  coalitions are tiny, and many adapters are trained at once.
- Chosen by the Llama, trained by GPT-NeoX or GPT-2: the declared tenth is clearly better than random where damage is
  scattered, and worse than everything; clusters by regression are not to be told from random.
"""

from __future__ import annotations

import argparse
import functools
import json
import re
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import datasets
import torch
from transformers import PreTrainedModel, PreTrainedTokenizerFast
from transformers.utils import logging

from hf_datasel import __version__
from hf_datasel.storage import write_json
from recipes.benchmarks.common import machine_class, versions, write_flat
from recipes.benchmarks.shed.cell import BASE, DECLARED, FULL, RANDOM, held_out, value_rows
from recipes.benchmarks.shed.data import PATTERNS, POOLS, WORLDS, World, deal, load_world
from recipes.benchmarks.shed.game import play
from recipes.benchmarks.shed.lab import Lab
from recipes.benchmarks.shed.model import FAMILIES, load_or_train
from recipes.benchmarks.shed.summary import summarise

HERE = Path(__file__).parent
PACKAGES = ("torch", "transformers", "trl", "peft", "datasets")
PARTS = ("cells", "game", "transfer")
# Chosen by the Llama, trained on by other families; the generated skills alone.
TRANSFERRED = {"concentrated": "regression, QWCS", "scattered": DECLARED}


class Bench:
    """A world, its base models, and the pieces of result on the disk; all made when first needed.

    Args:
        name, pool, data: see `load_world`.
        work: folder of the pieces and the base models.
        only_read: whether a piece that is missing is left out.
    """

    def __init__(self, name: str, pool: str, data: Path, work: Path, *, only_read: bool = False) -> None:
        self.name, self._pool, self._data = name, pool, data
        self._work, self._only_read = work, only_read
        self._bases: dict[str, tuple[PreTrainedModel, PreTrainedTokenizerFast]] = {}

    def cell(self, pattern: str, seed: int) -> dict[str, Any] | None:
        """Values, the rows kept by them, and what is learned from these."""
        valued = self._piece(f"{pattern}-{seed}-values", lambda: value_rows(self._lab(pattern, seed)))
        if valued is None:
            return None
        kept = valued.pop("kept")
        arms = {BASE: None, **kept}
        found = {arm: self._held_out(pattern, seed, "llama", arm, rows) for arm, rows in arms.items()}
        if None in found.values():
            return None
        return {"world": self.name, "pattern": pattern, "seed": seed, **valued, "held_out": found}

    def transfer(self, pattern: str, seed: int, family: str) -> dict[str, Any] | None:
        """What another family learns from the rows that the Llama's values keep, from random ones and from all."""
        valued = self._piece(f"{pattern}-{seed}-values", lambda: value_rows(self._lab(pattern, seed)))
        if valued is None:
            return None
        arms = {BASE: None} | {arm: valued["kept"][arm] for arm in (RANDOM, FULL, TRANSFERRED[pattern])}
        found = {arm: self._held_out(pattern, seed, family, arm, rows) for arm, rows in arms.items()}
        if None in found.values():
            return None
        return {"pattern": pattern, "seed": seed, "family": family, "held_out": found}

    def game(self, seed: int) -> dict[str, Any] | None:
        """v of all coalitions of ten proxies."""
        found = self._piece(f"game-{seed}", lambda: {"values": play(self._lab("concentrated", seed))})
        return None if found is None else {"seed": seed, **found}

    def _held_out(self, pattern: str, seed: int, family: str, arm: str, rows: Any) -> dict[str, Any] | None:
        name = f"{pattern}-{seed}-{family}-{re.sub(r'[^a-z]+', '_', arm.lower())}"
        return self._piece(name, lambda: held_out(self._lab(pattern, seed, family), rows))

    def _piece(self, name: str, make: Callable[[], dict[str, Any]]) -> dict[str, Any] | None:
        """From the disk, or computed and put there."""
        path = self._work / f"{self.name}-{self._pool}" / f"{name}.json"
        if path.exists():
            return json.loads(path.read_text())
        if self._only_read:
            return None
        start = time.perf_counter()
        found = make()
        path.parent.mkdir(parents=True, exist_ok=True)
        write_json(path, found)
        print(f"{self.name} {name}: {time.perf_counter() - start:.0f} s", flush=True)
        return found

    @functools.cached_property
    def _world(self) -> World:
        return load_world(self.name, self._pool, self._data)

    def _lab(self, pattern: str, seed: int, family: str = "llama") -> Lab:
        if family not in self._bases:
            self._bases[family] = load_or_train(self._world, family, self._work / f"base-{self.name}-{family}")
        scratch = self._work / f"{self.name}-{self._pool}" / "scratch" / f"{pattern}-{seed}"
        return Lab(self.name, *self._bases[family], deal(self._world, pattern, seed), scratch, seed)


def collect(options: argparse.Namespace) -> dict[str, list[dict[str, Any]]]:
    """All pieces; what is on the disk is read, the rest computed."""
    found: dict[str, list[dict[str, Any] | None]] = {part: [] for part in PARTS}
    for name in options.worlds:
        bench = Bench(name, options.pool, options.data, options.work, only_read=options.only_read)
        for seed in options.seeds:
            if "cells" in options.parts:
                found["cells"] += [bench.cell(pattern, seed) for pattern in options.patterns]
            if "game" in options.parts and name == "skills":
                found["game"].append(bench.game(seed))
            if "transfer" in options.parts and name == "skills":
                found["transfer"] += [
                    bench.transfer(pattern, seed, family) for pattern in options.patterns for family in FAMILIES[1:]
                ]
    return {part: [one for one in some if one is not None] for part, some in found.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=Path("../shared/data"), help="folder of the JSON Lines files")
    parser.add_argument("--work", type=Path, default=Path(tempfile.gettempdir()) / "shed", help="kept pieces")
    parser.add_argument("--worlds", nargs="+", default=list(WORLDS), choices=list(WORLDS))
    parser.add_argument("--parts", nargs="+", default=list(PARTS), choices=PARTS)
    parser.add_argument("--patterns", nargs="+", default=list(PATTERNS), choices=PATTERNS)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--pool", choices=POOLS, default="evaluation")
    parser.add_argument("--only-read", action="store_true", help="write the result of what is there, compute nothing")
    parser.add_argument("--output", type=Path, default=HERE / "result.json")
    options = parser.parse_args()
    torch.set_num_threads(1)
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    datasets.disable_progress_bars()
    content = {
        "benchmark": "shed",
        "machine": machine_class(),
        "versions": {"hf_datasel": __version__, **versions(*PACKAGES)},
        "pool": options.pool,
        **summarise(collect(options)),
    }
    write_flat(options.output, content)
    print(f"wrote {options.output}")


if __name__ == "__main__":
    main()
