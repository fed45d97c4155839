"""How costs grow: selecting with the number of rows, beside published codes' loops; recording with the model's size.

    python -m recipes.benchmarks.growth [--only s2l llama_64 ...] [--resume] [--smoke]

A ratio compares sizes, or ways, within a round of one run, in CPU time of one thread; the order turns every round. A
ratio of times over a ratio of sizes also says the exponent, log(times) / log(sizes). After each case the result is
written, so that `--resume` goes on with what is missing.
"""

from __future__ import annotations

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")  # read when numpy and faiss are imported

import argparse
import gc
import json
import math
import sys
import time
from typing import Any

from tqdm.auto import tqdm

from recipes.benchmarks import common
from recipes.benchmarks.common import interleaved, print_table, summary, write_result
from recipes.benchmarks.growth_figure import draw
from recipes.benchmarks.growth_rows import BUDGET, CASES, Case

LEAST_SECONDS = 0.1  # a shorter work is done several times in a row
SMOKE_SIZES, SMOKE_ROUNDS, SMOKE_WIDTH = 50, 2, 64  # as many times fewer rows; no wider model
LLAMAS = {f"llama_{width}": width for width in (64, 128, 256, 448)}
PACKAGES = ("numpy", "faiss-cpu", "datasets", "torch", "transformers", "trl", "peft")


def grown(case: Case, sizes: list[int], seconds: dict[str, list[float]]) -> dict[str, Any]:
    """Ratios of each size's time to the smallest one's, with the exponent."""
    base, found = sizes[0], {}
    for size in sizes[1:]:
        pairs = [more / less for more, less in zip(seconds[str(size)], seconds[str(base)], strict=True)]
        ratio = summary(pairs)
        exponents = [
            round(math.log(times) / math.log(size / base), 3) for times in (ratio["median"], *ratio["interval"])
        ]
        found[str(size)] = {
            "measured": f"{case.what}, {size:,} {case.unit}",
            "reference": f"{base:,} {case.unit}",
            "times_as_many": size / base,
            "exponent": exponents[0],
            "exponent_interval": exponents[1:],
            **ratio,
        }
    return found


def measure(case: Case, seed: int, *, divisor: int = 1, rounds: int | None = None) -> dict[str, Any]:
    """One case at all its sizes, divided by `divisor` while trying things out."""
    sizes, loop_sizes = ([size // divisor for size in some] for some in (case.sizes, case.loop_sizes))
    works = {str(size): case.prepare(size, seed) for size in sizes}
    if case.loop is not None:
        works |= {f"loop, {size}": case.loop(size, seed) for size in loop_sizes}
    seconds = interleaved(works, rounds or case.rounds, clock=time.process_time, least_seconds=LEAST_SECONDS / divisor)
    found: dict[str, Any] = {
        "what": case.what,
        "unit": case.unit,
        "sizes": sizes,
        "ends": case.ends,
        "grows": grown(case, sizes, seconds),
    }
    if case.loop is not None:
        found["loop"] = {
            str(size): {
                "measured": f"{case.what}, {size:,} {case.unit}",
                "reference": case.loop_is,
                **summary(
                    [ours / theirs for ours, theirs in zip(seconds[str(size)], seconds[f"loop, {size}"], strict=True)]
                ),
            }
            for size in loop_sizes
        }
    return found


def measure_llama(name: str, smoke: bool) -> dict[str, Any]:
    """One size of model; torch is imported here."""
    from recipes.benchmarks.growth_models import measure_model

    return measure_model(LLAMAS[name], smoke=smoke)


def settings_of(args: argparse.Namespace) -> dict[str, Any]:
    """What a result that is gone on with must share."""
    settings = {"seed": args.seed, "budget": BUDGET, "threads": 1, "clock": "process_time; models: thread_time"}
    return settings | {"least_seconds": LEAST_SECONDS, "smoke": args.smoke}


def begun(settings: dict[str, Any]) -> dict[str, Any]:
    """The result so far.

    Raises:
        ValueError: it was measured with other settings.
    """
    path = common.RESULTS / "growth.json"
    found = json.loads(path.read_text()) if path.exists() else {"settings": settings, "cases": {}, "models": {}}
    if found["settings"] != settings:
        raise ValueError(
            f"{path} was measured with other settings: measure all of it anew, without --resume or --only."
        )
    return {name: found[name] for name in ("settings", "cases", "models")}


def main() -> None:
    """Measure, write after each case, draw and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    names = [*CASES, *LLAMAS]
    parser.add_argument("--only", nargs="+", choices=names, metavar="CASE", help=f"of {', '.join(names)}; others stay")
    parser.add_argument("--resume", action="store_true", help="go on with what is missing in results/growth.json")
    parser.add_argument("--smoke", action="store_true", help="fewer rows, two rounds, small models")
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    gc.collect()
    gc.freeze()  # what the imports left behind is not searched before every timing
    settings = settings_of(args)
    result = begun(settings) if args.resume or args.only else {"settings": settings, "cases": {}, "models": {}}
    asked = args.only or [name for name in names if not (args.smoke and LLAMAS.get(name, 0) > SMOKE_WIDTH)]
    wanted = [name for name in asked if not (args.resume and name in {**result["cases"], **result["models"]})]
    divisor, rounds = (SMOKE_SIZES, SMOKE_ROUNDS) if args.smoke else (1, None)
    for name in tqdm(wanted, desc="growth", unit="case", disable=not sys.stderr.isatty()):
        begin = time.process_time()
        if name in LLAMAS:
            result["models"][name] = measure_llama(name, args.smoke)
        else:
            result["cases"][name] = measure(CASES[name], args.seed, divisor=divisor, rounds=rounds)
        path = write_result("growth", result, packages=PACKAGES)
        print(f"{name}: {time.process_time() - begin:.0f} s of CPU time", flush=True)
    entries = [
        one for case in result["cases"].values() for one in (*case["grows"].values(), *case.get("loop", {}).values())
    ]
    entries += [model[name] for model in result["models"].values() for name in ("recording", "sweep", "one_by_one")]
    print_table(
        ["measured", "against", "ratio", "95% interval", "exponent"],
        [
            [one["measured"], one["reference"], one["median"], one["interval"], one.get("exponent", "")]
            for one in entries
        ],
    )
    path = common.RESULTS / "growth.json"
    draw(result, path.with_suffix(".png"))
    print(f"written to {path} and {path.with_suffix('.png').name}")


if __name__ == "__main__":
    main()
