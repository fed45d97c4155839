"""Evidence of SHED and of Dataset Quantization: embeddings, and a Valuation by fine-tunes or by one training.

What is made is kept on the disk as soon as it is whole, so that a run that was killed makes nothing twice.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal, Protocol

import numpy as np
from accelerate import PartialState
from datasets import Dataset

from hf_datasel.cluster_values import value_clusters
from hf_datasel.clusters import Clusters, cluster_examples
from hf_datasel.embeddings import Embeddings
from hf_datasel.texts import FORMATS, TextOf
from hf_datasel.trace import Trace
from hf_datasel.training.broadcast import decide_once
from hf_datasel.training.embedding import BagEmbedder, Embedder, HiddenStateEmbedder, embed
from hf_datasel.training.embedding.loading import load_tokenizer
from hf_datasel.training.stage_proxy import Learner
from hf_datasel.training.utility import FineTuneUtility
from hf_datasel.training.utility.fine_tune import load_model
from hf_datasel.training.valuation_options import ValuationOptions
from hf_datasel.valuation import Valuation


class _Artifact(Protocol):
    def save(self, path: str | Path, *, overwrite: bool = False) -> None: ...


def keep(artifact: _Artifact, place: Path) -> None:
    """Save on the main process, all others waiting; raises on all of them where that fails."""

    def save() -> bytes:
        artifact.save(place, overwrite=True)
        return b""

    decide_once(PartialState(), save, f"Saving {place}")


def text_of(dataset: Any, text_field: str, formatting_func: Callable[[dict[str, Any]], str] | None) -> TextOf:
    """What the text of a row is, for what reads texts without a trainer."""
    if formatting_func is not None:
        return formatting_func
    known = any(set(columns) <= set(dataset.column_names) for columns in FORMATS[:-1])
    return None if known or text_field == "text" else text_field


def embed_rows(
    dataset: Dataset, place: Path, name: str, learner: Callable[[], Learner], text: TextOf = None
) -> Embeddings:
    """The Embeddings kept at ``place``, made if there are none.

    Args:
        dataset: with example ids.
        place: their directory; ``<place>.blocks`` stands beside it while they are made.
        name: of the embedder: see `ValuationOptions`.
        learner: whose hidden states are taken, for the embedder "model".
        text: of a row, for the other embedders.
    """
    if (place / "manifest.json").exists():
        return Embeddings.load(place)
    blocks = place.with_name(f"{place.name}.blocks")
    embeddings = embed_as_named(dataset, name, learner, text, blocks)
    keep(embeddings, place)
    if PartialState().is_main_process:
        shutil.rmtree(blocks, ignore_errors=True)
    return embeddings


def embed_as_named(
    dataset: Dataset, name: str, learner: Callable[[], Learner], text: TextOf, cache_dir: Path
) -> Embeddings:
    """Embeddings by the embedder of that name; ``cache_dir`` is as in `embed`, the rest as in :func:`embed_rows`."""
    embedder: str | Embedder = name
    if name == "bag":
        embedder = BagEmbedder()
    elif name == "model":
        embedder, text = _of_hidden_states(learner()), None
    return embed(dataset, embedder, text=text, cache_dir=cache_dir)


def value_by_games(
    dataset: Dataset,
    validation_dataset: Dataset,
    options: ValuationOptions,
    learner: Learner,
    *,
    embeddings: Callable[[], Embeddings],
    ledger_dir: Path,
    groups: str | None,
    seed: int,
) -> Valuation:
    """Fine-tune on coalitions of clusters' proxies, and value the clusters.

    Args:
        dataset: with example ids. Rows without a label to learn are in no cluster.
        validation_dataset: what the fine-tuned models are measured on.
        options: how.
        learner: what is fine-tuned.
        embeddings: of the dataset; asked for once the learner is known to work.
        ledger_dir: of the coalitions' values.
        groups: a column of ``validation_dataset``.
        seed: of the clustering and of the coalitions.

    Raises:
        ValueError: as `FineTuneUtility` and the estimator do.
    """
    utility = FineTuneUtility(
        learner.model,
        args=learner.args,
        train_dataset=dataset,
        validation_dataset=validation_dataset,
        ledger_dir=ledger_dir,
        processing_class=learner.processing_class,
        peft_config=learner.peft_config,
        metric=options.utility_metric,
        groups=groups,
        objective=options.utility_objective,
        formatting_func=learner.formatting_func,
        coalitions_at_once=options.at_once,
    )
    embedded = embeddings()
    learnable = np.isin(embedded.ids, utility.learnable_ids)
    rows = Embeddings(embedded.ids[learnable], embedded.vectors[learnable], embedded.embedder, embedded.fingerprint)
    clusters = make_clusters(rows, options, seed)
    estimator = options.make_estimator(clusters.num_clusters)
    return value_clusters(clusters, utility, estimator=estimator, seed=seed)


def value_in_run(
    trace: Trace, options: ValuationOptions, *, embeddings: Callable[[], Embeddings], seed: int
) -> Valuation:
    """Values of the rows from a recorded training, or of clusters where there is a number of them."""
    clusters = None if options.num_clusters is None else make_clusters(embeddings(), options, seed)
    return Valuation.from_trace(trace, clusters, score=options.in_run_score)


def make_clusters(embeddings: Embeddings, options: ValuationOptions, seed: int) -> Clusters:
    """The clusters that the options ask for."""
    number = options.clusters_of(len(embeddings))
    method: Literal["kmeans", "agglomerative"] = options.clustering
    return cluster_examples(embeddings, num_clusters=number, method=method, seed=seed)


def _of_hidden_states(learner: Learner) -> HiddenStateEmbedder:
    model, tokenizer, args = learner.model, learner.processing_class, learner.args
    if isinstance(model, str):
        tokenizer = tokenizer or load_tokenizer(model, (args.model_init_kwargs or {}).get("revision"))
        model = load_model(model, args)
    # A row whose labels are all cut off has a vector, too; games leave it out.
    return HiddenStateEmbedder(model, tokenizer, args=args, pooled="all", formatting_func=learner.formatting_func)
