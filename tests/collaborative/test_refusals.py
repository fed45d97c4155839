"""What is refused before anything is trained, by name and with the way out."""

import numpy as np
import pytest
from datasets import Dataset
from peft import LoraConfig, get_peft_model

from hf_datasel import CLUESSelector, PerplexitySelector, Selection, Trace
from hf_datasel.collaborative import FedAvg, Merge, Party, clues, rules
from hf_datasel.collaborative.local_training import LocalTraining
from hf_datasel.collaborative.messages import FilterReply, FilterRequest, PublicRows, TrainRequest
from hf_datasel.collaborative.party import PartyServer
from hf_datasel.collaborative.tables import pack_rows, unpack_rows
from tests.collaborative.parties import ANCHORS, VALIDATION, make_parties, make_rows, run
from tests.training.tiny import sft_args, tiny_model, word_tokenizer

ROWS = make_rows(8, 0)[0]
OWN = [
    Party("north", ROWS),
    Party("south", make_rows(8, 1)[0], peft_config=LoraConfig(r=6, target_modules=["q_proj"])),
]
CHOSEN = Selection(candidate_ids=np.arange(8), kept=np.arange(8) < 4)


@pytest.mark.parametrize(
    ("options", "error", "words"),
    [
        ({"parties": [Party("a", ROWS), Party("a", ROWS)]}, ValueError, "Two parties are named 'a'"),
        ({"parties": [ROWS]}, TypeError, r"must be Party\(name, dataset\) objects, not Dataset"),
        ({"peft_config": None}, TypeError, "peft_config must be a peft.LoraConfig, not NoneType"),
        ({"peft_config": LoraConfig(use_dora=True)}, ValueError, r"party 'north': LoraConfig\(use_dora=True\)"),
        (
            {"parties": OWN},
            ValueError,
            "'ties' needs equal LoRA ranks, but party 'north' has rank 4 and party 'south'",
        ),
        ({"parties": OWN, "merge": FedAvg(num_rounds=1, num_steps=1)}, ValueError, "FedAvg trains one adapter, but"),
        ({"merge": "mean"}, ValueError, "merge method 'mean' is not known; choose one of"),
        ({"merge": 3}, TypeError, "merge must be a method's name, a Merge or a FedAvg, not int"),
        ({"merge": Merge(weights={"north": 1})}, ValueError, "weights and parties do not agree on 'south'"),
        ({"merge": FedAvg(num_rounds=0, num_steps=1)}, ValueError, r"FedAvg\(num_rounds=0\) must be a whole number"),
        ({"merge": FedAvg(num_rounds=1, num_steps=2.0)}, ValueError, r"FedAvg\(num_steps=2.0\) must be a whole"),
        ({"merge": FedAvg(num_rounds=1, num_steps=1, average="both")}, ValueError, "must be 'factors' or 'product'"),
        (
            {"merge": FedAvg(num_rounds=1, num_steps=1, weights={"north": -1, "south": 1})},
            ValueError,
            "cannot be negative",
        ),
        ({"validation_dataset": None}, ValueError, "validation_dataset is missing: CLUESSelector needs public rows"),
        ({"anchor_dataset": None}, ValueError, "anchor_dataset is missing: CLUESSelector needs public rows that set"),
        ({"anchor_dataset": ANCHORS.select([])}, ValueError, "anchor_dataset has no rows"),
        (
            {"validation_dataset": [{"text": "w1"}]},
            TypeError,
            "validation_dataset must be a datasets.Dataset, not list",
        ),
        ({"selector": PerplexitySelector(budget=0.5)}, TypeError, "must be a CLUESSelector or None, not Perplexity"),
        ({"selector": CLUESSelector(budget=9)}, ValueError, "budget=9 examples is out of range: there are 8"),
        ({"selector": CLUESSelector(score="best")}, ValueError, "score='best'"),
        (
            {"parties": [Party("a", ROWS, selection=CHOSEN)]},
            ValueError,
            "Party 'a' brings a Selection, but there is a",
        ),
        ({"threshold_scope": "all"}, ValueError, "threshold_scope='all' must be 'per_client' or 'global'"),
        (
            {"threshold_scope": "global", "selector": CLUESSelector(threshold="f1")},
            ValueError,
            "'f1' is estimated from a party's own rows",
        ),
        (
            {"threshold_scope": "global", "selector": CLUESSelector(threshold="mean", fusion="rank")},
            ValueError,
            "fusion='rank' scores by ranks among a party's own rows",
        ),
        (
            {
                "threshold_scope": "global",
                "selector": CLUESSelector(),
            },
            ValueError,
            "'pairing' asks the questions of a party's own rows.*leave it out of detectors=",
        ),
        ({"on_empty": "ignore"}, ValueError, "on_empty='ignore' must be 'raise' or 'skip'"),
        ({"recording": {"dataset": ROWS}}, ValueError, "'dataset': ...}: this is set by clues itself"),
        ({"model": get_peft_model(tiny_model(), LoraConfig())}, TypeError, "model has a PEFT adapter already"),
    ],
)
def test_refused_at_once(tmp_path, options, error, words):
    parties = options.pop("parties", make_parties({"north": 8, "south": 8}))
    with pytest.raises(error, match=words):
        run(tmp_path / "out", parties, **options)
    assert not (tmp_path / "out").exists()


def test_no_party(tmp_path):
    with pytest.raises(ValueError, match="clues needs at least one Party"):
        clues([], model=tiny_model(), args=sft_args(tmp_path), peft_config=LoraConfig())


def test_several_processes(tmp_path, monkeypatch):
    args = sft_args(tmp_path)  # looks at the variable too
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(RuntimeError, match="one process: start it without a launcher"):
        clues(make_parties(), model=tiny_model(), args=args, peft_config=LoraConfig())


@pytest.mark.parametrize(
    ("name", "dataset", "error", "words"),
    [
        ("../up", ROWS, ValueError, r"A party cannot be named '../up'"),
        ("", ROWS, ValueError, "A party cannot be named ''"),
        ("a", ROWS.to_iterable_dataset(), TypeError, "Party 'a': a datasets.Dataset is needed, not IterableDataset"),
        ("a", {"train": ROWS}, TypeError, "not dict"),
        ("a", ROWS.select([]), ValueError, "Party 'a' has no rows"),
    ],
)
def test_parties_that_are_none(name, dataset, error, words):
    with pytest.raises(error, match=words):
        Party(name, dataset)


def test_a_party_that_holds_an_anchor_is_named(tmp_path):
    leaking = Party("south", Dataset.from_dict({k: [*ROWS[k], ANCHORS[0][k]] for k in ROWS.column_names}))
    with pytest.raises(ValueError, match="Row 0 of anchor_dataset is also training example 8") as failure:
        run(tmp_path, [*make_parties({"north": 8}), leaking])
    assert failure.value.__notes__ == ["This was party 'south', answering a ScoreRequest."]


def test_no_row_left_anywhere(tmp_path):
    selector = CLUESSelector(score="dot", threshold=1e9)
    with pytest.raises(ValueError, match="No row is left after the threshold at 'north', 'south'"):
        run(tmp_path, make_parties({"north": 8, "south": 8}), selector=selector, anchor_dataset=None)


def server(tmp_path, **options):
    training = LocalTraining(tiny_model(), word_tokenizer(), sft_args(tmp_path, max_steps=1))
    return PartyServer(Party("north", ROWS, **options), training, tmp_path / "north", seed=0)


def test_a_party_answers_requests_only(tmp_path):
    with pytest.raises(TypeError, match=r"A party answers \['ScoreRequest', 'FilterRequest', 'TrainRequest'\], not"):
        server(tmp_path)(FilterReply(True))


def test_a_party_asked_to_filter_before_it_has_scored(tmp_path):
    with pytest.raises(FileNotFoundError, match="No Trace at"):
        server(tmp_path)(FilterRequest({"name": "clues", "threshold": "mean"}, False))


def test_a_party_sent_no_adapter_needs_a_configuration(tmp_path):
    north = server(tmp_path)
    north(FilterRequest(None, False))
    with pytest.raises(ValueError, match="Party 'north' was sent no adapter and has no peft_config of its own"):
        north(TrainRequest(None))


def test_a_selection_that_keeps_nothing(tmp_path):
    nothing = Selection(candidate_ids=np.arange(8), kept=np.zeros(8, bool))
    reply = server(tmp_path, selection=nothing)(FilterRequest(None, True))
    assert (reply.has_rows, reply.num_kept) == (False, 0)


@pytest.mark.parametrize(
    ("rule", "words"),
    [
        ({"name": "ppl"}, "Parties filter by the rule 'clues', not by 'ppl'"),
        ({"name": "clues", "magic": 1}, "The rule does not fit this hf_datasel's CLUESSelector.*magic"),
    ],
)
def test_rules_that_are_none(rule, words):
    with pytest.raises(ValueError, match=words):
        rules.make_selector(rule)


def test_a_rule_comes_back_as_it_was():
    for selector in (
        CLUESSelector(),
        CLUESSelector(budget=0.5, detectors=("dot", "loss"), combine="mean", weights=[1, 2]),
        CLUESSelector(threshold=np.float32(2)),
    ):
        again = rules.make_selector(rules.make_rule(selector))
        assert rules.make_rule(again) == rules.make_rule(selector)
        assert rules.threshold_of(again) == rules.threshold_of(selector)


@pytest.mark.parametrize("threshold", ["mean", "quantile", "conformal", "f1", -1.0, 2.5, 3.5, None])
def test_keeping_nothing_is_known_before_selecting(threshold):
    anchors = Trace.from_arrays(range(90), np.linspace(2, 3, 90)[:, None], metric="influence")
    for top in (1.0, 2.6, 4.0):
        values = np.linspace(-1, top, 8)[:, None]
        trace = Trace.from_arrays(range(8), values, metric="influence", companions={"anchors": anchors})
        budget = 0.5 if threshold is None else None
        options = {"score": "dot", "weighting": "uniform", "alpha": 0.2}
        selector = CLUESSelector(budget=budget, threshold=threshold, **options)
        if rules.keeps_nothing(selector, trace):
            with pytest.raises(ValueError, match="would keep no example"):
                selector.select(trace)
        else:
            assert len(selector.select(trace))


def test_public_rows_come_back_as_they_were():
    for rows in (VALIDATION, make_parties({"a": 3})[0].dataset.map(lambda row: {"tags": [{"k": row["prompt"]}]})):
        back = unpack_rows(pack_rows(rows))
        assert back.to_list() == rows.to_list()
        assert back.features == rows.features
        assert pack_rows(back).table == pack_rows(rows).table
    assert unpack_rows(pack_rows(VALIDATION.select([5, 2]))).to_list() == VALIDATION.select([5, 2]).to_list()
    with pytest.raises(ValueError, match="no Arrow stream"):
        unpack_rows(PublicRows(b"nothing"))
