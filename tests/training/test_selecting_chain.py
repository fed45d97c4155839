"""SelectingSFTTrainer with several methods one after another: each link's evidence, recorded as it would be alone."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from trl.scripts.utils import TrlParser

from hf_datasel import (
    Chain,
    CLUESSelector,
    PerplexitySelector,
    RandomSelector,
    S2LSelector,
    SelectingSFTConfig,
    Selection,
    SHEDSelector,
    Trace,
    Valuation,
)
from hf_datasel.data import rows, strata
from hf_datasel.selectors.contract import same
from hf_datasel.selectors.rederive import Published, rederive
from hf_datasel.training.links import make_selector, make_selectors
from tests.training.scripts import kill_a_chain
from tests.training.selecting import SHED, anchor_rows, clues, config, selecting, validation_rows, weights
from tests.training.tiny import make_dataset, tiny_model

ROOT = Path(__file__).parents[2]
BOTH: dict[str, Any] = {"selection_method": "clues:0.75,s2l", "selection_score": "dot", "selection_budget": 0.25}


def stage(trainer: Any) -> Path:
    return Path(trainer.args.output_dir) / "_selection_stage"


def files(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_every_link_reads_what_it_would_have_recorded_alone(tmp_path: Path) -> None:
    proxy = tiny_model(seed=3)
    before = [parameter.detach().clone() for parameter in proxy.parameters()]
    trainer = clues(tmp_path / "both", proxy=proxy, **BOTH)
    trainer.train()
    assert all(map(torch.equal, before, proxy.parameters()))  # each link trained a copy
    alone = {
        "1-clues": clues(tmp_path / "clues", proxy=tiny_model(seed=3), selection_score="dot"),
        "2-s2l": selecting(tmp_path / "s2l", proxy=tiny_model(seed=3)),
    }
    for name, other in alone.items():
        other._get_selection(None)
        assert files(stage(trainer) / name / "trace") == files(stage(other) / "trace"), name
    traces = [Trace.load(stage(trainer) / name / "trace") for name in alone]
    chain = Chain((CLUESSelector(score="dot", budget=0.75), S2LSelector(budget=0.25, num_clusters=4)))
    expected = chain.select(traces)
    assert same(trainer.selection, expected)
    assert [(step["selector"], step["num_kept"]) for step in expected.provenance] == [("clues", 18), ("s2l", 6)]
    saved = Selection.load(tmp_path / "both" / "selection")
    assert same(saved, expected)
    assert np.array_equal(rederive(saved.provenance[-1], Published.of(saved)), saved.kept)
    told = json.loads((stage(trainer) / "stage.json").read_text())
    assert [link["name"] for link in told["chain"]] == ["clues", "s2l"]
    assert sorted(path.name for path in stage(trainer).iterdir()) == ["1-clues", "2-s2l", "stage.json"]
    first = trainer.state.log_history[0]
    assert (first["selection/num_candidates"], first["selection/share"]) == (24, 0.25)
    trainer.create_model_card()
    card = (tmp_path / "both" / "README.md").read_text()
    assert "Step 1" in card
    assert "Step 2" in card


def test_links_that_read_the_same_share_a_recording(tmp_path: Path) -> None:
    options = {"selection_method": "perplexity:18,random:12,s2l", "selection_budget": 6}
    trainer = selecting(tmp_path / "out", proxy=tiny_model(seed=3), selection_strata_column="source", **options)
    selection = trainer._get_selection(None)
    assert sorted(path.name for path in stage(trainer).iterdir()) == ["1-perplexity", "stage.json"]
    trace = Trace.load(stage(trainer) / "1-perplexity" / "trace")
    links = (PerplexitySelector(budget=18), RandomSelector(budget=12), S2LSelector(budget=6, num_clusters=4))
    expected = Chain(links).select((trace, rows(trainer._source), trace), strata=strata(trainer._source, "source"))
    assert same(selection, expected)
    assert selection.stratum_names == expected.stratum_names
    assert trainer._publisher._evidence(selection).values.tolist() == trace.values.tolist()


def test_a_valuation_after_a_cut_that_anchors_make(tmp_path: Path) -> None:
    options = {**SHED, "selection_method": "clues,shed", "selection_estimator": "exact", "selection_budget": 6}
    more = {"clues": {"score": "dot", "threshold": "quantile", "alpha": 0.2}}
    held_out = {"validation_dataset": validation_rows(), "anchor_dataset": anchor_rows()}
    trainer = selecting(tmp_path / "both", selection_options=more, **held_out, **options)
    selection = trainer._get_selection(None)
    kept = CLUESSelector(**more["clues"], seed=5).select(Trace.load(stage(trainer) / "1-clues" / "trace"))
    values = Valuation.load(stage(trainer) / "2-shed" / "valuation")
    assert same(selection, SHEDSelector(budget=6, seed=5).select(values, within=kept))
    assert len(selection.candidate_ids) < 24


def test_going_on_from_the_warm_up(tmp_path: Path) -> None:
    options = {"selection_continue": True, "selection_budget": None}
    both = selecting(tmp_path / "both", selection_method="ifd:18,s2l:6", **options)
    one = selecting(tmp_path / "one", selection_method="s2l:6", **options)
    for trainer in (both, one):
        trainer._get_selection(None)
    assert torch.equal(weights(both), weights(one))
    assert not torch.equal(weights(both), weights(selecting(tmp_path / "new")))


def test_killed_at_every_point_it_leaves_the_bytes_of_a_run_that_was_not(tmp_path: Path) -> None:
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-W", "ignore", kill_a_chain.__file__, str(tmp_path), "chain"]
    ended = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300, check=False)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert ended.stdout.count("killed: killed") == len(kill_a_chain.KILLS)
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    for name in ("selection", "_selection_stage"):
        assert files(killed / name) == files(whole / name), name
    model = "final/model.safetensors"
    assert (killed / model).read_bytes() == (whole / model).read_bytes()
    made = {path.name for path in (killed / "_selection_stage").iterdir()}
    assert made == {"1-ifd", "2-s2l", "stage.json", "warm_up.safetensors"}
    assert not list(killed.rglob("proxy"))
    assert [step["num_kept"] for step in Selection.load(killed / "selection").provenance] == [18, 12]


def test_what_was_made_by_other_links_is_not_taken(tmp_path: Path) -> None:
    options = {"proxy": tiny_model(seed=3), "selection_budget": 6}
    selecting(tmp_path, selection_method="random:12,s2l", **options)._get_selection(None)
    for method, named in (("random:13,s2l", "other chain"), ("s2l", "other selector")):
        with pytest.raises(ValueError, match=f"{named}.*choose another output_dir"):
            selecting(tmp_path, selection_method=method, **options)._get_selection(None)
    again = selecting(tmp_path, selection_method="random:12,s2l", **options)._get_selection(None)
    assert [step["selector"] for step in again.provenance] == ["random", "s2l"]


def test_yaml_and_fields_reach_every_link_that_has_them(tmp_path: Path) -> None:
    text = {
        "output_dir": str(tmp_path), "use_cpu": True, "bf16": False, "selection_seed": 3, "selection_num_clusters": 7,
        "selection_method": "clues:0.5,s2l", "selection_budget": 0.1, "selection_score": "cosine",
        "selection_options": {"clues": {"weighting": "uniform"}, "s2l": {"num_iterations": 5}},
    }  # fmt: skip
    (tmp_path / "train.yaml").write_text(yaml.safe_dump(text))
    (by_file,) = TrlParser([SelectingSFTConfig]).parse_args_and_config(["--config", str(tmp_path / "train.yaml")])
    expected = (
        CLUESSelector(budget=0.5, seed=3, score="cosine", weighting="uniform"),
        S2LSelector(budget=0.1, seed=3, num_clusters=7, num_iterations=5),
    )
    in_json = {**text, "selection_options": json.dumps(text["selection_options"])}
    for args in (by_file, SelectingSFTConfig(**in_json)):
        assert make_selectors(args) == expected
        assert make_selector(args) == expected[-1]
        assert make_selector(args, budget=4).budget == 4
    defaults = {"selection_budget": None, "selection_method": "clues,s2l"}
    first, last = make_selectors(config(tmp_path, **defaults))
    assert (first.budget, first.threshold, last.budget) == (None, None, 0.11)
    first, last = make_selectors(config(tmp_path, selection_method="s2l:0.5,perplexity", selection_threshold="2",
                                        selection_budget=None))  # fmt: skip
    assert (first.budget, last.budget, last.threshold) == (0.5, None, 2.0)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"selection_method": "random:0.5,magic"}, "selection_method='magic' is not known"),
        ({"selection_method": "random,s2l"}, "'random' goes before another method.*write random:0.5"),
        ({"selection_method": "perplexity,s2l"}, "'perplexity' goes before another method"),
        ({"selection_method": "random:0.5,s2l:0.2"}, "and selection_budget both say how much 's2l' keeps"),
        ({"selection_options": {"num_iterations": 5}}, "'num_iterations' with 5 is for no link of the chain"),
        ({"selection_options": {"s2l": {"num_cluster": 5}}}, "num_cluster is no hyperparameter of S2LSelector"),
        ({"selection_options": {"random": {"budget": 5}}}, "both give a budget of 'random'"),
        ({"selection_options": "plenty"}, "plenty.* is for no link"),
        ({"selection_every": 1}, "'random:0.5,s2l' is a chain: select once, or name one method"),
        ({"validation_dataset": validation_rows()}, "does not read validation_dataset"),
        ({"selection_method": "clues:0.5,s2l"}, "'clues' holds gradients.*pass validation_dataset="),
        ({"selection_method": "clues,s2l", "validation_dataset": validation_rows()}, "CLUES.*anchor_dataset="),
        ({"selection_method": "oracle:0.5,s2l"}, "'oracle' reads Trace of 'clean', which no training records"),
        ({"selection_method": "random:0.5,full", "selection_continue": True, "selection_budget": None},
         "'random:0.5,full' does not need"),
        ({"selection_method": "random:0.5,full", "selection_strata_column": "source", "selection_budget": None},
         "'full' keeps everything"),
    ],
    ids=str,
)  # fmt: skip
def test_chains_that_are_refused_before_anything_is_loaded(
    tmp_path: Path, options: dict[str, Any], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        selecting(tmp_path, **{"selection_method": "random:0.5,s2l", **options})


def test_more_rows_than_the_link_before_keeps_are_refused_before_training(tmp_path: Path) -> None:
    trainer = selecting(tmp_path, proxy=tiny_model(seed=3), selection_method="random:0.25,s2l")
    with pytest.raises(ValueError, match=r"\('s2l'\) asks for 12 of 24 rows, but link 1 of 2 \('random'\) keeps 6"):
        trainer.train()
    assert not stage(trainer).exists()
    stream = make_dataset().to_iterable_dataset()
    with pytest.raises(ValueError, match="selection_method='random' needs rows that can be picked by number"):
        selecting(tmp_path, stream, selection_method="random:0.5,s2l", max_steps=3)
