"""The card of a curated dataset: what it says, what the Hub reads in it, and what a second push keeps."""

from __future__ import annotations

import ast
from typing import Any

import pytest
from huggingface_hub import DatasetCard
from huggingface_hub.errors import HFValidationError
from hypothesis import given, settings
from hypothesis import strategies as st

from hf_datasel.cards import PAPERS, dataset_card
from hf_datasel.cards.dataset_card import NOTES_END, NOTES_START
from hf_datasel.cards.methods import METHODS
from hf_datasel.cards.text import visible
from hf_datasel.cli.verify import make_parser
from hf_datasel.selectors import SELECTORS
from tests.cards.manifests import COMMIT, EVIL, manifest, picture, step
from tests.cards.rendered import TAGS, Page, read

REPO = "me/math-s2l"


def card(about: dict[str, Any] | None = None, **options: Any) -> DatasetCard:
    defaults: dict[str, Any] = {"repo_id": REPO, "groups": {}, "pictures": ()}
    return dataset_card(manifest() if about is None else about, **{**defaults, **options})


def page(about: dict[str, Any] | None = None, **options: Any) -> Page:
    return read(card(about, **options).text)


def test_it_says_what_from_what_and_how_many() -> None:
    seen = page()
    assert seen.text.startswith(
        f"math-s2l 11 of 100 rows (11.0%) of lab/math (config main, split train) at revision {COMMIT}, chosen by S2L "
    )
    assert f"https://huggingface.co/datasets/lab/math/tree/{COMMIT}" in seen.links
    assert PAPERS["s2l"]["url"] in seen.links
    assert seen.headings == [
        "math-s2l",
        *("How the rows were chosen", "How to load it", "How to use the selection on the source", "How to check it"),
        *("What it does not promise", "Citation"),
    ]
    assert ["num_clusters", "100"] in seen.tables[0]
    assert "diversifies and does not clean" in seen.text


def test_the_hub_reads_configs_and_source() -> None:
    data = DatasetCard(str(card(license="mit"))).data.to_dict()
    by_name = {entry["config_name"]: entry for entry in data["configs"]}
    assert by_name["selected"] == {
        "config_name": "selected",
        "default": True,
        "data_files": [{"split": "train", "path": "data/selected-*.parquet"}],
    }
    assert by_name["scores"]["data_files"][0]["path"] == "scores/scores-*.parquet"
    assert "default" not in by_name["scores"]
    assert data["source_datasets"] == ["lab/math"]
    assert data["size_categories"] == ["n<1K"]
    assert data["task_categories"] == ["text-generation"]
    assert data["license"] == "mit"
    assert data["tags"] == ["hf-datasel", "data-selection", "s2l"]
    assert data["hf_datasel"]["counts"] == {"source": 100, "candidates": 100, "kept": 11}
    assert data["hf_datasel"]["source"]["revision"] == COMMIT


def test_what_is_not_known_is_not_claimed() -> None:
    nowhere = dict.fromkeys(("id", "revision", "config", "split", "fingerprint"))
    made = card(manifest(source=nowhere, columns=["label", "text"], models=[]))
    data = made.data.to_dict()
    assert not {"source_datasets", "task_categories", "license"} & data.keys()
    seen = read(made.text)
    assert "a dataset whose place is not recorded" in seen.text
    assert not any("datasets/" in link for link in seen.links)
    local = page(manifest(source={**nowhere, "id": "/home/ann/private/rows.jsonl"}))
    assert "rows.jsonl" in local.text
    assert "ann" not in local.text
    assert "so that it may have changed since" in local.text


def test_every_step_of_a_chain_is_told() -> None:
    chain = [step("clues", {"score": "dot"}, kept=50), step("s2l", {"num_clusters": 7}, candidates=50)]
    seen = page(manifest(*chain, counts={"source": 120, "candidates": 50, "kept": 11}))
    assert [text for text in seen.headings if text.startswith("Step")] == ["Step 1: CLUES", "Step 2: S2L"]
    assert "It kept 50 of 100 candidates" in seen.text
    assert "It kept 11 of 50 candidates" in seen.text
    assert "50 rows could be chosen from" in seen.text
    assert ["score", "dot"] in seen.tables[0]
    assert ["num_clusters", "7"] in seen.tables[1]
    assert len(seen.code["bibtex"]) == 2


def test_in_run_values_are_cited_beside_shed() -> None:
    by_games, in_run = step("shed"), step("shed")
    by_games["evidence"] = {"estimator": "regression"}
    in_run["evidence"] = {"estimator": "in_run"}
    assert len(page(manifest(by_games)).code["bibtex"]) == 1
    assert PAPERS["in_run_shapley"]["citation"] in page(manifest(in_run)).code["bibtex"][1]


def test_counts_of_groups_before_and_after() -> None:
    (cells,) = [
        table
        for table in page(groups={"source": [("rare", 10, 6), ("common", 90, 5), ("", 0, 0)]}).tables
        if table[0][0] == "source"
    ]
    assert cells[0] == ["source", "rows before", "share before", "rows after", "share after", "kept of them"]
    assert cells[1:] == [
        ["common", "90", "90.0%", "5", "45.5%", "5.6%"],
        ["rare", "10", "10.0%", "6", "54.5%", "60.0%"],
        ["empty", "0", "0.0%", "0", "0.0%", "–"],
        ["all", "100", "100.0%", "11", "100.0%", "11.0%"],
    ]


def test_many_groups_are_added_up() -> None:
    groups = {"topic": [(f"t{number}", 1000 - number, number) for number in range(60)]}
    cells = page(groups=groups).tables[-1]
    assert len(cells) == 1 + 50 + 1 + 1
    assert cells[51][0] == "10 more"
    assert cells[51][1] == f"{sum(1000 - number for number in range(50, 60)):,}"
    assert cells[52][1] == f"{sum(1000 - number for number in range(60)):,}"


def test_pictures_are_linked_relatively_and_described() -> None:
    seen = page(pictures=[picture(), picture("a b", "Title", "Bars [of] x.")])
    assert seen.images == {"assets/scores.png": "A histogram.", "assets/a%20b.png": "Bars [of] x."}
    assert [link for link in seen.links if link.startswith("assets/")] == ["assets/scores.csv", "assets/a%20b.csv"]


def test_examples_are_shown_whole_or_cut() -> None:
    rows = [{"prompt": "x" * 400, "image": object(), "turns": [{"role": "user", "content": EVIL}]}] * 5
    (block,) = page(examples=rows).code["json"]
    assert block.count('"image": "<object>"') == 3
    assert "x" * 300 + "… (400 characters)" in block
    assert "<script>" in block  # in a block of code, where it is text


def test_snippets_are_python_that_names_the_repo(monkeypatch: pytest.MonkeyPatch) -> None:
    snippets = page().code["python"]
    calls: list[tuple[Any, ...]] = []
    import datasets

    monkeypatch.setattr(datasets, "load_dataset", lambda *args, **options: calls.append((*args, options)))
    exec(compile(snippets[0], "card", "exec"), {})
    assert calls == [(REPO, {"split": "train"}), (REPO, "scores", {"split": "train"})]
    (source, *_) = [node for node in ast.walk(ast.parse(snippets[1])) if isinstance(node, ast.Assign)]
    assert ast.unparse(source) == f"source = load_dataset('lab/math', 'main', split='train', revision='{COMMIT}')"


def test_the_snippet_for_the_source_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    import datasets

    rows = datasets.Dataset.from_dict({"prompt": list("abcdef")})
    scores = datasets.Dataset.from_dict(
        {"example_id": list(range(6)), "kept": [False, True, False, True, True, False]}
    )
    monkeypatch.setattr(datasets, "load_dataset", lambda repo, *args, **options: scores if repo == REPO else rows)
    names: dict[str, Any] = {}
    exec(compile(page().code["python"][1], "card", "exec"), names)
    assert names["curated"]["prompt"][:] == ["b", "d", "e"]


def test_the_command_parses() -> None:
    (command,) = page().code["sh"]
    words = command.split()
    assert words[:2] == ["hf-datasel", "verify"]
    assert make_parser().parse(words[2:]) is not None
    assert make_parser().parse([*words[2:], "--check_source"]) is not None


def test_evil_values_stay_text_everywhere() -> None:
    evil = step(EVIL, {EVIL: EVIL, "list": [EVIL]})
    evil |= {"evidence": {EVIL: {EVIL: EVIL}}, "details": {"x": EVIL}, "warnings": [EVIL], "versions": {EVIL: EVIL}}
    about = manifest(
        evil,
        source={"id": EVIL, "revision": EVIL, "config": EVIL, "split": EVIL},
        models=[{"model": EVIL, EVIL: EVIL}, EVIL],
        embedder={"name": EVIL},
        columns=[EVIL],
    )
    made = card(
        about,
        groups={EVIL: [(EVIL, 3, 2)]},
        pictures=[picture("p", EVIL, EVIL)],
        examples=[{EVIL: EVIL}],
        license=EVIL,
    )
    seen = read(made.text)
    assert seen.tags <= TAGS
    assert all(link.startswith(("https://arxiv.org/", "https://huggingface.co/", "assets/")) for link in seen.links)
    assert set(seen.images) == {"assets/p.png"}
    assert "owned" not in seen.headings
    assert visible(EVIL) in seen.text
    assert DatasetCard(str(made)).data.to_dict()["license"] == EVIL


@settings(max_examples=30)
@given(st.text(max_size=20), st.text(max_size=20))
def test_group_names_stay_text(column: str, name: str) -> None:
    seen = page(groups={column: [(name, 2, 1)]})
    assert seen.tags <= TAGS
    assert seen.tables[-1][0][0] == visible(column)
    assert seen.tables[-1][1][0] == (visible(name) or "empty")


def test_the_same_card_again_is_the_same() -> None:
    options = {"groups": {"source": [("a", 3, 2)]}, "pictures": [picture()], "license": "mit"}
    first = card(**options)
    again = card(**options, previous=DatasetCard(str(first)))
    assert str(again) == str(first)


def test_a_second_push_keeps_what_is_yours() -> None:
    edited = DatasetCard(str(card(license="mit")))
    edited.data["language"] = ["en"]
    edited.data["pretty_name"] = "Mine"
    edited.data["tags"] = [*edited.data["tags"], "maths"]
    edited.data["license"] = "cc-by-4.0"
    edited.data["configs"] += [{"config_name": "extra", "default": True, "data_files": "extra/*.parquet"}]
    edited.data["dataset_info"] = [
        {"config_name": "selected", "features": []},
        {"config_name": "extra", "features": []},
    ]
    edited.text = edited.text.replace(NOTES_START, f"{NOTES_START}\nRead <b>this</b> first.\n", 1)
    edited.text += "\nA line that is outside of the notes.\n"
    longer = manifest(counts={"source": 5000, "candidates": 5000, "kept": 2000})
    made = card(longer, previous=DatasetCard(str(edited)))
    data = made.data.to_dict()
    assert (data["language"], data["pretty_name"], data["license"]) == (["en"], "Mine", "cc-by-4.0")
    assert data["tags"][-1] == "maths"
    assert data["size_categories"] == ["1K<n<10K"]
    assert [entry["config_name"] for entry in data["configs"]] == ["selected", "scores", "extra"]
    assert [entry["config_name"] for entry in data["configs"] if entry.get("default")] == ["selected"]
    assert data["dataset_info"] == [{"config_name": "extra", "features": []}]
    assert "Read <b>this</b> first." in made.text
    assert made.text.count(NOTES_START) == made.text.count(NOTES_END) == 1
    assert "outside of the notes" not in made.text
    assert str(card(longer, previous=DatasetCard(str(made)))) == str(made)


def test_a_card_of_somebody_else_gets_notes_of_its_own() -> None:
    made = card(previous=DatasetCard("---\nlanguage: fr\ndataset_info:\n  features: []\n---\n# Other\n"))
    data = made.data.to_dict()
    assert data["language"] == "fr"
    assert data["dataset_info"] == [{"config_name": "other", "features": []}]
    assert "What stands here is yours" in made.text


def test_the_method_before_is_no_tag_of_yours() -> None:
    before = card(manifest(step("clues"), step("s2l")))
    assert card(manifest(step("random")), previous=before).data.tags == ["hf-datasel", "data-selection", "random"]


def test_a_name_that_is_none_is_refused() -> None:
    with pytest.raises(HFValidationError):
        card(repo_id="me/x y`")


def test_every_selector_is_explained() -> None:
    assert set(SELECTORS) <= set(METHODS)
    assert set(PAPERS) <= set(METHODS)
    assert all(method.limits for name, method in METHODS.items() if name != "in_run_shapley")


def test_a_method_from_elsewhere_is_named() -> None:
    seen = page(manifest(step("their_method") | {"package": {"name": "theirs", "version": "1.2"}}))
    assert "chosen by their_method with" in seen.text
    assert "From the package: name theirs, version 1.2." in seen.text
    assert "bibtex" not in seen.code


@pytest.mark.parametrize("name", sorted(PAPERS))
def test_bibtex_is_well_formed(name: str) -> None:
    paper = PAPERS[name]
    entry = paper["citation"]
    assert entry.startswith(("@inproceedings{", "@article{"))
    assert ("journal" in entry) == entry.startswith("@article{")
    assert entry.count("{") == entry.count("}")
    assert f"= {{{{{paper['title']}}}}}," in entry
    authors = entry.split("author    = {")[1].split("},")[0].split(" and ")
    assert len(authors) >= 2
    assert all(author.count(",") == 1 for author in authors)
    assert paper["url"].startswith(("https://arxiv.org/abs/", "https://doi.org/10."))
    assert paper["url"].endswith(paper.get("id", paper["url"][-5:]))
