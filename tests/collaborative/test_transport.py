"""The in-process transport: bytes only, in order, and a party's failure names the party."""

import numpy as np
import pytest

from hf_datasel.collaborative.messages import FilterReply, FilterRequest, ScoreReply
from hf_datasel.collaborative.transport import InProcess


def test_handlers_get_a_copy_and_so_does_the_caller():
    sent, replies = FilterRequest({"name": "clues"}, False), []

    def handle(request):
        assert request is not sent
        assert request.rule == sent.rule
        replies.append(ScoreReply(np.ones(2, np.float32)))
        return replies[0]

    ((party, reply),) = InProcess({"north": handle}).exchange({"north": sent})
    assert party == "north"
    assert reply is not replies[0]
    assert not np.shares_memory(reply.anchor_scores, replies[0].anchor_scores)


def test_traffic_is_counted():
    transport = InProcess({name: lambda request: FilterReply(True) for name in ("north", "south")})
    request = FilterRequest(None, False)
    assert dict(transport.exchange(dict.fromkeys(transport.parties, request))).keys() == {"north", "south"}
    sizes = len(request.to_bytes()), len(FilterReply(True).to_bytes())
    assert transport.traffic == [
        (party, kind, size)
        for party in ("north", "south")
        for kind, size in zip(("FilterRequest", "FilterReply"), sizes, strict=True)
    ]


def test_a_party_works_only_when_its_answer_is_wanted():
    asked = []
    handlers = {name: lambda request, name=name: asked.append(name) or FilterReply(True) for name in "ab"}
    answers = InProcess(handlers).exchange(dict.fromkeys("ab", FilterRequest(None, False)))
    next(answers)
    assert asked == ["a"]


def test_an_unknown_party():
    with pytest.raises(ValueError, match=r"no party 'west', only \['north'\]"):
        next(InProcess({"north": FilterReply}).exchange({"west": FilterRequest(None, False)}))


def test_a_failing_party_is_named():
    def fail(request):
        raise RuntimeError("out of memory")

    with pytest.raises(RuntimeError, match="out of memory") as failure:
        next(InProcess({"north": fail}).exchange({"north": FilterRequest(None, False)}))
    assert failure.value.__notes__ == ["This was party 'north', answering a FilterRequest."]
