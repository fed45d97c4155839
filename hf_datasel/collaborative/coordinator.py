"""The coordinator's side of CLUES: what is asked of the parties, in which order, and what becomes of the answers.

1. every party trains from theta_0 on all its rows and scores them             ScoreRequest
   (threshold over all parties: tau from the anchors' scores of each)
2. every party filters                                                         FilterRequest
3. every party trains from theta_0 on what it kept; the adapters are merged    TrainRequest
   (FedAvg: rounds of k steps from the mean of the round before)

It knows the parties by name and through a transport only.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
from transformers import PreTrainedModel

from hf_datasel.collaborative import rules
from hf_datasel.collaborative.fedavg import FedAvg
from hf_datasel.collaborative.merging import Merge, merge_adapters
from hf_datasel.collaborative.messages import (
    Adapter,
    FilterReply,
    FilterRequest,
    Message,
    PublicRows,
    ScoreReply,
    ScoreRequest,
    TrainReply,
    TrainRequest,
)
from hf_datasel.collaborative.transport import Transport
from hf_datasel.collaborative.wire import register
from hf_datasel.functional.thresholds import Threshold
from hf_datasel.storage import write_atomic


@dataclass(frozen=True, kw_only=True, eq=False)
class Plan:
    """What a run is to do.

    Args:
        rule: of the selector; None to train on everything, or on what each party selected itself.
        over_all: one threshold over all parties.
        recording: options of ``GradientTraceCallback``.
        validation, contrasts, anchors: public rows.
        starts: the adapter that each party starts from; None for one that draws its own.
        merge: how adapters are merged.
        on_empty: what to do about a party with no row left.
        seed: of the merge.
    """

    rule: Mapping[str, Any] | None
    over_all: bool
    recording: Mapping[str, Any]
    validation: PublicRows | None
    contrasts: Mapping[str, PublicRows]
    anchors: PublicRows | None
    starts: Mapping[str, Adapter | None]
    merge: Merge | FedAvg
    on_empty: Literal["raise", "skip"]
    seed: int

    @property
    def num_answers(self) -> int:
        """Answers that a run waits for."""
        rounds = self.merge.num_rounds if isinstance(self.merge, FedAvg) else 1
        return len(self.starts) * ((self.rule is not None) + 1 + rounds)


@register
@dataclass(frozen=True, eq=False)
class RoundsSoFar(Message):
    """Where the rounds of FedAvg stand, for a run that was killed; stays on the coordinator's disk."""

    next: TrainRequest
    lost: list[float]


@dataclass(eq=False)
class Outcome:
    """What came of a run.

    Attributes:
        adapter: the merged one.
        taking_part: parties that it is merged from, in the order given.
        threshold: the one over all parties, where there is one.
        num_kept: rows kept by party, where the weights follow them.
        lost: FedAvg's "product": in each round, the share of the mean that its rank left out.
        received: by kind of answer, what each of its fields held.
    """

    adapter: Adapter | None = None
    taking_part: list[str] = field(default_factory=list)
    threshold: Threshold | None = None
    num_kept: dict[str, int] = field(default_factory=dict)
    lost: list[float] = field(default_factory=list)
    received: dict[str, dict[str, str]] = field(default_factory=dict)


class Coordinator:
    """Runs a plan.

    Args:
        transport: the way to the parties.
        model: what the adapters are for; nothing is trained here.
        plan: what to do.
        directory: where the global adapter of FedAvg is kept between rounds.
        on_answer: called after every answer with what was going on, and the number of answers it stands for.
    """

    def __init__(
        self,
        transport: Transport,
        model: PreTrainedModel,
        plan: Plan,
        directory: Path,
        on_answer: Callable[[str, int], None] = lambda what, number: None,
    ) -> None:
        self._transport = transport
        self._model = model
        self._plan = plan
        self._round_path = directory / "round.message"
        self._on_answer = on_answer
        self._outcome = Outcome()

    def run(self) -> Outcome:
        """Score, filter, train, merge.

        Raises:
            ValueError: a party with no row left (named), unless it is to be skipped; an answer that does not fit.
        """
        rule = self._score()
        self._filter(rule)
        if isinstance(self._plan.merge, FedAvg):
            self._outcome.adapter = self._federate(self._plan.merge)
        else:
            self._outcome.adapter = self._merge(self._plan.merge)
        return self._outcome

    def _score(self) -> Mapping[str, Any] | None:
        """The rule to filter by, with the threshold over all parties in it if there is to be one."""
        plan = self._plan
        if plan.rule is None or plan.validation is None:
            return plan.rule
        requests = {
            party: ScoreRequest(
                rule=plan.rule,
                recording=plan.recording,
                validation=plan.validation,
                contrasts=plan.contrasts,
                anchors=plan.anchors,
                start=start,
                share_anchor_scores=plan.over_all,
            )
            for party, start in plan.starts.items()
        }
        replies = self._ask(requests, ScoreReply, "scoring")
        if not plan.over_all:
            return plan.rule
        scores = {
            party: np.asarray([] if r.anchor_scores is None else r.anchor_scores) for party, r in replies.items()
        }
        self._outcome.threshold = rules.global_threshold(plan.rule, scores)
        return {**plan.rule, "threshold": self._outcome.threshold.value}

    def _filter(self, rule: Mapping[str, Any] | None) -> None:
        wants_counts = self._plan.merge.weights == "num_kept"
        found = self._outcome.threshold
        origin = None
        if found is not None:
            origin = {"rule": found.rule, "num_anchors": found.num_anchors, "num_parties": len(self._plan.starts)}
        request = FilterRequest(rule, wants_counts, origin)
        replies = self._ask(dict.fromkeys(self._plan.starts, request), FilterReply, "filtering")
        empty = [party for party, reply in replies.items() if not reply.has_rows]
        self._outcome.taking_part = [party for party in replies if party not in empty]
        if empty and (self._plan.on_empty == "raise" or not self._outcome.taking_part):
            names = ", ".join(map(repr, empty))
            raise ValueError(
                f"No row is left after the threshold at {names}. Look whether the anchors are of the same kind as "
                "these rows, choose another threshold (or a budget) in the selector"
                + (", or go on without them with on_empty='skip'." if self._outcome.taking_part else ".")
            )
        if wants_counts:
            for party in self._outcome.taking_part:
                count = replies[party].num_kept
                if count is None or count < 1:
                    raise ValueError(f"Party {party!r} kept rows but did not say how many, which its weight needs.")
                self._outcome.num_kept[party] = count

    def _merge(self, merge: Merge) -> Adapter:
        requests = {party: TrainRequest(self._plan.starts[party]) for party in self._outcome.taking_part}
        adapters = self._train(requests, "training")
        return merge_adapters(self._model, adapters, merge, num_kept=self._outcome.num_kept, seed=self._plan.seed)

    def _federate(self, merge: FedAvg) -> Adapter:
        parties = self._outcome.taking_part
        start = self._plan.starts[parties[0]]
        request = TrainRequest(start, 0, merge.num_rounds, merge.num_steps)
        if self._round_path.is_file():
            standing = RoundsSoFar.from_bytes(self._round_path.read_bytes())
            request, self._outcome.lost = standing.next, standing.lost
            self._on_answer(f"round {request.round} of {merge.num_rounds}", request.round * len(parties))
        while request.round < merge.num_rounds:
            what = f"round {request.round + 1} of {merge.num_rounds}"
            adapters = self._train(dict.fromkeys(parties, request), what)
            mean, lost = merge.mean(adapters, self._outcome.num_kept)
            self._outcome.lost.append(lost)
            request = replace(request, start=mean, round=request.round + 1)
            payload = RoundsSoFar(request, self._outcome.lost).to_bytes()
            write_bytes(self._round_path, payload)
        assert request.start is not None
        return request.start

    def _train(self, requests: Mapping[str, TrainRequest], what: str) -> dict[str, Adapter]:
        return {party: reply.adapter for party, reply in self._ask(requests, TrainReply, what).items()}

    def _ask(self, requests: Mapping[str, Message], expected: type[Message], what: str) -> dict[str, Any]:
        """All answers, in the order of the requests whatever order they came in."""
        replies = {}
        for party, reply in self._transport.exchange(requests):
            if not isinstance(reply, expected):
                raise ValueError(f"Party {party!r} answered with a {type(reply).__name__}, not a {expected.__name__}.")
            replies[party] = reply
            self._outcome.received.setdefault(expected.__name__, {}).update(summary(reply))
            self._on_answer(f"{what}: {len(replies)} of {len(requests)} parties", 1)
        missing = [party for party in requests if party not in replies]
        if missing:
            raise ValueError(f"No answer came from party {missing[0]!r}.")
        return {party: replies[party] for party in requests}


def write_bytes(path: Path, payload: bytes) -> None:
    """A file, whole or not at all."""
    write_atomic(path, lambda file: file.write(payload), len(payload))


def summary(reply: Message) -> dict[str, str]:
    """What the fields of an answer held: a type, an array's dtype and shape, or an adapter's number of matrices."""
    found: dict[str, str] = {}
    for name, value in vars(reply).items():
        if isinstance(value, Adapter):
            found[name] = f"adapter of {len(value.weights)} matrices"
        elif isinstance(value, np.ndarray):
            found[name] = f"{value.dtype}{list(value.shape)}"
        elif value is not None:
            found[name] = type(value).__name__
    return found
