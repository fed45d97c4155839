"""`compare_selections`: the whole comparison, from a model and its data to a report.

1. refuse what cannot be done                                                       -> comparison.json
2. record what the methods choose by, once for all of them                          -> evidence/
3. select, train the target, measure it: a cell for each method, budget and seed    -> selections/, cells/
4. sum up                                                                           -> result.json, report/
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from accelerate import PartialState
from datasets import Dataset
from peft import PeftConfig
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from hf_datasel.compare.choosing import is_yardstick
from hf_datasel.compare.comparison import Comparison, load_comparison, write_comparison
from hf_datasel.compare.evidence import SharedEvidence
from hf_datasel.compare.folder import EVIDENCE, claim
from hf_datasel.compare.grid import FULL
from hf_datasel.compare.inputs import Inputs, Prepared, Selectors
from hf_datasel.compare.jobs import SELECTIONS, Bench, is_better_low
from hf_datasel.compare.plan import Cell, Equal, Method, Plan
from hf_datasel.compare.result import summarise
from hf_datasel.compare.sharing import do_all
from hf_datasel.selection import Selection
from hf_datasel.storage import read_json
from hf_datasel.training.broadcast import decide_once
from hf_datasel.training.config import SelectingSFTConfig
from hf_datasel.training.progress import OneBar
from hf_datasel.training.side_training import free_memory
from hf_datasel.training.utility.exchange import work_together
from hf_datasel.training.utility.given_metrics import MetricFunction
from hf_datasel.training.utility.metrics import Metric


def compare_selections(
    model: str | PreTrainedModel,
    args: SelectingSFTConfig,
    train_dataset: Dataset,
    test_dataset: Dataset,
    *,
    methods: Sequence[str | Method],
    budgets: Sequence[int | float],
    num_seeds: int = 3,
    equal: Equal = "steps",
    metrics: Sequence[str | MetricFunction | Metric] = ("loss", "exact_match"),
    group_column: str | None = None,
    output_dir: str | os.PathLike[str] | None = None,
    validation_dataset: Dataset | None = None,
    anchor_dataset: Dataset | None = None,
    processing_class: PreTrainedTokenizerBase | None = None,
    peft_config: PeftConfig | None = None,
    proxy_model: PreTrainedModel | None = None,
    proxy_processing_class: PreTrainedTokenizerBase | None = None,
    proxy_peft_config: PeftConfig | None = None,
    formatting_func: Callable[[dict[str, Any]], str] | None = None,
) -> Comparison:
    """Which selection is worth its cost on these data: train on what each method selects, and measure on test rows.

    What the methods select by is recorded once for all of them, with its cost. Every method then selects at every
    budget, ``num_seeds`` times; the model is trained on each selection from the same start, and measured. Random rows
    and all rows are always among the methods. A comparison that was killed continues when it is called again, and may
    be given more methods, budgets or repetitions. Under ``accelerate launch`` the processes record together and share
    the trainings, each of which is one process's alone (a batch is that of one process).

    Repetitions differ in the selectors' draws, in the order of the rows and in the adapter that is drawn:
    repetition i takes ``args.selection_seed + i`` and ``args.seed + i``. They share the recorded evidence, the model
    and the data, so that intervals speak of selecting and training, not of other proxies or other data.

    Args:
        model: what is trained: name, path or object. An object stays as it was.
        args: of the trainings and of the evidence. Of a training nothing is saved, reported or pushed.
        train_dataset: everything there is to select from, in a format of TRL's.
        test_dataset: rows in the same format, none of them in ``train_dataset``, that nothing is selected by.
        methods: names of selectors; chains, as "clues:0.5,s2l", whose shares are of all rows; "label=chain"; or a
            `hf_datasel.compare.plan.Method`, which has options of its own. "confidence_curriculum" trains on all rows
            in an order of its own and is held against all rows alone. "oracle" (of rows known to be good, by the
            column that its options name) is a yardstick, which the verdict does not take for a choice.
        budgets: shares of the rows in (0, 1], or numbers of rows.
        num_seeds: repetitions.
        equal: "steps": as many optimiser steps on every selection as ``args`` takes on everything; or "epochs".
        metrics: "loss" (mean over all label tokens, in nats), "exact_match" (share of rows that greedy decoding
            answers exactly), "log_likelihood", a metric of ``evaluate`` by name, by the path of its script or as an
            ``EvaluateMetric``, which says whether more is better, or a function, as `FineTuneUtility` takes them.
            The first one is what the verdict speaks of.
        group_column: of ``test_dataset``; metrics are taken in its groups, too.
        output_dir: ``args.output_dir`` if not given.
        validation_dataset, anchor_dataset: trusted rows, for methods that read them; see `SelectingSFTTrainer`.
        processing_class: tokenizer of ``model``.
        peft_config: adapter to train; None to train all weights.
        proxy_model: as an object; by name it is ``args.proxy_model``. Without either, evidence comes from a copy of
            the model itself.
        proxy_processing_class, proxy_peft_config: of the proxy.
        formatting_func: as in SFTTrainer.

    Returns:
        What was found, as it stands in ``output_dir``: `result.json`, `report/`.

    Raises:
        TypeError: something of another kind than stated.
        ValueError: before any training: a method that is not known or lacks rows to read, a budget out of range, a
            test row that is a training, validation or anchor row, an option of a single selection, or an
            ``output_dir`` of another comparison; named.
        RuntimeError: a cell could not be done; names it. What was done is kept.

    Example::

        comparison = compare_selections(
            "Qwen/Qwen3-0.6B",
            SelectingSFTConfig(output_dir="compare", proxy_model="EleutherAI/pythia-70m"),
            train, test, methods=["s2l", "perplexity:0.5,s2l"], budgets=[0.05, 0.1, 0.2, 0.4],
        )
        print(comparison.verdict)
    """
    inputs = Inputs.checked(
        args,
        train_dataset,
        model=model,
        test=test_dataset,
        validation=validation_dataset,
        anchors=anchor_dataset,
        processing_class=processing_class,
        peft_config=peft_config,
        proxy_model=proxy_model,
        proxy_processing_class=proxy_processing_class,
        proxy_peft_config=proxy_peft_config,
        formatting_func=formatting_func,
    )
    plan = Plan(methods, budgets, num_seeds, args.seed, equal, metrics, group_column)
    selectors = inputs.selectors(plan)
    root = Path(args.output_dir if output_dir is None else output_dir)
    bench = _record(inputs, inputs.prepare(plan), plan, selectors, root)
    free_memory()  # of what evidence was recorded with
    work_together(lambda: _do(bench, plan.cells()))

    def sum_up() -> bytes:
        costs = {label: bench.evidence.costs(chain) for label, chain in selectors.items()}
        write_comparison(_summary(bench, selectors, costs), root)
        return b""

    decide_once(PartialState(), sum_up, "Summing up the comparison")
    return load_comparison(root)


def _record(inputs: Inputs, prepared: Prepared, plan: Plan, selectors: Selectors, root: Path) -> Bench:
    """Take up the folder, make the evidence, and be ready for the cells."""

    def take_up() -> bytes:
        claim(root, plan, prepared.settings, overwrite=inputs.args.selection_overwrite)
        return b""

    decide_once(prepared.accelerator, take_up, "Taking up the comparison")
    evidence = SharedEvidence(
        root / EVIDENCE,
        [selector for chain in selectors.values() for selector in chain],
        inputs.train,
        inputs.args,
        inputs.validation,
        inputs.anchors,
        prepared.accelerator,
        prepared.settings,
    )
    evidence.record(prepared.make_proxy)
    return Bench(plan, root, inputs.train, evidence, prepared.target, prepared.measure)


def _do(bench: Bench, cells: Sequence[Cell]) -> None:
    """All cells, shared with other processes, under one bar."""
    done = sum(bench.place(cell).is_file() for cell in cells)
    with OneBar(len(cells), "Comparing", "training", PartialState().is_main_process, done) as bar:
        told = [done]

        def see(number: int) -> None:
            bar.advance(f"{number} of {len(cells)} done", max(0, number - told[0]))
            told[0] = max(number, told[0])

        do_all(cells, bench.place, bench.do, see)


def _summary(bench: Bench, selectors: Selectors, costs: Mapping[str, Sequence[Mapping[str, Any]]]) -> dict[str, Any]:
    cells, args = bench.plan.cells(), bench.target.args
    low = [name for name, metric in bench.measure.metrics.items() if is_better_low(metric)]
    per_step = args.per_device_train_batch_size * args.gradient_accumulation_steps
    outcomes = [read_json(bench.place(cell), "cell") for cell in cells]
    return summarise(
        [{**one, "metrics": {name: one["metrics"][name] for name in bench.plan.metric_names}} for one in outcomes],
        costs,
        _Saved(bench.root / SELECTIONS, {(cell.method.label, cell.budget, cell.seed): cell for cell in cells}),
        lower_is_better=low,
        examples_per_step=None if args.packing else per_step,
        yardsticks=[label for label, chain in selectors.items() if is_yardstick(chain)],
        on_all=[one.label for one in bench.plan.methods if one.is_on_all and one.label != FULL],
    )


@dataclass(frozen=True, eq=False)
class _Saved(Mapping[tuple[str, int | float, int], Selection]):
    """Selections of cells, loaded when they are asked for."""

    folder: Path
    cells: Mapping[tuple[str, int | float, int], Cell]

    def __getitem__(self, place: tuple[str, int | float, int]) -> Selection:
        return Selection.load(self.folder / self.cells[place].name)

    def __contains__(self, place: object) -> bool:
        return place in self.cells

    def __iter__(self) -> Iterator[tuple[str, int | float, int]]:
        return iter(self.cells)

    def __len__(self) -> int:
        return len(self.cells)
