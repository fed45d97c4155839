"""CLUES against loops over examples and checkpoints; what each option needs to have been recorded."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hf_datasel.selectors import CLUESSelector, recorded
from hf_datasel.trace import Trace
from tests.selectors.evidence import influence_trace

NUM_EXAMPLES, NUM_ANCHORS = 40, 12
IDS = np.arange(NUM_EXAMPLES) * 7 + 2
BESIDE = ("cosine", "loss", "contrast_mismatched", "contrast_truncated", "contrast_shuffled")
RATES = [3e-4, 2e-4, 1e-4]


def random_rows(num_rows, seed):
    generator = np.random.default_rng(seed)
    return {
        "dot": generator.normal(1, 2, (num_rows, 3)).astype(np.float32),
        "cosine": generator.uniform(-1, 1, (num_rows, 3)).astype(np.float32),
        "loss": generator.gamma(2, 1, (num_rows, 3)).astype(np.float32),
        "ifd": generator.gamma(5, 0.2, (num_rows, 1)).astype(np.float32),
        "pairing": generator.normal(0.5, 1, (num_rows, 1)).astype(np.float32),
        **{name: generator.uniform(-1, 1, (num_rows, 3)).astype(np.float32) for name in BESIDE[2:]},
        "num_labels": generator.integers(1, 50, num_rows),
    }


ROWS, ANCHORS = random_rows(NUM_EXAMPLES, 0), random_rows(NUM_ANCHORS, 1)


def full_trace(rows=ROWS, anchors=ANCHORS):
    beside = None if anchors is None else influence_trace(np.arange(NUM_ANCHORS), **anchors, rates=RATES)
    return influence_trace(IDS, **rows, rates=RATES, anchors=beside)


def slow_component(rows, kind, weights, loss_at):
    """One score a row, in plain Python."""
    if kind == "loss" and loss_at == "last":
        return [-float(row[-1]) for row in rows["loss"]]
    if kind in ("ifd", "pairing"):
        return [float(row[-1]) * (-1 if kind == "ifd" else 1) for row in rows[kind]]
    table = rows[kind if kind in BESIDE else "dot"]
    sums = [math.fsum(weight * float(value) for weight, value in zip(weights, row, strict=True)) for row in table]
    if kind == "length_normalised":
        return [score * math.sqrt(n) for score, n in zip(sums, rows["num_labels"].tolist(), strict=True)]
    return [-score for score in sums] if kind in ("loss", "ifd") else sums


def slow_scores(options, rows, anchors):
    """Scores of rows and anchors, in plain Python."""

    def weights(kind):
        plain = RATES if options["weighting"] == "learning_rate" else [1.0] * 3
        if not options["normalise_checkpoints"]:
            return plain
        if kind in ("ifd", "pairing"):  # measured once
            return plain
        table = (anchors or rows)[kind if kind in BESIDE else "dot"].astype(np.float64)
        return [weight / np.std(table[:, t]) for t, weight in enumerate(plain)]

    def component(kind, of):
        return slow_component(of, kind, weights(kind), options["loss_at"])

    if options["score"] != "fused":
        return [None if of is None else component(options["score"], of) for of in (rows, anchors)]
    totals = [[0.0] * NUM_EXAMPLES, None if anchors is None else [0.0] * NUM_ANCHORS]
    names = options["detectors"]
    weights_of = dict(zip(names, options["weights"] or [1] * len(names), strict=False))
    if options["combine"] == "min":
        totals = [[math.inf] * len(part) if part is not None else None for part in totals]
    for kind in names:
        share = weights_of[kind] / sum(weights_of.values())
        pool = component(kind, rows)
        reference = pool if anchors is None else component(kind, anchors)
        for which, of in enumerate((rows, anchors)):
            for place, score in enumerate([] if of is None else component(kind, of)):
                if options["fusion"] == "lower_half":
                    low, middle = np.quantile(reference, [0.16, 0.5])
                    scaled = (score - middle) / (middle - low)
                elif options["fusion"] == "rank":
                    scaled = sum((one < score) + (one == score) / 2 for one in pool) / len(pool)
                else:
                    scaled = (score - np.mean(reference)) / np.std(reference)
                if options["combine"] == "min":
                    totals[which][place] = min(totals[which][place], scaled)
                else:
                    totals[which][place] += share * scaled
    return totals


DETECTORS = ["dot", "cosine", "length_normalised", "loss", "ifd", "pairing", "contrast_mismatched"]


def fitting(options):
    """As many weights as detectors, and none where the least counts."""
    weights = options["weights"]
    fits = None if weights is None or options["combine"] == "min" else weights[: len(options["detectors"])]
    return {**options, "weights": fits}


OPTIONS = st.fixed_dictionaries(
    {
        "score": st.sampled_from(["dot", "cosine", "length_normalised", "fused"]),
        "weighting": st.sampled_from(["learning_rate", "uniform"]),
        "normalise_checkpoints": st.booleans(),
        "detectors": st.lists(st.sampled_from(DETECTORS), min_size=1, max_size=4, unique=True),
        "fusion": st.sampled_from(["zscore", "lower_half", "rank"]),
        "combine": st.sampled_from(["mean", "min"]),
        "weights": st.sampled_from([None, [1.0, 0.0, 2.5, 0.3]]),
        "loss_at": st.sampled_from(["trajectory", "last"]),
    }
).map(fitting)


@given(options=OPTIONS, has_anchors=st.booleans(), block=st.sampled_from([1, 7, 1 << 16]))
@settings(max_examples=150)
def test_every_score_is_that_of_the_slow_loop(options, has_anchors, block):
    anchors = ANCHORS if has_anchors else None
    expected = slow_scores(options, ROWS, anchors)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(recorded, "BLOCK", block)
        scores = CLUESSelector(**options).score_examples(full_trace(anchors=anchors))
    np.testing.assert_allclose(scores.values, expected[0], rtol=1e-5, atol=1e-6)
    if has_anchors:
        np.testing.assert_allclose(scores.anchors, expected[1], rtol=1e-5, atol=1e-6)
    else:
        assert scores.anchors is None


@given(options=OPTIONS)
@settings(max_examples=30)
def test_a_budget_and_a_threshold_see_the_same_scores(options):
    trace = full_trace()
    by_budget = CLUESSelector(budget=20, **options).select(trace)
    by_threshold = CLUESSelector(threshold="mean", **options).select(trace)
    assert np.array_equal(by_budget.scores, by_threshold.scores)


def test_the_papers_method_by_hand():
    anchors = influence_trace([0, 1], [[2.0, 0.0], [4.0, 2.0]], rates=[0.5, 0.25])
    rows = [[3.0, 1.0], [4.0, -1.0], [1.0, 9.0], [3.0, 1.5]]
    trace = influence_trace([10, 11, 12, 13], rows, rates=[0.5, 0.25], anchors=anchors)
    selection = CLUESSelector(score="dot", weighting="learning_rate", threshold="mean").select(trace)
    assert selection.scores.tolist() == [1.75, 1.75, 2.75, 1.875]
    assert selection.provenance[0]["details"]["threshold"] == 1.75  # (1.0 + 2.5) / 2
    assert selection.ids.tolist() == [10, 11, 12, 13]
    assert CLUESSelector(score="dot", threshold=1.8).select(trace).ids.tolist() == [12, 13]


@pytest.mark.parametrize("fusion", ["zscore", "lower_half"])
def test_nothing_of_the_candidates_counts_so_a_row_has_one_score_in_every_party(fusion):
    options = {"score": "fused", "fusion": fusion, "normalise_checkpoints": True}
    whole = CLUESSelector(**options).score_examples(full_trace())
    part = {kind: values[::3] for kind, values in ROWS.items()}
    anchors = influence_trace(np.arange(NUM_ANCHORS), **ANCHORS, rates=RATES)
    alone = CLUESSelector(**options).score_examples(influence_trace(IDS[::3], **part, rates=RATES, anchors=anchors))
    assert np.array_equal(whole.values[::3], alone.values)
    assert np.array_equal(whole.anchors, alone.anchors)
    assert whole.details["standardised_by"] == "anchors"


def test_rows_of_a_first_selection_are_read_at_their_places():
    trace = full_trace()
    first = CLUESSelector(budget=25, score="cosine").select(trace)
    second = CLUESSelector(budget=10, score="fused").select(trace, within=first)
    expected = CLUESSelector(score="fused").score_examples(trace)
    assert np.array_equal(second.scores, expected.values[first.kept])


def test_a_trace_on_disk_gives_the_same_scores(tmp_path):
    held = full_trace()
    trace = Trace.create(tmp_path / "trace", IDS, metric="influence", info={"precondition": "adam"})

    def write(target, values):
        for t in range(values.shape[1]):
            target.write_column(values[:, t], step=t + 1, learning_rate=RATES[t])
        target.finish()

    write(trace, ROWS["dot"])
    anchors = trace.create_companion("anchors", ids=np.arange(NUM_ANCHORS), metric="influence")
    write(anchors, ANCHORS["dot"])
    for target, rows in ((trace, ROWS), (anchors, ANCHORS)):
        for name in BESIDE:
            write(target.create_companion(name, metric=name), rows[name])
        once = target.create_companion("pairing", metric="pairing", num_checkpoints=1)
        write(once, rows["pairing"])
        write(target.create_companion("num_labels", metric="num_labels"), rows["num_labels"][:, None])
    for score in ("dot", "cosine", "length_normalised", "fused"):
        selector = CLUESSelector(score=score, threshold="mean")
        loaded = selector.select(Trace.load(tmp_path / "trace"))
        assert np.array_equal(loaded.scores, selector.select(held).scores)
        assert loaded.provenance[0]["details"]["precondition"] == "adam"


class TestRefusals:
    @pytest.mark.parametrize(
        ("missing", "score", "how"),
        [
            ("cosine", "cosine", r"norms=True"),
            ("contrast_truncated", "fused", r"for_selector=selector\).* or with contrast_datasets={'truncated': ...}"),
            (
                "pairing",
                "fused",
                r"GradientTraceCallback\(..., for_selector=selector\).*pairing=4; or take score='dot'",
            ),
            ("loss", "fused", r"GradientTraceCallback records 'loss' in every run"),
            ("num_labels", "length_normalised", r"GradientTraceCallback records 'num_labels' in every run"),
        ],
    )
    def test_what_was_not_recorded_is_named_with_how_to_record_it(self, missing, score, how):
        rows = {kind: values for kind, values in ROWS.items() if kind != missing}
        with pytest.raises(ValueError, match=rf"needs the companion '{missing}' of the Trace.*{how}"):
            CLUESSelector(budget=3, score=score).select(full_trace(rows, None))
        anchors = {kind: values for kind, values in ANCHORS.items() if kind != missing}
        with pytest.raises(ValueError, match=rf"needs the companion '{missing}' of its anchors.*{how}"):
            CLUESSelector(threshold="mean", score=score).select(full_trace(anchors=anchors))

    def test_a_companion_of_other_examples_or_checkpoints(self):
        for ids, steps, message in ((IDS + 1, [1, 2, 3], "other examples"), (IDS, [1, 2, 4], r"\[1, 2, 4\]")):
            cosine = Trace.from_arrays(ids, ROWS["cosine"], steps=steps)
            trace = Trace.from_arrays(
                IDS, ROWS["dot"], metric="influence", learning_rates=RATES, companions={"cosine": cosine}
            )
            with pytest.raises(ValueError, match=message):
                CLUESSelector(budget=3, score="cosine").select(trace)

    def test_a_companions_value_that_was_not_measured(self):
        cosine = ROWS["cosine"].copy()
        cosine[5, 1] = np.nan
        with pytest.raises(ValueError, match=f"example {IDS[5]} was not measured at step 2"):
            CLUESSelector(budget=3, score="cosine").select(full_trace({**ROWS, "cosine": cosine}))

    def test_unknown_learning_rates(self):
        trace = influence_trace(IDS, ROWS["dot"])
        with pytest.raises(ValueError, match=r"learning rate of checkpoint 0 is nan: pass weighting='uniform'"):
            CLUESSelector(budget=3, score="dot").select(trace)
        assert len(CLUESSelector(budget=3, score="dot", weighting="uniform").select(trace)) == 3

    def test_anchors_that_have_no_spread(self):
        anchors = {kind: np.ones_like(values) for kind, values in ANCHORS.items()}
        with pytest.raises(ValueError, match=r"the 12 scores to standardise by do not differ.*fusion='rank'"):
            CLUESSelector(score="fused", budget=3).select(full_trace(anchors=anchors))
        with pytest.raises(ValueError, match=r"over its anchors, but its 12 rows do not differ"):
            CLUESSelector(normalise_checkpoints=True, budget=3).select(full_trace(anchors=anchors))

    def test_a_row_without_labels(self):
        num_labels = ROWS["num_labels"].copy()
        num_labels[7] = 0
        with pytest.raises(ValueError, match=f"Example {IDS[7]} of the Trace has 0 label tokens"):
            CLUESSelector(score="length_normalised", budget=3).select(full_trace({**ROWS, "num_labels": num_labels}))

    @pytest.mark.parametrize(
        "option",
        [
            {"score": "norm"},
            {"weighting": "linear"},
            {"normalise_checkpoints": 1},
            {"detectors": ["fused"]},
            {"detectors": []},
            {"detectors": "loss"},
            {"detectors": ["loss", "loss"]},
            {"combine": "max"},
            {"weights": [1.0], "combine": "mean"},
            {"weights": [1.0, -1.0, 1.0], "combine": "mean"},
            {"weights": [0.0] * 3, "combine": "mean"},
            {"weights": [1.0] * 3},
            {"fusion": "sum"},
            {"loss_at": "first"},
        ],
    )
    def test_an_option_out_of_range_is_named(self, option):
        with pytest.raises(ValueError, match=f"{next(iter(option))}="):
            CLUESSelector(budget=3, **option).check(10)
