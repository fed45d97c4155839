"""Evidence: made once for all that read it, and what it cost, counted by hand."""

import json

import pytest
import torch
from accelerate import Accelerator
from transformers import GenerationConfig
from trl import SFTTrainer

from hf_datasel import (
    CLUESSelector,
    DatasetQuantizationSelector,
    FacilityLocationSelector,
    HighLearnabilitySelector,
    LongestSelector,
    PerplexitySelector,
    RandomSelector,
    S2LSelector,
    SHEDSelector,
)
from hf_datasel.compare.evidence import SharedEvidence
from hf_datasel.compare.meter import Cost, Meter
from hf_datasel.training.stage_proxy import StageProxy
from tests.compare.comparing import NUM_ROWS, STEPS, arguments, train_rows, watched_trainings
from tests.training.selecting import NUM_ANCHORS, NUM_VALIDATION, anchor_rows, lora, validation_rows
from tests.training.tiny import make_dataset, sft_args, tiny_model, word_tokenizer


def shared(folder, *selectors, validation=None, anchors=None, **options):
    args = arguments(folder / "out", **options)
    return SharedEvidence(
        folder / "evidence", selectors, train_rows(), args, validation, anchors, Accelerator(cpu=True), {"of": "tests"}
    )


def proxy_maker(evidence):
    return lambda: StageProxy(
        evidence.args, tiny_model(), tiny_model(), word_tokenizer(), lora(), None, formatting_func=None
    )


def recorded(evidence):
    """The trainings it took."""
    with watched_trainings() as trained:
        evidence.record(proxy_maker(evidence))
    return trained


def test_losses_are_one_trace_for_all_and_another_for_high_learnability(tmp_path):
    readers = [S2LSelector(budget=4), PerplexitySelector(budget=8), HighLearnabilitySelector(budget=4)]
    evidence = shared(tmp_path, *readers, RandomSelector(budget=3))
    assert len(recorded(evidence)) == 2
    losses = evidence.load(readers[0])
    assert evidence.load(readers[1]) is losses
    assert losses.steps.tolist() == [STEPS // 2, STEPS]
    assert evidence.load(readers[2]).steps.tolist() == [0, STEPS]
    assert evidence.load(RandomSelector(budget=3)).ids.tolist() == list(range(NUM_ROWS))
    (cost,) = evidence.costs(readers[:2])
    assert cost["evidence"] == evidence.place("loss").name
    assert (cost["forwards"], cost["backwards"], cost["fine_tunes"]) == (3 * NUM_ROWS, NUM_ROWS, 1)
    assert cost["seconds"] > 0
    assert len(evidence.costs(readers)) == 2
    assert evidence.costs([RandomSelector(budget=3)]) == []
    assert recorded(evidence) == [], "it is there"


def test_a_trace_of_gradients_holds_what_each_reader_needs(tmp_path):
    readers = [
        CLUESSelector(budget=4, score="dot"),
        CLUESSelector(budget=4, score="cosine"),
        CLUESSelector(budget=4, detectors=("contrast_truncated", "loss")),
    ]
    evidence = shared(tmp_path, *readers, validation=validation_rows(), anchors=anchor_rows())
    assert len(recorded(evidence)) == 1
    trace = evidence.load(readers[0])
    assert {"anchors", "cosine", "contrast_truncated", "loss"} <= set(trace.companions)
    assert not {"ifd", "pairing"} & set(trace.companions)
    for reader in readers:
        assert len(reader.select(evidence.load(reader))) == 4
    (cost,) = evidence.costs(readers)
    # At two checkpoints: the directions of validation rows and of truncated ones, and all rows and anchors held
    # against them. Truncation leaves rows of one answer's token alone, which no direction reads.
    held_out = cost["backwards"] - NUM_ROWS - 2 * (NUM_ROWS + NUM_ANCHORS)
    assert 2 * NUM_VALIDATION < held_out <= 2 * 2 * NUM_VALIDATION
    assert cost["forwards"] == cost["backwards"]
    assert evidence.place("influence") != shared(tmp_path, readers[0], validation=validation_rows()).place("influence")


def test_embeddings_are_made_once_for_clusters_and_for_values_of_clusters(tmp_path):
    quantize, shed = DatasetQuantizationSelector(budget=4, num_bins=2), SHEDSelector(budget=4)
    cover = FacilityLocationSelector(budget=4)
    options = {"selection_num_clusters": 2, "selection_estimator": "exact"}
    evidence = shared(tmp_path, quantize, shed, cover, validation=validation_rows(), **options)
    assert len(recorded(evidence)) == 3, (
        "on both clusters, on the one and on the other; of nothing there is nothing to train on"
    )
    assert evidence.load(quantize) is evidence.load(cover)
    assert len(shed.select(evidence.load(shed))) == 4
    assert sorted(path.name.split("-")[0] for path in (tmp_path / "evidence").iterdir()) == ["embeddings", "valuation"]
    assert not (evidence.place("valuation") / "embeddings").exists()
    embedding, valuing = evidence.costs([shed])
    assert (embedding["forwards"], embedding["fine_tunes"]) == (0, 0), "a bag of words has no model"
    assert valuing["fine_tunes"] == 4, "as many coalitions were measured, that of nobody among them"
    assert valuing["backwards"] == 1 + 1 + 2, "a cluster has one proxy"
    assert valuing["forwards"] == 1 + 1 + 2 + 4 * NUM_VALIDATION
    assert [one["evidence"] for one in evidence.costs([cover])] == [embedding["evidence"]]


def test_evidence_that_nobody_counted_is_made_anew(tmp_path):
    evidence = shared(tmp_path, LongestSelector(budget=4))
    recorded(evidence)
    place = evidence.place("length")
    (place / "mark").touch()
    (place / "cost.json").unlink()
    recorded(evidence)
    assert (place / "mark").exists(), "its count is there"
    (place / "cost.json").unlink()
    (place / "costs" / "00000.json").unlink()
    recorded(evidence)
    assert not (place / "mark").exists()
    assert evidence.costs([LongestSelector(budget=4)])[0]["seconds"] > 0


def inputs(num_rows=3):
    return {
        "input_ids": torch.arange(6, 6 + 4 * num_rows).view(num_rows, 4),
        "attention_mask": torch.ones(num_rows, 4),
    }


def counted(path, work):
    with Meter(path) as meter:
        work(tiny_model())
    return meter.cost.forwards, meter.cost.backwards


def backward(model):
    model(**inputs(), labels=inputs()["input_ids"]).loss.backward()


def backward_of_logits(model):
    outputs = model(**inputs(), labels=inputs()["input_ids"])
    (outputs.logits.sum() + outputs.loss).backward()


def without_gradient(model):
    with torch.no_grad():
        model(inputs()["input_ids"])


def side_by_side(model):
    model(input_ids=torch.arange(6, 12)[None], position_ids=torch.tensor([[0, 1, 0, 1, 2, 0]]))


def generate(model):
    options = GenerationConfig(max_new_tokens=3, min_new_tokens=3, do_sample=False, pad_token_id=0)
    model.generate(**{name: value.long() for name, value in inputs().items()}, generation_config=options)


def raising(model):
    with pytest.raises(IndexError):
        model(input_ids=torch.tensor([[1000]]))
    without_gradient(model)


@pytest.mark.parametrize(
    ("work", "expected"),
    [
        (backward, (3, 3)),
        (backward_of_logits, (3, 3)),
        (without_gradient, (3, 0)),
        (side_by_side, (3, 0)),
        (generate, (3, 0)),
        (raising, (3, 0)),
    ],
)
def test_examples_count_once_a_forward_and_once_a_backward(tmp_path, work, expected):
    assert counted(tmp_path / "cost.json", work) == expected


def test_counts_go_on_where_an_earlier_run_stopped(tmp_path):
    path = tmp_path / "costs" / "00000.json"
    counted(path, backward)
    assert counted(path, without_gradient) == (6, 3)
    assert json.loads(path.read_text()).keys() == {"seconds", "forwards", "backwards", "fine_tunes"}
    assert 0 < Cost.read(path).seconds < 600


def test_counts_are_written_while_the_work_goes_on(tmp_path, monkeypatch):
    monkeypatch.setattr("hf_datasel.compare.meter.SECONDS_BETWEEN", 0.0)
    path = tmp_path / "cost.json"
    with Meter(path):
        without_gradient(tiny_model())
        assert Cost.read(path).forwards == 3


def test_a_training_is_the_same_with_and_without_a_meter(tmp_path):
    def train():
        trainer = SFTTrainer(
            tiny_model(),
            args=sft_args(tmp_path, num_train_epochs=1, gradient_checkpointing=True),
            train_dataset=make_dataset(num_rows=8),
            processing_class=word_tokenizer(),
        )
        trainer.train()
        return torch.cat([parameter.detach().flatten() for parameter in trainer.model.parameters()])

    plain = train()
    with Meter(tmp_path / "cost.json") as meter:
        assert torch.equal(train(), plain)
    assert (meter.cost.forwards, meter.cost.backwards) == (8, 8)


def test_embeddings_of_the_model_itself_are_summed_up_after_no_training(tmp_path):
    quantize = DatasetQuantizationSelector(budget=4, num_bins=2)
    evidence = shared(tmp_path, quantize, selection_embedder="model")
    assert recorded(evidence) == []
    assert len(quantize.select(evidence.load(quantize))) == 4
    (cost,) = evidence.costs([quantize])
    assert (cost["backwards"], cost["fine_tunes"]) == (0, 0)
    assert cost["forwards"] >= NUM_ROWS
