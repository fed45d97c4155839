"""SelectingSFTTrainer by SHED and its baselines: what is made by hand, made once, and refused where it cannot be."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from trl import SFTTrainer

from hf_datasel import (
    BagEmbedder,
    DatasetQuantizationSelector,
    DSIRSelector,
    Embeddings,
    FineTuneUtility,
    HiddenStateEmbedder,
    Selection,
    SHEDSelector,
    Trace,
    Valuation,
    cluster_examples,
    embed,
    record_dsir,
    value_clusters,
)
from hf_datasel.functional.valuation import ESTIMATORS, ExactEstimator, PaperEstimator, StopWhenStable
from hf_datasel.selectors.registry import get_selector
from hf_datasel.training import valuing
from hf_datasel.training.config import SelectingSFTConfig
from hf_datasel.training.utility.coalition_training import CoalitionTraining
from hf_datasel.training.valuation_options import ValuationOptions
from tests.training.selecting import config, lora, selecting, shed, validation_rows, weights
from tests.training.tiny import make_dataset, sft_args, tiny_model, word_tokenizer


def by_hand(folder: Path, estimator: Any, embedder: Any = None, model: Any = None, **utility: Any) -> Valuation:
    """What the stage is to come to."""
    v = FineTuneUtility(
        tiny_model() if model is None else model, args=sft_args(folder, num_train_epochs=1),
        train_dataset=make_dataset(), validation_dataset=validation_rows(), ledger_dir=folder / "ledger",
        processing_class=word_tokenizer(), **utility,
    )  # fmt: skip
    embeddings = embed(make_dataset(), BagEmbedder() if embedder is None else embedder)
    return value_clusters(embeddings, v, num_clusters=3, estimator=estimator, seed=5)


@pytest.mark.parametrize("case", ["adapter", "adapters at once", "proxy by path", "groups"])
def test_it_selects_by_fine_tunes_on_clusters(tmp_path: Path, case: str) -> None:
    proxy, tolerance = tiny_model(seed=3), 0.0
    if case.startswith("adapter"):
        options: dict[str, Any] = {"peft_config": lora(), "selection_num_evaluations": 8}
        wanted = by_hand(tmp_path, ExactEstimator(), peft_config=lora())
        if case == "adapters at once":
            options["selection_coalitions_at_once"], tolerance = "auto", 1e-5
    elif case == "proxy by path":
        proxy.save_pretrained(tmp_path / "proxy")
        word_tokenizer().save_pretrained(tmp_path / "proxy")
        hidden = HiddenStateEmbedder(
            proxy, word_tokenizer(), args=sft_args(tmp_path, num_train_epochs=1), pooled="all"
        )
        options = {
            "selection_embedder": "model",
            "proxy_model": str(tmp_path / "proxy"),
            "selection_estimator": "paper",
        }
        options["selection_estimator_options"] = {"group_size": 1, "num_permutations": 2}
        wanted = by_hand(tmp_path, PaperEstimator(group_size=1, num_permutations=2), hidden, proxy)
    else:
        options = {"proxy": proxy, "selection_estimator": "exact", "selection_utility_metric": "loss"}
        options |= {"selection_group_column": "source", "selection_utility_objective": "worst_group"}
        wanted = by_hand(
            tmp_path, ExactEstimator(), model=proxy, metric="loss", groups="source", objective="worst_group"
        )
    trainer = shed(tmp_path / "ours", **options)
    before = weights(trainer).clone()
    selection = trainer._get_selection(None)
    assert torch.equal(weights(trainer), before)
    found = Valuation.load(tmp_path / "ours" / "_selection_stage" / "valuation")
    np.testing.assert_allclose(found.values, wanted.values, rtol=0, atol=tolerance)
    np.testing.assert_array_equal(found.clusters, wanted.clusters)
    assert len(set(found.values.tolist())) == 3
    kept = SHEDSelector(budget=0.5, seed=5).select(wanted)
    assert selection.ids.tolist() == kept.ids.tolist()
    assert len(kept) == 12


def test_it_trains_on_what_it_selected_and_cites_the_paper(tmp_path: Path) -> None:
    options = {"selection_sampling": "qwcs", "selection_sharpness": 2.0, "selection_estimator": "exact"}
    trainer = shed(
        tmp_path / "ours", **options, selection_options={"weighting": "raw"}, save_strategy="steps", save_steps=3
    )
    trainer.train()
    reference = SFTTrainer(
        model=tiny_model(), args=sft_args(tmp_path / "theirs", num_train_epochs=1),
        train_dataset=trainer.selection.apply(make_dataset()), processing_class=word_tokenizer(),
    )  # fmt: skip
    reference.train()
    assert torch.equal(weights(trainer), weights(reference))
    wanted = {"budget": 0.5, "seed": 5, "sampling": "qwcs", "weighting": "raw", "sharpness": 2.0, "best_share": 0.5}
    assert trainer.selection.provenance[-1]["config"] == wanted
    assert "SHED: Shapley-Based" in (tmp_path / "ours" / "README.md").read_text()


@pytest.mark.parametrize("num_clusters", [None, 3])
def test_values_of_one_training(tmp_path: Path, num_clusters: int | None) -> None:
    trainer = shed(tmp_path, selection_estimator="in_run", selection_num_clusters=num_clusters)
    selection = trainer._get_selection(None)
    stage = tmp_path / "_selection_stage"
    trace = Trace.load(stage / "trace")
    assert trace.mode == "in_run"
    clusters = None
    if num_clusters is not None:
        clusters = cluster_examples(embed(make_dataset(), BagEmbedder()), num_clusters=3, seed=5)
    wanted = Valuation.from_trace(trace, clusters)
    found = Valuation.load(stage / "valuation")
    np.testing.assert_array_equal(found.values, wanted.values)
    np.testing.assert_array_equal(found.clusters, wanted.clusters)
    assert found.num_clusters == (24 if num_clusters is None else 3)
    assert selection.ids.tolist() == SHEDSelector(budget=0.5, seed=5).select(wanted).ids.tolist()
    assert (stage / "embeddings").exists() == (num_clusters is not None)
    assert not (stage / "ledger").exists()
    assert not (stage / "proxy").exists()


def test_rows_drawn_from_the_better_part_by_cosines(tmp_path: Path) -> None:
    options = {"selection_in_run_score": "cosine", "selection_sampling": "uniform", "selection_best_share": 0.75}
    options |= {"selection_num_clusters": None, "selection_estimator": "in_run"}
    trainer = shed(tmp_path, selection_budget=0.25, **options)
    selection = trainer._get_selection(None)
    trace = Trace.load(tmp_path / "_selection_stage" / "trace")
    by_cosine = Valuation.from_trace(trace, score="cosine")
    assert not np.array_equal(by_cosine.values, Valuation.from_trace(trace).values)
    wanted = SHEDSelector(budget=0.25, sampling="uniform", best_share=0.75, seed=5).select(by_cosine)
    assert selection.ids.tolist() == wanted.ids.tolist()
    assert selection.provenance[-1]["evidence"]["score"] == "cosine"
    with pytest.raises(ValueError, match="in_run_score='angle' must be one of 'dot', 'cosine'"):
        shed(tmp_path / "odd", selection_estimator="in_run", selection_in_run_score="angle")


@pytest.mark.parametrize("at", ["in a fine-tune", "before the embeddings is kept", "before the valuation is kept"])
def test_a_run_that_stopped_embeds_and_fine_tunes_nothing_twice(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, at: str
) -> None:
    options = {"selection_estimator": "exact"}
    whole = shed(tmp_path / "whole", **options)._get_selection(None)
    trained: list[tuple[int, ...]] = []
    embedded, original, batches = [], CoalitionTraining.trained, BagEmbedder.embed

    def counted(training: Any, ids: Any) -> Any:
        if at == "in a fine-tune" and len(trained) == 5:
            raise KeyboardInterrupt
        trained.append(tuple(sorted(ids.tolist())))
        return original(training, ids)

    def saved(artifact: Any, place: Path) -> None:
        if f"before the {place.name} " in at or (
            at.startswith("before the embeddings") and place.name == "embeddings"
        ):
            raise KeyboardInterrupt
        inner(artifact, place)

    inner = valuing.keep
    monkeypatch.setattr(CoalitionTraining, "trained", counted)
    monkeypatch.setattr(BagEmbedder, "embed", lambda *args: (embedded.append(1), batches(*args))[1])
    monkeypatch.setattr("hf_datasel.training.valuing.keep", saved)
    monkeypatch.setattr("hf_datasel.training.evidence.keep", saved)
    with pytest.raises(KeyboardInterrupt):
        shed(tmp_path / "killed", **options)._get_selection(None)
    assert not (tmp_path / "killed" / "selection").exists()
    at = "nowhere"
    again = shed(tmp_path / "killed", **options)._get_selection(None)
    assert again.ids.tolist() == whole.ids.tolist()
    assert len(trained) == len(set(trained)) == 8
    assert len(embedded) == 1
    stages = [tmp_path / name / "_selection_stage" / "valuation" / "values.npy" for name in ("whole", "killed")]
    assert stages[0].read_bytes() == stages[1].read_bytes()


def test_rows_without_a_label_are_in_no_cluster(tmp_path: Path) -> None:
    long = " ".join(["w1"] * 30) + " "
    dataset = make_dataset().map(lambda row: {"prompt": long} if row["example_id"] < 3 else {})
    trainer = shed(tmp_path, dataset=dataset, max_length=20, selection_budget=21, selection_estimator="exact")
    assert trainer._get_selection(None).ids.tolist() == list(range(3, 24))


@pytest.mark.parametrize("method", ["dataset_quantization", "facility_location"])
def test_embeddings_of_the_model_itself_need_no_proxy_training(tmp_path: Path, method: str) -> None:
    trainer = selecting(tmp_path, selection_method=method, selection_embedder="model", selection_budget=6)
    precision = trainer.accelerator.mixed_precision
    trainer.train()
    assert len(trainer.selection) == 6
    embeddings = Embeddings.load(tmp_path / "_selection_stage" / "embeddings")
    wanted = get_selector(method)(budget=6, seed=trainer.args.selection_seed).select(embeddings)
    assert trainer.selection.ids.tolist() == wanted.ids.tolist()
    assert trainer.accelerator.mixed_precision == precision


def test_baselines(tmp_path: Path) -> None:
    rows = validation_rows()
    found = selecting(
        tmp_path / "dsir", selection_method="dsir", selection_budget=6, validation_dataset=rows
    )._get_selection(None)
    assert found.ids.tolist() == DSIRSelector(budget=6).select(record_dsir(make_dataset(), rows)).ids.tolist()
    options = {"selection_embedder": "bag", "selection_options": {"num_bins": 4}, "selection_budget": 6}
    found = selecting(
        tmp_path / "dq", selection_method="dataset_quantization", **options
    )._get_selection(None)  # fmt: skip
    embeddings = Embeddings.load(tmp_path / "dq" / "_selection_stage" / "embeddings")
    assert found.ids.tolist() == DatasetQuantizationSelector(budget=6, num_bins=4).select(embeddings).ids.tolist()
    everything = selecting(tmp_path / "full", selection_method="full", selection_budget=None)
    everything.train()
    assert len(everything.selection) == 24
    assert len(Selection.load(tmp_path / "full" / "selection")) == 24


def test_options_have_one_home(tmp_path: Path) -> None:
    args = config(tmp_path, selection_num_clusters=None)
    assert args.valuation == ValuationOptions()
    own = {name.removeprefix("selection_") for name in SelectingSFTConfig.__dataclass_fields__}
    assert set(ValuationOptions.__dataclass_fields__) <= own
    for name, estimator in ESTIMATORS.items():
        made = ValuationOptions(estimator=name).make_estimator(50)
        assert type(made) is estimator
    assert ValuationOptions().make_estimator(50).num_evaluations == 160
    rule = ValuationOptions(num_evaluations=99, estimator_options={"stop_when_stable": {"top_share": 0.2}})
    assert rule.make_estimator(50).stop_when_stable == StopWhenStable(top_share=0.2)
    assert rule.make_estimator(50).num_evaluations == 99


def test_the_text_of_a_row_is_where_the_trainer_finds_it(tmp_path: Path) -> None:
    text = make_dataset("text")
    renamed = text.rename_column("text", "body")
    assert valuing.text_of(text, "text", None) is None
    assert valuing.text_of(renamed, "body", None) == "body"
    assert valuing.text_of(make_dataset(), "body", None) is None
    assert valuing.text_of(renamed, "text", str.upper) is str.upper
    options = {"selection_embedder": "bag", "dataset_text_field": "body", "selection_budget": 6}
    selecting(tmp_path, dataset=renamed, selection_method="dataset_quantization", **options)._get_selection(None)
    found = Embeddings.load(tmp_path / "_selection_stage" / "embeddings")
    np.testing.assert_array_equal(found.vectors, embed(text, BagEmbedder()).vectors)
