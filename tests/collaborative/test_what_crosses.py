"""What leaves a party: never a value of one private row, by default not even a number of rows."""

import numpy as np
import pytest

from hf_datasel import CLUESSelector, Trace
from hf_datasel.collaborative import FedAvg, InProcess, Merge
from hf_datasel.collaborative.messages import ScoreReply
from hf_datasel.collaborative.tables import unpack_rows
from hf_datasel.collaborative.wire import describe
from tests.collaborative.parties import ANCHORS, PEFT, VALIDATION, make_parties, run

SMALL, LARGE = {"north": 9, "south": 8}, {"north": 24, "south": 17}


class Recorder:
    """A transport that keeps every message, in both directions."""

    def __init__(self):
        self.messages = []

    def __call__(self, handlers):
        def overheard(party, handler):
            def answer(request):
                reply = handler(request)
                self.messages.extend([(party, "to", request), (party, "from", reply)])
                return reply

            return answer

        return InProcess({party: overheard(party, handler) for party, handler in handlers.items()})

    def shapes(self):
        return [(party, way, type(message).__name__, describe(message)) for party, way, message in self.messages]

    def sent(self):
        return [message for _, way, message in self.messages if way == "from"]


def overhear(directory, sizes, **options):
    recorder = Recorder()
    result = run(directory, make_parties(sizes), connect=recorder, **options)
    return recorder, result


WAYS = {
    "default": {},
    "global": {"threshold_scope": "global"},
    "weighted": {"merge": Merge(method="cat", weights="num_kept")},
    "fedavg": {"merge": FedAvg(num_rounds=2, num_steps=2)},
}


@pytest.fixture(scope="module", params=WAYS)
def both(request, tmp_path_factory):
    """The same run with few rows and with many."""
    runs = [overhear(tmp_path_factory.mktemp("run"), sizes, **WAYS[request.param]) for sizes in (SMALL, LARGE)]
    return request.param, *runs


def test_no_shape_follows_the_number_of_rows(both):
    _, (small, _), (large, _) = both
    assert small.shapes() == large.shapes()
    assert {kind for _, _, kind, _ in small.shapes()} == {
        "ScoreRequest", "ScoreReply", "FilterRequest", "FilterReply", "TrainRequest", "TrainReply"
    }  # fmt: skip


def test_only_what_was_asked_for_is_sent(both):
    way, (recorder, _), _ = both
    for message in recorder.sent():
        held = {path.split(".")[1]: kind for path, kind in describe(message).items() if kind != "NoneType"}
        kind = type(message).__name__
        if kind == "ScoreReply":
            assert held == ({"anchor_scores": f"float32[{len(ANCHORS)}]"} if way == "global" else {})
        elif kind == "FilterReply":
            counted = way in ("weighted", "fedavg")
            assert held == {"has_rows": "bool", **({"num_kept": "int"} if counted else {})}
        else:
            assert kind == "TrainReply"
            assert set(held) == {"adapter"}
            assert {path.split(".lora_")[1] for path in describe(message) if "adapter.weights[" in path} == {
                "A.weight]", "B.weight]"
            }  # fmt: skip


def test_no_score_and_no_text_of_a_private_row_is_sent(both):
    _, _, (recorder, result) = both
    sent = b"".join(message.to_bytes() for message in recorder.sent())
    private = make_parties(LARGE)
    for party in private:
        for row in party.dataset:
            assert row["prompt"].encode() not in sent
            assert row["completion"].encode() not in sent
    scores = np.concatenate([selection.scores for selection in result.selections.values()])
    values = [message.anchor_scores for message in recorder.sent() if isinstance(message, ScoreReply)]
    numbers = np.concatenate([value for value in values if value is not None] or [np.zeros(0, np.float32)])
    assert not np.isin(scores, numbers).any()


def test_the_configuration_of_an_adapter_tells_ranks_and_modules_only(both):
    _, (recorder, _), _ = both
    for message in recorder.sent():
        if hasattr(message, "adapter"):
            assert message.adapter.config["target_modules"] == sorted(PEFT.target_modules)
            assert not message.adapter.config.keys() & {"base_model_name_or_path", "revision", "peft_version"}


def test_the_global_threshold_is_the_mean_over_all_parties(tmp_path):
    recorder, result = overhear(tmp_path, SMALL, threshold_scope="global")
    sent = [message.anchor_scores for message in recorder.sent() if isinstance(message, ScoreReply)]
    assert len(sent) == 2
    tau = np.concatenate(sent).astype(np.float64).mean()
    assert result.report["global_threshold"] == {
        "value": pytest.approx(tau, rel=1e-9), "rule": "mean", "num_anchors": len(ANCHORS)
    }  # fmt: skip
    for selection in result.selections.values():
        np.testing.assert_array_equal(selection.kept, selection.scores >= np.float32(tau))
        details = selection.provenance[-1]["details"]
        assert details["global_threshold"] == {"rule": "mean", "num_anchors": len(ANCHORS), "num_parties": 2}
    assert {name: s.provenance[-1]["details"]["party"] for name, s in result.selections.items()} == {
        "north": "north", "south": "south"
    }  # fmt: skip
    rules = [message.rule for _, way, message in recorder.messages if type(message).__name__ == "FilterRequest"]
    assert {rule["threshold"] for rule in rules} == {result.report["global_threshold"]["value"]}


def test_every_detector_is_recorded_from_public_rows(tmp_path):
    detectors = ("cosine", "loss", "ifd", "pairing", "contrast_mismatched")
    selector = CLUESSelector(threshold="mean", score="fused", detectors=detectors, combine="min")
    recorder, result = overhear(tmp_path, SMALL, selector=selector)
    (request,) = [message for party, way, message in recorder.messages[:1]]
    contrast = unpack_rows(request.contrasts["mismatched"])
    assert contrast["prompt"][:] == VALIDATION["prompt"][:]
    assert contrast["completion"][:] != VALIDATION["completion"][:]
    assert dict(request.recording) == {"num_checkpoints": 2, "norms": True, "ifd": True, "pairing": 4}
    trace = Trace.load(tmp_path / "parties" / "north" / "trace")
    assert {"cosine", "loss", "ifd", "pairing", "contrast_mismatched", "anchors"} <= set(trace.companions)
    assert result.selections["north"].provenance[-1]["config"]["detectors"] == list(detectors)


def test_thresholds_of_each_party_differ(tmp_path):
    _, result = overhear(tmp_path, SMALL, selector=CLUESSelector(threshold="mean", score="cosine"))
    found = {about["threshold"] for about in result.report["parties"].values()}
    assert len(found) == 2
    assert result.report["settings"]["recording"]["norms"] is True
