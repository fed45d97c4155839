"""What is escaped is seen as it is: checked by rendering it, in a line, in a table and as code."""

from __future__ import annotations

import json

import pytest
import yaml
from huggingface_hub import ModelCard
from hypothesis import example, given
from hypothesis import strategies as st

from hf_datasel.cards.render import assemble, plain
from hf_datasel.cards.text import between, code, escape, fence, settings, table, value, visible
from tests.cards.rendered import read

NASTY = "`*_[]()<>&|\\~#$!\"'\n\r\t-+=:@ab1 {}"
TEXTS = st.text(st.one_of(st.sampled_from(NASTY), st.characters(codec="utf-8")), max_size=40)
HTML = [
    "<script>alert(1)</script>",
    "a|b\n| --- |\n\n# no heading",
    "</td></tr></table><img src=x onerror=alert(1)>",
    "[link](javascript:alert(1)) ![p](q) *e* _e_ **s** ~~d~~ `c` $x$ &lt; <!-- c",
    "\\`x\\` \\\\| ``` \\",
    "-->",
]


@given(TEXTS)
@example(HTML[0]).via("HTML")
@example(HTML[1]).via("a table and a heading")
@example(HTML[2]).via("HTML that ends the table")
@example(HTML[3]).via("Markdown")
@example(HTML[4]).via("backslashes before what is escaped")
def test_what_is_escaped_is_seen_as_it_is(text: str) -> None:
    page = read(f"in {escape(text)} a line")
    assert page.tags == {"p"}
    assert page.text == f"in {visible(text)} a line ".replace("in  a", "in a")


@given(st.lists(st.tuples(TEXTS, TEXTS), min_size=1, max_size=4), st.sampled_from([escape, code]))
def test_a_table_has_the_cells_it_was_given(rows: list[tuple[str, str]], show: object) -> None:
    page = read(table(["first", "second"], [[show(cell) or "-" for cell in row] for row in rows], numbers=1))
    assert page.tags <= {"table", "thead", "tbody", "tr", "th", "td", "code"}
    (cells,) = page.tables
    assert cells[1:] == [[visible(cell) or ("-" if show is escape else "") for cell in row] for row in rows]


@given(TEXTS)
@example(HTML[4]).via("backticks")
def test_code_shows_what_it_was_given(text: str) -> None:
    page = read(f"in {code(text)} a line")
    assert page.tags == {"p", "code"}
    assert page.text == " ".join(f"in {visible(text)} a line".split()) + " "


@given(TEXTS)
@example("```\n~~~\n````").via("fences")
def test_a_fence_holds_what_it_was_given(text: str) -> None:
    page = read(fence(text, "json") + "\n\nafter")
    assert page.tags == {"pre", "code", "p"}
    shown = text.strip().replace("\r\n", "\n").replace("\r", "\n").replace("\x00", "\ufffd")
    assert page.code["json"] == [shown + "\n"]


def test_what_cannot_be_seen_is_replaced() -> None:
    assert visible("a\x00b\x1b[31m\u202ec\ud800") == "a\ufffdb\ufffd[31m\ufffdc\ufffd"
    assert visible("کتاب\u200cها 👩\u200d🚀") == "کتاب\u200cها 👩\u200d🚀"  # joiners are part of how these are written
    assert visible("word " * 5, limit=7) == "word w…"


def test_values_and_settings() -> None:
    page = read(settings({"budget": 0.11, "detectors": ["a|b", "<b>"], "off": False, "unset": None}))
    (cells,) = page.tables
    assert cells == [["setting", "value"], ["budget", "0.11"], ["detectors", '["a|b", "<b>"]'], ["off", "false"]]
    assert settings({"unset": None}) == settings({}) == ""
    assert value(float("nan")) == "`NaN`"


@pytest.mark.parametrize("row", [["one"], ["a|b", "c"], ["a\nb", "c"]])
def test_a_row_that_would_break_a_table_is_refused(row: list[str]) -> None:
    with pytest.raises(ValueError, match="no row of 2 cells"):
        table(["x", "y"], [row])


def test_between_marks() -> None:
    assert between("a <s> b <e> c <e>", "<s>", "<e>") == " b "
    assert between("a <s> b", "<s>", "<e>") is None
    assert between("b <e>", "<s>", "<e>") is None


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | TEXTS | st.just("\n---\n"),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3),
    max_leaves=8,
)


@given(st.dictionaries(st.text("abcdefgh", min_size=1), JSON.filter(lambda one: one is not None), max_size=4), TEXTS)
@example({"a": "\n---\n# b\n---\n"}, "x").via("the line that ends the metadata")
@example({"a": "\x85\u2028 \ufeff"}, "x").via("line ends of YAML")
def test_metadata_comes_back_from_the_card(data: dict[str, object], title: str) -> None:
    content = assemble(data, title, {"": ["hello"]})
    card = ModelCard(content)
    expected = plain(data)
    assert {key: card.data.to_dict().get(key) for key in data} == expected
    assert card.text.strip().endswith("hello")
    written = {key: value for key, value in expected.items() if value is not None}  # as huggingface_hub does
    assert yaml.safe_load(content.split("\n---\n")[0].removeprefix("---\n")) == written


def test_plain_is_what_json_holds() -> None:
    mixed = {1: {"x": (float("inf"), 2.5, object)}, "s": "\ud800", "n": None}
    assert json.loads(json.dumps(plain(mixed))) == {"1": {"x": [None, 2.5, "<class 'object'>"]}, "s": "?", "n": None}
