"""The report's page: complete in itself, accessible, and saying what the data say."""

import base64
import itertools
import re
from pathlib import Path

import numpy as np
import pytest
from datasets import Dataset

from hf_datasel import S2LSelector, Selection, add_example_ids, write_report
from hf_datasel.report import Report, load_pictures
from tests.report.conftest import RESULTS, World
from tests.report.html_tree import Page

EVIL = '<script>alert("1")</script></style><img src=x onerror=y>\u202e&'


@pytest.fixture(scope="module")
def written(world: World, tmp_path_factory: pytest.TempPathFactory) -> tuple[Report, Page]:
    report = write_report(
        world.shed,
        tmp_path_factory.mktemp("out") / "report",
        dataset=world.dataset,
        evidence=world.valuation,
        embeddings=world.embeddings,
        results=RESULTS,
        group_columns=["skill", "source"],
        num_examples=4,
    )
    return report, Page(report.html.read_text(encoding="utf-8"))


def test_a_page_is_well_formed_and_fetches_nothing(written: tuple[Report, Page]) -> None:
    report, page = written
    assert page.open == []
    assert page.of("html") == [{"lang": "en"}]
    assert {"charset": "utf-8"} in page.of("meta")
    assert not {"script", "link", "iframe", "object", "embed", "base", "form"} & {tag for tag, _ in page.tags}
    for _, attributes in page.tags:
        assert not [name for name in attributes if name.startswith("on")]
        for name in ("src", "href"):
            assert re.match(r"data:(image/png|text/csv);base64,|#", attributes.get(name, "#"))
    html = report.html.read_text()
    assert "http" not in html.replace('http-equiv="Content-Security-Policy"', "")
    assert "@import" not in html
    assert "url(" not in html
    assert "prefers-color-scheme: dark" in html


def test_the_pictures_lie_inside_and_beside_it(written: tuple[Report, Page]) -> None:
    report, page = written
    names = ["scores", "values", "metric_by_budget", "map", "lengths", "groups_skill", "groups_source"]
    assert [picture.path.stem for picture in report.pictures] == names
    images = page.of("img")
    assert len(images) == len(names)
    for picture, image in zip(report.pictures, images, strict=True):
        assert image["alt"] == picture.title
        assert picture.alt in page.all_text
        assert base64.b64decode(image["src"].split(",")[1]) == picture.path.read_bytes()
    downloads = [link for link in page.of("a") if "download" in link]
    assert [link["download"] for link in downloads] == [f"{name}.csv" for name in names]
    for picture, link in zip(report.pictures, downloads, strict=True):
        assert base64.b64decode(link["href"].split(",")[1]) == picture.data.read_bytes()
    assert load_pictures(report.html.parent) == report.pictures
    folder = report.html.parent
    assert sorted(path.name for path in folder.iterdir()) == ["pictures", "report.html"]


def test_headings_and_tables_can_be_walked_through(written: tuple[Report, Page]) -> None:
    _, page = written
    levels = [int(tag[1]) for tag, _ in page.tags if re.fullmatch("h[1-6]", tag)]
    assert levels.count(1) == 1
    assert all(after - before <= 1 for before, after in itertools.pairwise(levels))
    assert all(header.get("scope") in ("col", "row") for header in page.of("th"))
    assert len(page.of("table")) == len(page.of("caption"))
    places = {attributes["id"] for _, attributes in page.tags if "id" in attributes}
    assert {link["href"][1:] for link in page.of("a") if link["href"].startswith("#")} <= places


def test_the_page_says_how_many_and_how(written: tuple[Report, Page], world: World) -> None:
    text = written[1].all_text
    assert "45 of 300 examples kept by SHED" in text
    for part in ("sampling", "qocs", "15.0%", "SHED: keep rows of the clusters", "By skill", "2 best score"):
        assert part in text
    best = int(world.valuation.values[world.valuation.clusters].argmax())
    top = world.valuation.clusters == world.valuation.clusters[best]
    shown = [int(match) for match in re.findall(r"Example (\d+)kept", text)]
    assert top[shown[0]]
    assert top[shown[1]]
    assert len(shown) == 4


def test_steps_are_told_in_their_order(world: World, tmp_path: Path) -> None:
    chained = S2LSelector(budget=9, num_clusters=2).select(world.losses, within=world.shed)
    report = write_report(chained, tmp_path / "report", dataset=world.dataset, evidence=world.losses)
    text = Page(report.html.read_text()).all_text
    assert text.index("Step 1: SHED") < text.index("Step 2: S2L") < text.index("9 drawn by chance")
    assert "9 of 45 examples kept by S2L" in text
    assert [picture.path.stem for picture in report.pictures] == ["trajectory_clusters", "map", "lengths"]


@pytest.mark.parametrize("kind", ["messages", "prompt_completion", "text", "other"])
def test_what_examples_hold_is_escaped(kind: str, tmp_path: Path) -> None:
    columns = {
        "messages": {"messages": [[{"role": EVIL, "content": EVIL}, {"role": "assistant", "content": "fine"}]] * 6},
        "prompt_completion": {"prompt": [EVIL] * 6, "completion": [EVIL * 40] * 6},
        "text": {"text": [EVIL] * 6, "meta": [{"a": EVIL}] * 6},
        "other": {"instruction": [EVIL] * 6, EVIL: [EVIL] * 6, "n": [1] * 6},
    }[kind]
    dataset = add_example_ids(Dataset.from_dict({**columns, "group": [EVIL, None, "b"] * 2}))
    warned = {"selector": EVIL, "config": {EVIL: EVIL}, "warnings": [EVIL], "details": {EVIL: [EVIL]}}
    selection = Selection(candidate_ids=np.arange(6), kept=np.arange(6) < 3, provenance=(warned,))
    report = write_report(selection, tmp_path / "report", dataset=dataset, group_columns=["group"])
    page = Page(report.html.read_text(encoding="utf-8"))
    assert page.open == []
    assert not page.of("script")
    assert len(page.of("img")) == len(report.pictures) == 2
    assert page.all_text.count(EVIL.replace("\u202e", "U+202E")) >= 12
    assert all(not [name for name in attributes if name.startswith("on")] for _, attributes in page.tags)


def test_columns_of_images_are_named_and_never_read(tmp_path: Path) -> None:
    from datasets import Features, Image, List, Value

    features = Features({"text": Value("string"), "photo": Image(), "more": List(Image())})
    broken = {"bytes": b"no picture", "path": None}
    dataset = Dataset.from_list([{"text": "a", "photo": broken, "more": [broken]}] * 4, features=features)
    selection = Selection(candidate_ids=np.arange(4), kept=np.arange(4) < 2)
    report = write_report(selection, tmp_path / "report", dataset=dataset)
    assert Page(report.html.read_text()).all_text.count("[image, not shown]") == 8


def test_without_the_dataset_examples_are_numbers(world: World, tmp_path: Path) -> None:
    text = Page(write_report(world.shed, tmp_path / "r", num_examples=3).html.read_text()).all_text
    assert "With the dataset this page shows what they say." in text
    assert len(re.findall(r"Example \d+", text)) == 6


def test_a_report_is_replaced_only_when_told_and_nothing_else_is(world: World, tmp_path: Path) -> None:
    place = tmp_path / "report"
    write_report(world.s2l, place)
    before = (place / "report.html").read_bytes()
    with pytest.raises(FileExistsError, match="already holds a report"):
        write_report(world.shed, place)
    assert (place / "report.html").read_bytes() == before
    write_report(world.shed, place, overwrite=True)
    assert b"kept by SHED" in (place / "report.html").read_bytes()
    assert write_report(world.shed, tmp_path / "again").html.read_bytes() == (place / "report.html").read_bytes()
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("x")
    with pytest.raises(FileExistsError, match="holds no report"):
        write_report(world.shed, tmp_path / "mine", overwrite=True)
    assert [path.name for path in (tmp_path / "mine").iterdir()] == ["thesis.txt"]


def test_what_fails_leaves_nothing_behind(world: World, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="no 'metric'"):
        write_report(world.shed, tmp_path / "report", results={})
    assert not list(tmp_path.iterdir())


def test_a_list_of_pictures_that_is_damaged_is_refused(world: World, tmp_path: Path) -> None:
    write_report(world.shed, tmp_path / "report")
    listed = tmp_path / "report" / "pictures" / "pictures.json"
    good = listed.read_text()
    listed.write_text(good.replace('"scores"', '"../../secret"'))
    with pytest.raises(ValueError, match=r"'\.\./\.\./secret' is no name of a picture"):
        load_pictures(tmp_path / "report")
    listed.write_text(good.replace('"title"', '"heading"'))
    with pytest.raises(ValueError, match=r"damaged.*Write the report again"):
        load_pictures(tmp_path / "report")
    listed.write_text(good)
    (tmp_path / "report" / "pictures" / "scores.csv").unlink()
    with pytest.raises(FileNotFoundError, match=r"scores\.csv is missing: write the report again"):
        load_pictures(tmp_path / "report")
    with pytest.raises(FileNotFoundError, match="No report's pictures"):
        load_pictures(tmp_path / "nowhere")
