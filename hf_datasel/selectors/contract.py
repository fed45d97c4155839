"""What every selector keeps to, as checks for the tests of whoever writes one.

    @pytest.mark.parametrize("check", CONTRACT, ids=lambda check: check.__name__)
    def test_contract(check):
        check(MySelector, record)

`selector` is the class, or a `functools.partial` of it that fills in what has no default. `record` is called with ids,
int64 [N] in any order, and values, float32 [N, T], of those rows, and gives evidence of the kind that the selector
reads, with these ids; `traces_for(MySelector)` is one for a selector that reads a Trace and nothing beside it.
Each check raises AssertionError, and says what does not hold. pytest is not needed.
"""

from __future__ import annotations

import dataclasses
import json
import math
import random
import sys
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hf_datasel.selection import Selection
from hf_datasel.selectors.base import LARGEST_SEED, Selector
from hf_datasel.selectors.pool import Strata
from hf_datasel.selectors.random import RandomSelector
from hf_datasel.trace import Trace

Make = Callable[..., Selector]
Record = Callable[[Any, Any], Any]

NUM_EXAMPLES = 240
IDS = np.arange(NUM_EXAMPLES, dtype=np.int64) * 3 + 1
VALUES = np.random.default_rng(0).gamma(2.0, size=(NUM_EXAMPLES, 5)).astype(np.float32)
NO_BUDGETS = (0, -1, NUM_EXAMPLES + 1, 0.0, -0.5, 1.5, math.nan, math.inf, True, np.True_, "10", [3])
NO_SEEDS = (-1, LARGEST_SEED + 1, 1.5, "x", None, True)
SHARES = ((0.5, 120), (1.0, 240), (0.001, 1), (0.11, 26), (0.29, 70), (np.float32(0.25), 60))


def check_selector(selector: Make, record: Record | None = None) -> None:
    """Run every check of `CONTRACT`.

    Raises:
        AssertionError: what does not hold.

    Example:
        >>> from hf_datasel.selectors import PerplexitySelector
        >>> check_selector(PerplexitySelector)
    """
    for check in CONTRACT:
        check(selector, traces_for(selector) if record is None else record)


def traces_for(selector: Make) -> Record:
    """Traces of the first metric that the selector reads, with learning rates."""
    metric = selector(budget=1).metrics[0]

    def record(ids: Any, values: Any) -> Trace:
        rates = np.linspace(1.0, 0.5, np.shape(values)[1]).tolist()
        return Trace.from_arrays(ids, values, metric=metric, learning_rates=rates)

    return record


def is_frozen_and_checks_nothing_when_made(selector: Make, record: Record) -> None:
    """The constructor stores; `select` and `check` judge."""
    made = selector(budget=-3, seed="no seed")
    _hold(dataclasses.asdict(made)["budget"] == -3, "what the constructor was given is not what the dataclass holds")
    _refuses(dataclasses.FrozenInstanceError, "", "a new budget", setattr, made, "budget", 1)


def keeps_its_budget(selector: Make, record: Record) -> None:
    """A number exactly; a share to the nearest, and one example at least."""
    evidence = record(IDS, VALUES)
    for budget, num_kept in (*SHARES, *((number, number) for number in (1, 31, NUM_EXAMPLES))):
        keeps(selector, evidence, num_kept, budget=budget)


def refuses_bad_budgets(selector: Make, record: Record) -> None:
    """None is a budget only of a method that knows another measure."""
    evidence = record(IDS, VALUES)
    measured = getattr(selector(budget=1), "default_threshold", None) is not None
    for budget in NO_BUDGETS if measured else (*NO_BUDGETS, None):
        made = selector(budget=budget)
        for call, given in ((made.select, evidence), (made.check, NUM_EXAMPLES)):
            _refuses(ValueError, "budget=", f"budget={budget!r}", call, given)
    if measured:
        selector(budget=None).check(NUM_EXAMPLES)


def refuses_bad_seeds(selector: Make, record: Record) -> None:
    """A seed is an int that faiss and numpy take."""
    evidence = record(IDS, VALUES)
    for seed in NO_SEEDS:
        _refuses(ValueError, "seed=", f"seed={seed!r}", selector(budget=3, seed=seed).select, evidence)


def follows_its_seed(selector: Make, record: Record) -> None:
    """The same seed, the same answer; another seed, another, exactly where `is_random` says so."""
    evidence = record(IDS, VALUES)
    first, again, other = (selector(budget=40, seed=seed).select(evidence) for seed in (1, 1, 2))
    _hold(same(first, again), "the same seed gave two answers")
    is_random = selector(budget=1).is_random
    differs = not np.array_equal(first.ids, other.ids)
    _hold(differs == is_random, f"is_random={is_random}, but another seed gave {'another' if differs else 'the same'}")


def ignores_the_order_of_rows(selector: Make, record: Record) -> None:
    """Rows and labels in another order make no difference."""
    is_indifferent_to(np.random.default_rng(1).permutation(NUM_EXAMPLES), selector, record)


def leaves_global_generators_alone(selector: Make, record: Record) -> None:
    """Neither Python's, numpy's nor torch's is moved."""

    def states() -> list[str]:
        torch = sys.modules.get("torch")
        of_torch = "" if torch is None else str(torch.get_rng_state().tolist())
        return [str(np.random.get_state()), str(random.getstate()), of_torch]  # noqa: NPY002 - the state itself

    evidence, before = record(IDS, VALUES), states()
    selector(budget=20).select(evidence)
    _hold(states() == before, "a global generator was moved: draw from np.random.default_rng(self.seed)")


def gives_strata_their_shares(selector: Make, record: Record) -> None:
    """The same number each; what a small stratum cannot fill goes to the others."""
    labels = ["large"] * 200 + ["small"] * 5 + ["middle"] * 35
    selection = selector(budget=60).select(record(IDS, VALUES), strata=Strata(IDS, labels))
    kept = {label: int(selection.kept[np.array(labels) == label].sum()) for label in ("small", "middle", "large")}
    wanted = {"small": 5, "middle": 27, "large": 28}
    _hold(kept == wanted, f"strata of 5, 35 and 200 rows got {kept} of a budget of 60, not {wanted}: see `pool.codes`")


def requires_a_label_of_every_candidate(selector: Make, record: Record) -> None:
    """Strata that do not cover the candidates are refused by example."""
    evidence, made = record(IDS, VALUES), selector(budget=5)
    labels: list[Any] = ["a"] * NUM_EXAMPLES
    numbered = [*labels[:3], 3, *labels[4:]]
    for strata, words in (
        (Strata(np.delete(IDS, 7), labels[1:]), f"example {IDS[7]} has no label"),
        (Strata(IDS, ["a"]), f"{NUM_EXAMPLES} ids came with 1 labels"),
        (Strata(IDS, numbered), f"example {IDS[3]} has the label 3, which is no string"),
    ):
        _refuses(ValueError, words, "a missing label", made.select, evidence, strata=strata)


def works_within_an_earlier_selection(selector: Make, record: Record) -> None:
    """Its candidates are the rows that an earlier step kept, and the provenance holds both steps."""
    evidence = record(IDS, VALUES)
    first = RandomSelector(budget=100, seed=5).select(evidence)
    second = selector(budget=0.2).select(evidence, within=first)
    _hold(len(second) == 20, f"{len(second)} rows were kept of a fifth of 100")
    _hold(np.array_equal(second.candidate_ids, first.ids), "the candidates are not the rows that the first step kept")
    steps = [(step["selector"], step["num_candidates"]) for step in second.provenance]
    wanted = [("random", NUM_EXAMPLES), (selector(budget=1).name, 100)]
    _hold(steps == wanted, f"the provenance has the steps {steps}, not {wanted}")
    stranger = Selection(candidate_ids=np.array([1, 2]), kept=np.array([True, True]))
    words = "within= keeps example 2, which the evidence does not have"
    _refuses(ValueError, words, "a foreign within=", selector(budget=1).select, evidence, within=stranger)


def refuses_what_is_no_evidence(selector: Make, record: Record) -> None:
    """By the selector's name."""
    made = selector(budget=1)
    for evidence in (None, [1, 2, 3], {"train": 1}, VALUES):
        what = f"evidence of the kind {type(evidence).__name__}"
        _refuses(TypeError, type(made).__name__, what, made.select, evidence)


def says_how_to_do_it_again(selector: Make, record: Record) -> None:
    """The last step of the provenance is JSON, and its configuration gives the same answer."""
    evidence, made = record(IDS, VALUES), selector(budget=12, seed=np.int64(9))
    selection = made.select(evidence)
    (step,) = json.loads(json.dumps(selection.provenance))  # Selection.save writes it as JSON
    _hold((step["selector"], step["num_kept"]) == (made.name, 12), f"the provenance says {step}")
    _hold(same(selection, type(made)(**step["config"]).select(evidence)), f"{step['config']} chooses other rows")


CONTRACT: tuple[Callable[[Make, Record], None], ...] = (
    is_frozen_and_checks_nothing_when_made,
    keeps_its_budget,
    refuses_bad_budgets,
    refuses_bad_seeds,
    follows_its_seed,
    ignores_the_order_of_rows,
    leaves_global_generators_alone,
    gives_strata_their_shares,
    requires_a_label_of_every_candidate,
    works_within_an_earlier_selection,
    refuses_what_is_no_evidence,
    says_how_to_do_it_again,
)


def keeps(selector: Make, evidence: Any, num_kept: int, **options: Any) -> None:
    """That `options` keep `num_kept` of the candidates `IDS`."""
    selection = selector(**options).select(evidence)
    _hold(np.array_equal(selection.candidate_ids, IDS), "the candidates are not the rows of the evidence")
    num = len(np.unique(selection.ids))
    _hold(num == num_kept, f"{options} kept {num} of {NUM_EXAMPLES} rows, not {num_kept}")


def is_indifferent_to(order: Sequence[int] | NDArray[np.integer], selector: Make, record: Record) -> None:
    """That rows and labels in this order, int [NUM_EXAMPLES], make no difference."""
    labels = np.array(["math", "code", "chat"])[np.arange(NUM_EXAMPLES) % 3]
    straight, shuffled = record(IDS, VALUES), record(IDS[order], VALUES[order])
    made = selector(budget=31)
    _hold(same(made.select(straight), made.select(shuffled)), "another order of rows gave another answer")
    first = made.select(straight, strata=Strata(IDS, labels.tolist()))
    second = made.select(shuffled, strata=Strata(IDS[order], labels[order].tolist()))
    _hold(same(first, second), "another order of rows and labels gave another answer")


def same(first: Selection, second: Selection) -> bool:
    """Whether two Selections hold the same rows, scores and clusters."""
    pairs = [(getattr(first, name), getattr(second, name)) for name in ("candidate_ids", "kept", "scores", "clusters")]
    return all((a is None and b is None) or np.array_equal(a, b, equal_nan=a.dtype.kind == "f") for a, b in pairs)


def _hold(holds: Any, otherwise: str) -> None:
    if not holds:
        raise AssertionError(otherwise)


def _refuses(kind: type[Exception], words: str, what: str, call: Callable, *given: Any, **named: Any) -> None:
    try:
        call(*given, **named)
    except kind as error:
        _hold(words in str(error), f"the refusal of {what} does not say {words!r}: {error}")
    else:
        raise AssertionError(f"{what} was not refused with {kind.__name__}")
