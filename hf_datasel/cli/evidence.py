"""What `hf-datasel record` makes without a training on everything: embeddings, numbers of texts, SHED's valuation."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hf_datasel.cli import UsageError
from hf_datasel.cli.console import print_once
from hf_datasel.cli.measures import MeasureArguments, next_step
from hf_datasel.cli.rows import DatasetArguments, HeldOutArguments
from hf_datasel.cli.training import model_arguments
from hf_datasel.training.valuation_options import ValuationOptions

if TYPE_CHECKING:
    from hf_datasel import Embeddings
    from hf_datasel.cli.record import RecordArguments
    from hf_datasel.training.stage_proxy import Learner


def write_evidence(
    measures: MeasureArguments,
    options: RecordArguments,
    valuation: ValuationOptions,
    dataset_options: DatasetArguments,
    held_out: HeldOutArguments,
    training_args: Any,
    model_args: Any,
) -> None:
    """Make what `measures` asks for at --trace_dir, and say what it is.

    Raises:
        UsageError: no model is named where one is needed.
        FileExistsError: --trace_dir is taken.
        ValueError, FileNotFoundError: what the rows, the embedder or the model refuse.
    """
    place = Path(options.trace_dir)
    reads_model = measures.metric == "shapley" or (measures.metric == "embeddings" and valuation.embedder == "model")
    if reads_model and model_args.model_name_or_path is None:
        raise UsageError("the following arguments are required: --model_name_or_path")
    _require_free(place, options.overwrite, training_args)
    dataset, trusted = dataset_options.load(), held_out.load_held_out()["validation_dataset"]

    def learner() -> Learner:
        from hf_datasel.training.stage_proxy import Learner

        given = model_arguments(model_args, training_args)
        if given["quantization_config"] is not None:
            training_args.model_init_kwargs["quantization_config"] = given["quantization_config"]
        return Learner(given["model"], None, training_args, given["peft_config"])

    said = WRITERS[measures.metric](_Work(place, dataset, trusted, measures, valuation, training_args, learner))
    print_once(said, f"next: {next_step(measures, options.trace_dir, False)}")


def _require_free(place: Path, overwrite: bool, training_args: Any) -> None:
    """Looked at by one process: the others might look when it has written there already."""
    from accelerate import PartialState

    from hf_datasel.training.broadcast import decide_once

    def look() -> bytes:
        if place.exists() and not overwrite:
            raise FileExistsError(f"{place} exists: pass --overwrite to replace it, or another --trace_dir")
        return b""

    assert training_args.device is not None  # says where the processes meet
    decide_once(PartialState(), look, "Looking at --trace_dir")


@dataclass(frozen=True, eq=False)
class _Work:
    """What a writer is given: where to, the rows, and the options."""

    place: Path
    dataset: Any
    trusted: Any
    measures: MeasureArguments
    valuation: ValuationOptions
    training_args: Any
    learner: Callable[[], Learner]

    def text(self) -> Any:
        from hf_datasel.training.valuing import text_of

        return text_of(self.dataset, self.training_args.dataset_text_field, None)

    def embeddings(self) -> Embeddings:
        """Made with the blocks of an earlier run, which are known by their content."""
        from hf_datasel.training.valuing import embed_as_named

        return embed_as_named(self.dataset, self.valuation.embedder, self.learner, self.text(), self.beside("blocks"))

    def beside(self, what: str) -> Path:
        return self.place.with_name(f"{self.place.name}.{what}")


def _embeddings(work: _Work) -> str:
    from accelerate import PartialState

    from hf_datasel.training.valuing import keep

    embeddings = work.embeddings()
    keep(embeddings, work.place)
    if PartialState().is_main_process:
        shutil.rmtree(work.beside("blocks"), ignore_errors=True)
    return f"embedded {len(embeddings):,} examples in {embeddings.dimension} dimensions: {work.place}"


def _dsir(work: _Work) -> str:
    from hf_datasel import record_dsir

    _once(work, partial(record_dsir, work.dataset, work.trusted, text=work.text()), "Recording DSIR's weights")
    return f"weighed {len(work.dataset):,} examples: {work.place}"


def _bm25(work: _Work) -> str:
    from hf_datasel import record_bm25

    _once(work, partial(record_bm25, work.dataset, work.trusted, text=work.text()), "Recording BM25 scores")
    return f"scored {len(work.dataset):,} examples: {work.place}"


def _lengths(work: _Work) -> str:
    from hf_datasel import record_lengths

    _once(work, partial(record_lengths, work.dataset, answer=work.text()), "Recording lengths")
    return f"measured {len(work.dataset):,} examples: {work.place}"


def _once(work: _Work, record: Callable[..., object], what: str) -> None:
    """Write a Trace on the main process, the others waiting."""
    from accelerate import PartialState

    from hf_datasel.training.broadcast import decide_once

    def write() -> bytes:
        record(output_dir=work.place, overwrite=work.place.exists())
        return b""

    decide_once(PartialState(), write, what)


def _shapley(work: _Work) -> str:
    from hf_datasel.training.valuing import keep, value_by_games

    work.valuation.check(len(work.dataset))
    valuation = value_by_games(
        work.dataset,
        work.trusted,
        work.valuation,
        work.learner(),
        embeddings=work.embeddings,
        ledger_dir=work.beside("ledger"),
        groups=work.measures.group_column,
        seed=work.training_args.seed,
    )
    keep(valuation, work.place)
    return (
        f"valued {valuation.num_clusters:,} clusters of {len(valuation.ids):,} examples by "
        f"{valuation.info['num_evaluations']:,} evaluations: {work.place} (each is kept in {work.beside('ledger')})"
    )


WRITERS: dict[str, Callable[[_Work], str]] = {
    "embeddings": _embeddings,
    "dsir": _dsir,
    "bm25": _bm25,
    "length": _lengths,
    "shapley": _shapley,
}
