"""The verdict claims what is clear, all of it and nothing else."""

import math
import re
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hf_datasel.compare.verdict import write_verdict
from tests.compare.worlds import make_world, noisy

METHODS = ("random", "m0", "m1", "m2")
CLAIM = re.compile(r"(m\d) at ((?:[\d.]+%(?:, | and )?)+) \(")


def claims(verdict: str) -> dict[str, set[tuple[str, str]]]:
    """What is said to have done better or worse than random rows, by the word."""
    found: dict[str, set[tuple[str, str]]] = {}
    for word, rest in re.findall(r"did (better|worse) than as many random rows: (.*?\))\.(?: |$)", verdict):
        places = {
            (method, share) for method, shares in CLAIM.findall(rest) for share in re.findall(r"[\d.]+%", shares)
        }
        found[word] = places
    return found


def clear_ones(result: dict[str, Any], family: str, metric: str = "exact_match") -> list[dict[str, Any]]:
    return [one for one in result["metrics"][metric]["groups"]["all"][family] if one["is_clear"]]


@settings(max_examples=60)
@given(
    effects=st.lists(st.sampled_from([-0.3, -0.05, 0.0, 0.05, 0.3]), min_size=4, max_size=4),
    num_seeds=st.integers(1, 6),
    seed=st.integers(0, 1000),
    lower_is_better=st.booleans(),
    yardsticks=st.sampled_from([(), ("m1",), ("m0", "m1", "m2")]),
    on_all=st.sampled_from([(), ("order",)]),
)
def test_words_of_difference_stand_only_for_intervals_without_0(
    effects: list[float],
    num_seeds: int,
    seed: int,
    lower_is_better: bool,
    yardsticks: tuple[str, ...],
    on_all: tuple[str, ...],
) -> None:
    score = noisy(dict(zip((*METHODS[1:], "order"), effects, strict=True)), 0.03, seed)
    costs = {
        "m0": [],
        "m1": [{**dict.fromkeys(("seconds", "forwards", "backwards", "fine_tunes"), 9), "evidence": "e"}],
    }
    world = make_world(score, METHODS, num_seeds=num_seeds, costs={**costs, "m2": []}, on_all=on_all)
    result = world.summarise(lower_is_better=("exact_match",) if lower_is_better else (), yardsticks=yardsticks)
    verdict = result["verdict"]
    expected: dict[str, set[tuple[str, str]]] = {}
    for one in clear_ones(result, "against_random"):
        low, high = one["corrected_interval"]
        assert low > 0 or high < 0
        word = "better" if (one["mean"] < 0) == lower_is_better else "worse"
        if one["method"] not in yardsticks:
            expected.setdefault(word, set()).add((one["method"], f"{100 * one['budget']:.3g}%"))
    assert claims(verdict) == expected

    sign = -1 if lower_is_better else 1
    choices = [method for method in METHODS if method not in yardsticks]
    means = [one for one in result["metrics"]["exact_match"]["groups"]["all"]["means"] if one["method"] in choices]
    best = max(means, key=lambda one: sign * one["mean"])

    def said(pattern: str) -> str | None:
        """The word of difference behind a pattern, None for none."""
        (word,) = re.findall(
            pattern + r"(?:; (?:the subset|it) did (better|worse) \(|; the two cannot|\.(?: |$))", verdict
        )
        return word or None

    def word_of(family: str, method: str, other: str, budget: float) -> str | None:
        """What a clear difference says of the method."""
        for one in clear_ones(result, family):
            if one["budget"] == budget and {one["method"], one["other"]} == {method, other}:
                is_more = one["mean"] * (1 if one["method"] == method else -1) > 0
                return "worse" if is_more == lower_is_better else "better"
        return None

    number = r"[-\d.e+]+?"
    full_word = said(f"Training on everything has {number}")
    assert full_word == word_of("against_full", best["method"], "full", best["budget"])
    for method in yardsticks:
        word = said(f"{method}, a yardstick that is told what nobody knows, has {number} at [\\d.]+%")
        if best["method"] != "random":
            assert word == word_of("pairs", best["method"], method, best["budget"])
        own = re.findall(rf"{method} did (better|worse) than as many random rows \(", verdict)
        clear = word_of("against_random", method, "random", best["budget"])
        assert own == ([clear] if clear else [])
    for method in on_all:
        word = said(rf"{method}, which trains on everything in an order that costs .*?, has {number} against {number}")
        assert word == word_of("against_full", method, "full", 1.0)

    costs_of = {one["method"]: one["seconds"] for one in result["costs"]["methods"]}
    cheaper = {method for method in choices if costs_of[method] < costs_of[best["method"]]}
    behind = {
        name
        for one in clear_ones(result, "pairs")
        if one["budget"] == best["budget"] and best["method"] in (one["method"], one["other"])
        for name in (one["method"], one["other"])
    }
    if "Every cheaper method did worse" in verdict:
        assert cheaper
        assert cheaper <= behind

    # no other word of difference than those that were looked at
    rest = re.sub(r"\((higher|lower) is better\)|did (better|worse) than as many random rows", "", verdict)
    rest = re.sub(
        r"(the subset|it) did (better|worse)|Every cheaper method did worse than m\d|The (highest|lowest)", "", rest
    )
    assert not re.search(r"better|worse|best|worst|beat|outperform|superior|higher|lower|clearly|signific", rest)


def test_false_claims_are_one_in_twenty() -> None:
    """Three methods that are as random at two budgets: the whole paragraph's first claim, 200 times."""
    num_trials = 200
    score = noisy({}, 0.03)
    false = sum(bool(claims(make_world(score, METHODS).summarise()["verdict"])) for _ in range(num_trials))
    assert false / num_trials < 0.05 + 4 * math.sqrt(0.05 * 0.95 / num_trials)


def test_nothing_to_tell_apart_says_how_many_seeds_would() -> None:
    result = make_world(noisy({"s2l": 0.03}, 0.05)).summarise()
    assert not clear_ones(result, "against_random")
    nearest = min(
        (one for one in result["metrics"]["exact_match"]["groups"]["all"]["against_random"] if one["seeds_needed"]),
        key=lambda one: one["seeds_needed"],
    )
    assert "No method can be told apart from as many random rows" in result["verdict"]
    assert f"Nearest to it is {nearest['method']} at {100 * nearest['budget']:.0f}%" in result["verdict"]
    assert f"about {nearest['seeds_needed']} seeds would show it" in result["verdict"]
    assert nearest["seeds_needed"] > len(result["seeds"])


def test_scores_that_never_change_are_not_taken_for_certain() -> None:
    verdict = make_world(lambda method, budget, seed, group: float(method == "s2l")).summarise()["verdict"]
    assert "No method can be told apart" in verdict
    assert "No difference is so large beside its spread that 1,000 seeds would show it." in verdict


def test_one_seed_says_that_it_says_nothing() -> None:
    verdict = make_world(noisy({"s2l": 5.0}, 0.01), num_seeds=1).summarise()["verdict"]
    assert "with one seed, which has no spread to tell noise by, nothing can be said" in verdict
    assert "of s2l at" in verdict
    assert "told apart" not in verdict


def test_the_best_its_cost_and_the_cheapest_beside_it() -> None:
    scores = {
        "random": [0.50, 0.51, 0.49, 0.52, 0.50, 0.49], "s2l": [0.79, 0.80, 0.81, 0.79, 0.80, 0.80],
        "clues": [0.80, 0.82, 0.78, 0.80, 0.81, 0.80], "full": [0.60, 0.62, 0.59, 0.61, 0.62, 0.58],
    }  # fmt: skip
    world = make_world(lambda method, budget, seed, group: scores[method][seed], budgets=(0.1,), num_seeds=6)
    verdict = world.summarise()["verdict"]
    assert (
        "is 0.8017, of clues at 10% of the rows; choosing it costs 92 s, 0.92 times one training on everything "
        in verdict
    )
    assert "(1,300 forwards, 500 backwards, fine-tunes: 1)" in verdict
    assert "The cheapest that cannot be told apart from it at 10% is s2l, with 0.7983 and 32 s of choosing." in verdict
    assert re.search(r"Training on everything has 0\.6033; the subset did better \(\+0\.198, interval \[", verdict)


def test_the_best_is_the_cheapest_of_those_that_tie() -> None:
    verdict = make_world(lambda method, budget, seed, group: 0.0).summarise()["verdict"]
    assert "mean of a subset is 0, of random at" in verdict
    assert "No method is cheaper than random." in verdict


def test_random_and_full_alone() -> None:
    verdict = make_world(noisy({}, 0.03), ("random",)).summarise()["verdict"]
    assert "no choice of rows but random ones was compared" in verdict


def test_many_methods_are_not_all_spelled_out() -> None:
    methods = ("random", *(f"m{k}" for k in range(6)))
    score = noisy({f"m{k}": 1.0 + k / 10 for k in range(6)}, 0.01)
    verdict = make_world(score, methods, budgets=(0.1,), num_seeds=5).summarise()["verdict"]
    told = claims(verdict)["better"]
    assert told == {(f"m{k}", "10%") for k in (5, 4, 3, 2)}
    assert "; and 2 more" in verdict


def test_a_metric_of_which_less_is_better() -> None:
    score = noisy({"s2l": -0.5}, 0.01)
    result = make_world(score, metrics=("loss", "exact_match"), num_seeds=5).summarise()
    assert claims(result["verdict"].replace("s2l", "m0"))["better"] == {("m0", "10%"), ("m0", "50%")}
    assert "Measured by loss (lower is better)" in result["verdict"]
    assert "The lowest mean of a subset" in result["verdict"]
    turned = make_world(score, metrics=("exact_match", "loss"), num_seeds=5).summarise(metrics=["loss", "exact_match"])
    assert turned["metric_names"] == ["loss", "exact_match"]
    assert "Measured by loss" in turned["verdict"]
    other = write_verdict(result, "exact_match")
    assert claims(other.replace("s2l", "m0"))["worse"] == {("m0", "10%"), ("m0", "50%")}
    with pytest.raises(ValueError, match="no metric 'accuracy', only"):
        write_verdict(result, "accuracy")


def test_a_yardstick_is_no_recommendation_however_good_it_is() -> None:
    effects = {"s2l": 0.1, "m oracle": 0.4}
    result = make_world(noisy(effects, 0.005), ("random", "s2l", "m oracle"), (0.1,), num_seeds=5).summarise(
        yardsticks=("m oracle",)
    )
    assert result["yardsticks"] == ["m oracle"]
    verdict = result["verdict"]
    assert claims(verdict.replace("s2l", "m0"))["better"] == {("m0", "10%")}
    assert "(2 with random rows)" in verdict, "corrected for the yardstick's, too"
    assert re.search(r"The highest mean of a subset is 0\.\d+, of s2l at 10%", verdict)
    assert "The cheapest" not in verdict
    assert "Every cheaper method did worse than s2l" in verdict, "random; the yardstick did not"
    assert re.search(r"m oracle, a yardstick that .*, has 0\.\d+ at 10%; the subset did worse \(-0\.[23]", verdict)
    assert re.search(r"m oracle did better than as many random rows \(\+0\.[34]", verdict)


def test_beside_a_yardstick_alone_nothing_is_recommended_but_random() -> None:
    world = make_world(noisy({"m0": 0.4}, 0.005), ("random", "m0"), (0.1,), num_seeds=5)
    verdict = world.summarise(yardsticks=("m0",))["verdict"]
    assert "no choice of rows but random ones was compared" in verdict
    assert "of random at 10% of the rows" in verdict
    assert "m0 did better than as many random rows (+0.4" in verdict


def test_an_order_of_all_rows_is_held_against_all_rows_alone() -> None:
    effects = {"order": 0.3, "s2l": 0.1}
    world = make_world(noisy(effects, 0.005), ("random", "s2l"), (0.1, 4), num_seeds=5, on_all=("order",))
    result = world.summarise()
    assert (result["methods"], result["on_all"]) == (["random", "s2l"], ["order"])
    groups = result["metrics"]["exact_match"]["groups"]["all"]
    own = {family: [one for one in groups[family] if one["method"] == "order"] for family in groups}
    assert [(one["other"], one["budget"]) for one in own["against_full"]] == [("full", 1.0)]
    assert own["against_random"] == own["pairs"] == []
    assert [one["budget"] for one in own["means"]] == [1.0]
    assert "order" not in result["overlap"][0]["methods"]
    verdict = result["verdict"]
    assert "of s2l at 10% of the rows" in verdict, "the best subset, as an order is none"
    assert re.search(
        r"order, which trains on everything in an order that costs 32 s, 0\.32 times one training on everything \(900 "
        r"forwards, 100 backwards, fine-tunes: 1\), has 0\.\d+ against 0\.\d+; it did better \(\+0\.[23]",
        verdict,
    )
