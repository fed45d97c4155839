"""Chains: what `within=` calls by hand give, shares of all rows, and what is refused with both links named."""

import dataclasses
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hf_datasel import (
    Chain,
    CLUESSelector,
    Embeddings,
    FullSelector,
    LeastConfidenceSelector,
    MiddlePerplexitySelector,
    PerplexitySelector,
    RandomSelector,
    S2LSelector,
    Selection,
    Strata,
    Trace,
)
from hf_datasel.selectors.chain import Link, options_of_links, parse_chain
from hf_datasel.selectors.contract import same
from hf_datasel.selectors.rederive import Published, rederive
from tests.selectors.evidence import influence_trace

N = 40
IDS = np.arange(N) * 3 + 1
VALUES = np.random.default_rng(0).gamma(2.0, size=(N, 3)).astype(np.float32)
LOSSES = Trace.from_arrays(IDS, VALUES)
LABELS = Strata(IDS, ["a", "b", "b", "c"] * (N // 4))


def by_hand(selectors, evidences, strata=None, within=None):
    """The same, link after link: a share of all rows as a number, and each `within=` the one before."""
    selection = within
    for number, (selector, evidence) in enumerate(zip(selectors, evidences, strict=True)):
        budget = selector.budget
        if isinstance(budget, float) and not isinstance(selector, FullSelector):
            budget = max(1, math.floor(budget * len(evidence.ids) + 0.5))
        last = number == len(selectors) - 1
        made = dataclasses.replace(selector, budget=budget)
        selection = made.select(evidence, strata=strata if last else None, within=selection)
    return selection


def outcome(choose, *given, **named):
    """A Selection, or None where it is refused."""
    try:
        return choose(*given, **named)
    except ValueError:
        return None


budgets = st.integers(1, N) | st.floats(0.01, 1.0)
links = st.one_of(
    st.builds(RandomSelector, budget=budgets, seed=st.integers(0, 9)),
    st.builds(PerplexitySelector, budget=budgets),
    st.builds(PerplexitySelector, threshold=st.floats(1.5, 20.0)),
    st.builds(LeastConfidenceSelector, budget=budgets),
    st.builds(MiddlePerplexitySelector, budget=budgets),
    st.builds(FullSelector, budget=st.sampled_from([None, 1.0])),
)
earlier = st.none() | st.integers(1, N).map(lambda budget: RandomSelector(budget=budget, seed=99).select(LOSSES))


@given(st.lists(links, min_size=1, max_size=4), st.sampled_from([None, LABELS]), earlier)
@settings(max_examples=150)
def test_a_chain_is_what_within_gives_by_hand(selectors, strata, within):
    expected = outcome(by_hand, selectors, [LOSSES] * len(selectors), strata, within)
    for evidences in (LOSSES, [LOSSES] * len(selectors)):
        found = outcome(Chain(tuple(selectors)).select, evidences, strata=strata, within=within)
        assert (found is None) == (expected is None)
        if expected is not None:
            assert same(found, expected)
            assert found.provenance == expected.provenance
            assert np.array_equal(found.strata, expected.strata) if strata else found.strata is None
            again = rederive(found.provenance[-1], Published.of(found))
            assert np.array_equal(again, found.kept)


@given(st.lists(links, min_size=1, max_size=4))
@settings(max_examples=150)
def test_what_is_refused_before_is_refused_when_selecting(selectors):
    chain = Chain(tuple(selectors))
    if outcome(chain.select, LOSSES) is not None:
        chain.check(N)
    elif all(selector.budget is not None for selector in selectors):  # a threshold is not known before
        with pytest.raises(
            ValueError, match=r"^Chain: link \d of \d \('\w+'\) asks for \d+ of 40 rows, but link \d of"
        ):
            chain.check(N)


def test_clean_then_spread_with_evidence_of_each(tmp_path):
    generator = np.random.default_rng(1)
    influence = Trace.from_arrays(
        IDS,
        generator.normal(size=(N, 2)),
        metric="influence",
        learning_rates=[1.0, 0.5],
        companions={"anchors": influence_trace(range(60), generator.normal(size=(60, 2)), rates=[1.0, 0.5])},
    )
    clean, spread = CLUESSelector(score="dot", threshold="mean"), S2LSelector(budget=0.1, num_clusters=3, seed=5)
    chosen = Chain((clean, spread)).select((influence, LOSSES), strata=LABELS)
    kept = clean.select(influence)
    expected = S2LSelector(budget=4, num_clusters=3, seed=5).select(LOSSES, strata=LABELS, within=kept)
    assert same(chosen, expected)
    assert chosen.provenance == (*kept.provenance, expected.provenance[-1])
    assert 4 < len(kept) < N
    chosen.save(tmp_path / "selection")
    loaded = Selection.load(tmp_path / "selection")
    assert [step["selector"] for step in loaded.provenance] == ["clues", "s2l"]
    assert np.array_equal(rederive(loaded.provenance[-1], Published.of(loaded)), loaded.kept)


def test_one_evidence_for_all_gives_each_the_companion_it_reads():
    influence = influence_trace(IDS, VALUES[:, ::-1], loss=VALUES)
    chain = Chain((CLUESSelector(score="dot", weighting="uniform", budget=0.5), S2LSelector(budget=5, num_clusters=2)))
    given_each = chain.select([influence, influence.companion("loss")])
    assert same(chain.select(influence), given_each)
    without = influence_trace(IDS, VALUES, cosine=VALUES)
    wanted = r"Chain: 's2l' reads a Trace of 'loss', but the one for all links holds 'influence' with .*\['cosine'\]"
    with pytest.raises(ValueError, match=wanted):
        chain.select(without)


def test_the_same_method_twice_and_another_kind_of_evidence():
    vectors = Embeddings.from_arrays(IDS, VALUES, embedder={"name": "values"})
    chain = Chain([RandomSelector(budget=0.5, seed=1), RandomSelector(budget=0.2, seed=2)])
    twice = chain.select(vectors)
    assert [step["num_kept"] for step in twice.provenance] == [20, 8]
    assert [step["config"] for step in twice.provenance] == [{"budget": 20, "seed": 1}, {"budget": 8, "seed": 2}]
    assert same(chain.select((vectors, LOSSES)), twice)


def test_a_share_counts_rows_that_cannot_be_measured(tmp_path):
    trace = Trace.create(tmp_path / "trace", IDS)
    trace.mark_unmeasurable(IDS[:10], "every label is masked")
    trace.write_column(np.where(np.arange(N) < 10, np.nan, VALUES[:, 0]), step=0, learning_rate=1.0)
    trace.finish()
    chosen = Chain((PerplexitySelector(budget=0.5), RandomSelector(budget=0.25))).select(trace)
    assert [(step["num_candidates"], step["num_kept"]) for step in chosen.provenance] == [(30, 20), (20, 10)]


REFUSED = [
    ((), ValueError, r"Chain\(\(\)\) has no link"),
    ((RandomSelector(budget=1), "s2l"), TypeError, "Link 2 of the Chain must be a selector, not 's2l'"),
    (
        (RandomSelector(budget=0.2), S2LSelector(budget=0.5)),
        ValueError,
        r"link 2 of 2 \('s2l'\) asks for 20 of 40 rows, but link 1 of 2 \('random'\) keeps 8: a share is of all rows",
    ),
    (
        (RandomSelector(budget=0.2), FullSelector(), S2LSelector(budget=9)),
        ValueError,
        r"link 3 of 3 \('s2l'\) asks for 9 of 40 rows, but link 1 of 3 \('random'\) keeps 8",
    ),
    ((PerplexitySelector(), S2LSelector(budget=3)), ValueError, r"Chain: link 1 of 2 \('perplexity'\): .*budget=None"),
    (
        (FullSelector(), S2LSelector(budget=41)),
        ValueError,
        r"link 2 of 2 \('s2l'\): budget=41 examples is out of range",
    ),
]


@pytest.mark.parametrize(("selectors", "kind", "message"), REFUSED, ids=lambda value: str(value)[:40])
def test_chains_that_cannot_be(selectors, kind, message):
    with pytest.raises(kind, match=message):
        Chain(selectors).check(N)
    with pytest.raises(kind, match=message.replace("link 1 of 3", "link 2 of 3").replace("'random'", "'.*'")):
        Chain(selectors).select(LOSSES)


def test_more_than_a_threshold_has_left_is_refused_with_both_links():
    few = PerplexitySelector(threshold=float(np.sort(np.exp(VALUES[:, -1].astype(np.float64)))[5]))
    chain = Chain((few, S2LSelector(budget=0.5)))
    chain.check(N)
    message = r"link 2 of 2 \('s2l'\) asks for 20 of 40 rows, but link 1 of 2 \('perplexity'\) keeps [56]:"
    with pytest.raises(ValueError, match=message):
        chain.select(LOSSES)
    within = RandomSelector(budget=3).select(LOSSES)
    with pytest.raises(ValueError, match="asks for 4 of 40 rows, but the Selection passed as within= keeps 3:"):
        Chain((RandomSelector(budget=0.1),)).select(LOSSES, within=within)


def test_evidence_that_is_missing():
    chain = Chain((RandomSelector(budget=0.5), S2LSelector(budget=3)))
    with pytest.raises(ValueError, match=r"A chain of 2 links \(random, s2l\) came with 1 evidences: pass one a link"):
        chain.select([LOSSES])
    for evidences in ([LOSSES, None], [LOSSES, [1, 2]]):
        with pytest.raises(
            TypeError, match=r"S2LSelector chooses by evidence of the kind Trace.*not by (NoneType|list)"
        ):
            chain.select(evidences)
    with pytest.raises(TypeError):
        chain.select(None)
    with pytest.raises(ValueError, match=r"within= keeps example \d+, which the evidence does not have"):
        chain.select([LOSSES, Trace.from_arrays(IDS[:5], VALUES[:5])])


def test_chains_as_text():
    assert parse_chain("s2l") == (Link("s2l"),)
    assert parse_chain(" clues:0.5 , random:30,s2l:1.0") == (Link("clues", 0.5), Link("random", 30), Link("s2l", 1.0))
    assert isinstance(parse_chain("random:1,s2l")[0].budget, int)
    assert Link("s2l").selector is S2LSelector


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("clues,s3l", r"method='s3l' is not known; choose one of \[.*'s2l'"),
        ("clues,,s2l", "method='clues,,s2l' has a link without a name"),
        ("", "has a link without a name"),
        (":0.5", "has a link without a name"),
        ("random:0.5,random", "names 'random' twice, .* in Python"),
        *(
            (f"random:{amount},s2l", "is no budget of 'random'")
            for amount in ("", "half", "0", "-3", "1.5", "nan", "inf")
        ),
    ],
)
def test_text_that_is_no_chain(text, message):
    with pytest.raises(ValueError, match=message):
        parse_chain(text)


def test_options_stand_under_their_method():
    two = parse_chain("clues,s2l")
    assert options_of_links(two, {"clues": {"score": "dot"}}, "options") == [{"score": "dot"}, {}]
    assert options_of_links(two[:1], {"score": "dot"}, "options") == [{"score": "dot"}]
    assert options_of_links(two, None, "options") == [{}, {}]
    for given_options in ({"score": "dot"}, {"shed": {}}, {"s2l": 3}):
        with pytest.raises(ValueError, match=r"options: .* is for no link of the chain clues,s2l: write"):
            options_of_links(two, given_options, "options")
