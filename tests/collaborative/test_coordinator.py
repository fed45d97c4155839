"""The coordinator against parties that only say their lines: no training, every way an answer can be wrong."""

import numpy as np
import pytest

from hf_datasel.collaborative import Coordinator, FedAvg, InProcess, Merge, Plan, merge_adapters
from hf_datasel.collaborative.messages import (
    Adapter,
    FilterReply,
    FilterRequest,
    PublicRows,
    ScoreReply,
    ScoreRequest,
    TrainReply,
    TrainRequest,
)
from tests.collaborative.random_adapters import random_adapter
from tests.training.tiny import tiny_model

PARTIES = ("north", "east", "south")
ROWS = PublicRows(b"rows")


@pytest.fixture(scope="module")
def model():
    return tiny_model()


class Lines:
    """Answers of parties that have learnt them by heart."""

    def __init__(self, model, num_kept=None, scores=None):
        self.adapters = {party: random_adapter(model, seed) for seed, party in enumerate(PARTIES)}
        self.num_kept = num_kept or {"north": 10, "east": 20, "south": 30}
        self.scores = scores or {}
        self.requests = []

    def answer(self, party, request):
        self.requests.append((party, request))
        if isinstance(request, ScoreRequest):
            return ScoreReply(self.scores.get(party))
        if isinstance(request, FilterRequest):
            count = self.num_kept[party]
            return FilterReply(bool(count), count if request.share_num_kept else None)
        return TrainReply(self.trained(party, request))

    def trained(self, party, request):
        if request.num_steps is None:
            return self.adapters[party]
        step = self.adapters[party].weights
        return Adapter(
            request.start.config, {key: value + 0.1 * step[key] for key, value in request.start.weights.items()}
        )

    def transport(self):
        return InProcess({party: lambda request, party=party: self.answer(party, request) for party in PARTIES})


def make_plan(model, **options):
    start = random_adapter(model, 99)
    return Plan(**{
        "rule": {"name": "clues", "threshold": "mean", "alpha": 0.1},
        "over_all": False,
        "recording": {},
        "validation": ROWS,
        "contrasts": {"mismatched": ROWS},
        "anchors": ROWS,
        "starts": dict.fromkeys(PARTIES, start),
        "merge": Merge(method="cat"),
        "on_empty": "raise",
        "seed": 0,
        **options,
    })  # fmt: skip


def coordinate(model, lines, tmp_path, **options):
    return Coordinator(lines.transport(), model, make_plan(model, **options), tmp_path).run()


def test_all_are_scored_before_any_is_filtered_and_filtered_before_any_is_trained(model, tmp_path):
    lines = Lines(model)
    outcome = coordinate(model, lines, tmp_path)
    kinds = [type(request) for _, request in lines.requests]
    assert all(request.contrasts["mismatched"].table == b"rows" for _, request in lines.requests[:3])
    assert kinds == [ScoreRequest] * 3 + [FilterRequest] * 3 + [TrainRequest] * 3
    merged = merge_adapters(model, lines.adapters, Merge(method="cat"), seed=0)
    assert outcome.adapter.to_bytes() == merged.to_bytes()


def test_without_a_rule_nothing_is_scored(model, tmp_path):
    lines = Lines(model)
    coordinate(model, lines, tmp_path, rule=None)
    assert [type(request) for _, request in lines.requests] == [FilterRequest] * 3 + [TrainRequest] * 3


def test_a_threshold_over_all_is_filled_into_the_rule(model, tmp_path):
    scores = {party: np.float32([seed, seed + 1]) for seed, party in enumerate(PARTIES)}
    lines = Lines(model, scores=scores)
    outcome = coordinate(model, lines, tmp_path, over_all=True)
    assert outcome.threshold.value == 1.5
    assert outcome.threshold.num_anchors == 2
    assert {r.rule["threshold"] for _, r in lines.requests if isinstance(r, FilterRequest)} == {1.5}
    assert {r.share_anchor_scores for _, r in lines.requests if isinstance(r, ScoreRequest)} == {True}


def test_a_threshold_that_keeps_everything_can_be_sent(model, tmp_path):
    lines = Lines(model, scores=dict.fromkeys(PARTIES, np.float32([1, 2])))
    rule = {"name": "clues", "threshold": "conformal", "alpha": 0.1}
    outcome = coordinate(model, lines, tmp_path, over_all=True, rule=rule)
    assert outcome.threshold.value < -1e308
    assert "2 anchors are too few" in outcome.threshold.notices[0]


@pytest.mark.parametrize("scores", [None, np.zeros(0, np.float32), np.float32([1, np.nan])])
def test_anchor_scores_that_are_none_are_refused_by_name(model, tmp_path, scores):
    lines = Lines(model, scores={**dict.fromkeys(PARTIES, np.float32([1, 2])), "east": scores})
    with pytest.raises(ValueError, match="Party 'east' sent anchor scores that are no finite numbers"):
        coordinate(model, lines, tmp_path, over_all=True)


def test_a_party_with_no_row_left_is_an_error_that_names_it(model, tmp_path):
    lines = Lines(model, num_kept={"north": 10, "east": 0, "south": 30})
    with pytest.raises(ValueError, match=r"No row is left after the threshold at 'east'\..*on_empty='skip'"):
        coordinate(model, lines, tmp_path)
    assert not any(isinstance(request, TrainRequest) for _, request in lines.requests)


def test_a_party_with_no_row_left_may_be_skipped(model, tmp_path):
    lines = Lines(model, num_kept={"north": 10, "east": 0, "south": 30})
    merge = Merge(method="cat", weights="num_kept")
    outcome = coordinate(model, lines, tmp_path, on_empty="skip", merge=merge)
    assert outcome.taking_part == ["north", "south"]
    left = {party: lines.adapters[party] for party in outcome.taking_part}
    merged = merge_adapters(model, left, merge, num_kept={"north": 10, "south": 30}, seed=0)
    assert outcome.adapter.to_bytes() == merged.to_bytes()


def test_nobody_left_is_an_error_even_so(model, tmp_path):
    lines = Lines(model, num_kept=dict.fromkeys(PARTIES, 0))
    with pytest.raises(ValueError, match=r"No row is left after the threshold at 'north', 'east', 'south'"):
        coordinate(model, lines, tmp_path, on_empty="skip")


@pytest.mark.parametrize(
    ("weights", "expected"),
    [
        ("num_kept", [1 / 6, 2 / 6, 3 / 6]),
        ("uniform", [1 / 3] * 3),
        ({"north": 1, "east": 0, "south": 3}, [1 / 4, 0, 3 / 4]),
    ],
)
def test_rounds_of_fedavg(model, tmp_path, weights, expected):
    lines = Lines(model)
    outcome = coordinate(model, lines, tmp_path, merge=FedAvg(num_rounds=3, num_steps=5, weights=weights))
    start = make_plan(model).starts["north"]
    for key, value in outcome.adapter.weights.items():
        mean_step = sum(w * lines.adapters[party].weights[key] for w, party in zip(expected, PARTIES, strict=True))
        np.testing.assert_allclose(value, start.weights[key] + 3 * 0.1 * mean_step, atol=1e-5)
    rounds = [
        (party, r.round, r.num_rounds, r.num_steps) for party, r in lines.requests if isinstance(r, TrainRequest)
    ]
    assert rounds == [(party, number, 3, 5) for number in range(3) for party in PARTIES]


def test_what_the_rank_left_out_is_reported_for_every_round(model, tmp_path):
    outcome = coordinate(model, Lines(model), tmp_path, merge=FedAvg(num_rounds=2, num_steps=1, average="product"))
    assert len(outcome.lost) == 2
    assert all(0 < lost < 1 for lost in outcome.lost)


def test_killed_rounds_go_on_from_the_last_whole_one(model, tmp_path):
    merge = FedAvg(num_rounds=3, num_steps=5, average="product")
    whole = (
        coordinate(model, Lines(model), tmp_path / "whole", merge=merge) if (tmp_path / "whole").mkdir() is None else 0
    )
    lines, trained = Lines(model), []

    def dying(party, request):
        if isinstance(request, TrainRequest):
            trained.append((party, request.round))
            if trained[-1] == ("east", 1) and trained.count(("east", 1)) == 1:
                raise KeyboardInterrupt
        return Lines.answer(lines, party, request)

    lines.answer = dying
    with pytest.raises(KeyboardInterrupt):
        coordinate(model, lines, tmp_path, merge=merge)
    outcome = coordinate(model, lines, tmp_path, merge=merge)
    assert outcome.adapter.to_bytes() == whole.adapter.to_bytes()
    assert outcome.lost == whole.lost
    assert trained.count(("north", 0)) == 1


def without_number(reply):
    weights = {key: value * np.nan for key, value in reply.adapter.weights.items()}
    return TrainReply(Adapter(reply.adapter.config, weights))


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (lambda reply: FilterReply(True), "Party 'east' answered with a FilterReply, not a TrainReply"),
        (without_number, "The adapter of party 'east' is not finite"),
        (lambda reply: TrainReply(random_adapter(tiny_model(), 0, r=2)), "'east'"),
    ],
)
@pytest.mark.parametrize("merge", [Merge(method="linear"), FedAvg(num_rounds=1, num_steps=1)])
def test_wrong_answers_are_refused_by_name(model, tmp_path, spoil, words, merge):
    lines = Lines(model)

    def answer(party, request):
        reply = Lines.answer(lines, party, request)
        return spoil(reply) if party == "east" and isinstance(reply, TrainReply) else reply

    lines.answer = answer
    with pytest.raises(ValueError, match=words):
        coordinate(model, lines, tmp_path, merge=merge)


def test_a_count_that_is_missing(model, tmp_path):
    lines = Lines(model)
    lines.answer = lambda party, request: (
        FilterReply(True) if isinstance(request, FilterRequest) else Lines.answer(lines, party, request)
    )
    with pytest.raises(ValueError, match="Party 'north' kept rows but did not say how many"):
        coordinate(model, lines, tmp_path, merge=Merge(weights="num_kept"))


def test_a_party_that_never_answers(model, tmp_path):
    class Lossy(InProcess):
        def exchange(self, requests):
            return (answer for answer in super().exchange(requests) if answer[0] != "south")

    transport = Lossy({party: lambda request: ScoreReply() for party in PARTIES})
    with pytest.raises(ValueError, match="No answer came from party 'south'"):
        Coordinator(transport, model, make_plan(model), tmp_path).run()


def test_answers_may_come_in_any_order(model, tmp_path):
    class Shuffled(InProcess):
        def exchange(self, requests):
            return iter(list(super().exchange(requests))[::-1])

    lines = Lines(model)
    expected = coordinate(model, lines, tmp_path).adapter.to_bytes()
    transport = Shuffled({party: lambda request, party=party: lines.answer(party, request) for party in PARTIES})
    assert Coordinator(transport, model, make_plan(model), tmp_path).run().adapter.to_bytes() == expected


def test_every_answer_is_counted(model, tmp_path):
    counted = []
    for merge in (Merge(method="cat"), FedAvg(num_rounds=2, num_steps=1)):
        plan = make_plan(model, merge=merge)
        Coordinator(Lines(model).transport(), model, plan, tmp_path, lambda what, n: counted.append((what, n))).run()
        assert sum(number for _, number in counted) == plan.num_answers
        counted.clear()
