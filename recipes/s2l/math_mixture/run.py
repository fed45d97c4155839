"""S2L on a real mixture of school mathematics, through the command line, against random and everything.

    python -m recipes.s2l.math_mixture.run --data ../shared/data

A proxy is trained once on the mixture while its losses are recorded; then for each seed S2L and random choose 11% of
the rows, and a target is trained for the same number of optimiser steps on each choice and on everything. What is
compared is the loss on the answers of gsm8k_test. No arm was tuned on it; a first run grouped rows by length, and its
training losses followed the length of the rows, so rows now come in random order. Models are tiny and start from
random weights: the numbers say how the pieces behave on real text, not what a pretrained model would gain.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
import yaml
from transformers import AutoModelForCausalLM, AutoTokenizer

from hf_datasel import Selection, __version__
from hf_datasel.cli import main as hf_datasel
from hf_datasel.functional.losses import label_log_probs
from hf_datasel.functional.statistics import paired_difference, spread
from recipes.benchmarks.common import machine_class, versions
from recipes.s2l.math_mixture import prepare

HERE = Path(__file__).parent
METHODS = ("s2l", "random", "full")
PACKAGES = ("torch", "transformers", "trl", "datasets", "faiss-cpu")


class StageClock:
    """Wall time by stage, kept as shares: absolute times say more about the machine than about the method."""

    def __init__(self) -> None:
        self.seconds: Counter[str] = Counter()

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        start = time.perf_counter()
        yield
        self.seconds[name] += time.perf_counter() - start

    def shares(self) -> dict[str, float]:
        return {name: round(value / self.seconds.total(), 3) for name, value in self.seconds.items()}


def command(name: str, **options: Any) -> None:
    """Run one `hf-datasel` command with its YAML file here and these flags; raises RuntimeError if it fails."""
    flags = [part for key, value in options.items() for part in (f"--{key}", str(value))]
    code = hf_datasel([name, "--config", str(HERE / f"{name}.yaml"), *flags])
    if code != 0:
        raise RuntimeError(f"hf-datasel {name} failed with exit code {code}")


def answer_loss(model_dir: Path, rows: list[dict[str, Any]], max_length: int) -> float:
    """Mean negative log-likelihood of the answers' tokens, in nats, over all answers' tokens together."""
    model = AutoModelForCausalLM.from_pretrained(model_dir).eval()
    tokenizer = AutoTokenizer.from_pretrained(model_dir)
    examples = []
    for row in rows:
        prompt = tokenizer(row["prompt"])["input_ids"]
        answer = [*tokenizer("\n" + row["completion"])["input_ids"], tokenizer.eos_token_id]
        examples.append(((prompt + answer)[:max_length], ([-100] * len(prompt) + answer)[:max_length]))
    examples.sort(key=lambda example: len(example[0]))
    total, num_tokens = 0.0, 0
    for start in range(0, len(examples), 32):
        batch = examples[start : start + 32]
        width = len(batch[-1][0])
        tokens = torch.tensor([ids + [tokenizer.pad_token_id] * (width - len(ids)) for ids, _ in batch])
        labels = torch.tensor([target + [-100] * (width - len(target)) for _, target in batch])
        with torch.no_grad():
            # Padding is on the right, where a causal model does not look from any labelled position.
            log_probs, mask = label_log_probs(model(input_ids=tokens).logits, labels)
        total, num_tokens = total - float(log_probs.sum()), num_tokens + int(mask.sum())
    return total / num_tokens


def summary(values: list[float]) -> dict[str, Any]:
    """Mean, standard error over seeds, and the values themselves."""
    found = spread(values)
    return {
        "mean": round(found.mean, 4),
        "standard_error": round(found.standard_error, 4),
        "per_seed": [round(value, 4) for value in values],
    }


def run(data: Path, work: Path, seeds: list[int]) -> dict[str, Any]:
    """The whole comparison in the folder `work`; returns what `result.json` holds."""
    clock = StageClock()
    mixture, test = work / "mixture.jsonl", list(prepare.read_rows(data / f"{prepare.TEST}.jsonl"))
    with clock.stage("prepare"):
        prepare.write_rows(mixture, [data / f"{source}.jsonl" for source in prepare.SOURCES])
        tokenizer = prepare.train_tokenizer(mixture)
        num_parameters = {"proxy": prepare.save_model(work / "proxy", "proxy", 0, tokenizer)}
        for seed in seeds:
            num_parameters["target"] = prepare.save_model(work / f"target-{seed}", "target", seed, tokenizer)
    sources = np.array([row["source"] for row in prepare.read_rows(mixture)])
    trace = work / "trace"
    with clock.stage("record"):
        command(
            "record",
            dataset=mixture,
            model_name_or_path=work / "proxy",
            trace_dir=trace,
            output_dir=work / "proxy-trained",
        )

    losses: dict[str, list[float]] = {method: [] for method in METHODS}
    kept: dict[str, dict[str, list[int]]] = {method: {name: [] for name in prepare.SOURCES} for method in METHODS}
    settings = {name: yaml.safe_load((HERE / f"{name}.yaml").read_text()) for name in ("record", "select", "train")}
    for seed in seeds:
        for method in METHODS:
            place = work / f"{method}-{seed}"
            choice = {
                "s2l": {"trace_dir": trace},
                "random": {"method": "random"},
                "full": {"method": "random", "budget": "1.0"},
            }
            with clock.stage("select"):
                command("select", **choice[method], dataset=mixture, seed=seed, output_dir=place / "selection")
            chosen = sources[Selection.load(place / "selection").ids]
            for name in prepare.SOURCES:
                kept[method][name].append(int((chosen == name).sum()))
            with clock.stage("train"):
                command(
                    "train",
                    dataset=mixture,
                    model_name_or_path=work / f"target-{seed}",
                    selection_path=place / "selection",
                    output_dir=place / "model",
                    seed=seed,
                )
            with clock.stage("evaluate"):
                losses[method].append(answer_loss(place / "model", test, settings["train"]["max_length"]))
            print(
                f"seed {seed}, {method}: {losses[method][-1]:.4f} nats per answer token of {prepare.TEST}", flush=True
            )
    difference = paired_difference("s2l", "random", losses)
    return {
        "recipe": "s2l/math_mixture",
        "machine": machine_class(),
        "versions": {"hf_datasel": __version__, **versions(*PACKAGES)},
        "seeds": seeds,
        "num_parameters": num_parameters,
        "vocab_size": prepare.VOCAB_SIZE,
        "num_rows": {name: int((sources == name).sum()) for name in prepare.SOURCES},
        "num_test_rows": len(test),
        "settings": settings,
        "num_kept": {method: {name: summary(counts) for name, counts in kept[method].items()} for method in METHODS},
        "answer_loss_on_gsm8k_test": {method: summary(values) for method, values in losses.items()},
        "s2l_minus_random": {
            "mean": round(difference.mean, 4),
            "interval": [round(difference.low, 4), round(difference.high, 4)],
            "is_clear": difference.is_clear,
        },
        "wall_time_shares": clock.shares(),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=Path("../shared/data"), help="folder of the JSON Lines files")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2], help="at least two, for a spread")
    parser.add_argument("--output", type=Path, default=HERE / "result.json", help="where the result is written")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as work:
        result = run(options.data, Path(work), options.seeds)
    options.output.write_text(json.dumps(result, indent=2) + "\n")
    print(f"wrote {options.output}")


if __name__ == "__main__":
    main()
