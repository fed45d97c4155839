"""No text from the data becomes markup, hides or turns what stands beside it, or is lost."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hf_datasel.report.example_cards import example_card
from hf_datasel.report.examples import Example
from hf_datasel.report.markup import MOST_CHARACTERS, attribute, escape, text_block, value_text
from hf_datasel.report.rows import Rows
from tests.report.html_tree import Page

ODDEST = ["<script>alert(1)</script>", "</style></title>", "\"' onerror=x", "a\u202eb\u2066c", "&amp;&lt;", "]]>"]
ODDEST += ["\x00\x1b[31m", "\ud800", "\ufeff\u200b", "<!--", "-->", "one\r\ntwo\rthree", "\U000e0041", "{0} \\g<0>"]
TEXTS = st.one_of(st.text(), st.sampled_from(ODDEST), st.text(alphabet="<>&\"'\u202e\x00\ud800 ab\n\r"))
# What may not stand in the page as it is: controls, directions, and what is invisible or impossible.
FORBIDDEN = [(0x00, 0x08), (0x0B, 0x1F), (0x7F, 0x9F), (0xAD, 0xAD), (0x61C, 0x61C), (0x200B, 0x200B)]
FORBIDDEN += [(0x200E, 0x200F), (0x2028, 0x202E), (0x2060, 0x2069), (0xD800, 0xDFFF), (0xFDD0, 0xFDEF)]
FORBIDDEN += [(0xFEFF, 0xFEFF), (0xFFF9, 0xFFFB), (0xFFFE, 0xFFFF), (0xE0000, 0xE007F)]


def is_forbidden(one: str) -> bool:
    return any(low <= ord(one) <= high for low, high in FORBIDDEN)


def shown(text: str) -> str:
    """What a reader is to see, character by character."""
    one_ending = text.replace("\r\n", "\n").replace("\r", "\n")
    return "".join(f"U+{ord(one):04X}" if is_forbidden(one) else one for one in one_ending)


@given(text=TEXTS)
def test_text_reads_back_as_it_was(text: str) -> None:
    html = escape(text)
    page = Page(f"<p>{html}</p>")
    assert page.all_text == shown(text)
    assert {tag for tag, _ in page.tags} <= {"p", "span"}
    assert not any(map(is_forbidden, html))
    html.encode()


@given(text=TEXTS)
def test_attributes_read_back_as_they_were(text: str) -> None:
    [(tag, attributes)] = Page(f'<i title="{attribute(text)}"></i>').tags
    assert (tag, attributes) == ("i", {"title": shown(text)})


@given(text=st.one_of(TEXTS, TEXTS.map(lambda text: text * 300), st.integers(0, 30).map(lambda n: "a\n" * n)))
def test_a_folded_text_is_whole(text: str) -> None:
    page = Page(text_block(text))
    long = len(text) > 600 or text.count("\n") > 12
    assert page.open == []
    assert len(page.of("details")) == int(long)
    assert shown(text[:MOST_CHARACTERS]) in page.all_text
    if len(text) > MOST_CHARACTERS:
        assert f"and {len(text) - MOST_CHARACTERS:,} more characters" in page.all_text


MESSAGES = st.lists(
    st.fixed_dictionaries(
        {"role": st.one_of(TEXTS, st.none()), "content": st.one_of(TEXTS, st.none(), st.integers())},
        optional={"tool_calls": st.lists(st.dictionaries(TEXTS, TEXTS, max_size=2), max_size=2)},
    ),
    max_size=3,
)
VALUES = st.one_of(TEXTS, MESSAGES, st.none(), st.booleans(), st.floats(), st.binary(), st.lists(st.integers()))


@given(prompt=VALUES, other=VALUES, name=TEXTS)
def test_any_row_is_a_well_formed_card(prompt: object, other: object, name: str) -> None:
    rows = Rows(None, ("prompt",), (name,), {"photo": "image"})
    card = example_card(Example(3, True, 0.5, 2, "best score"), {"prompt": prompt, name: other}, rows)
    page = Page(card)
    assert page.open == []
    allowed = {"article", "h3", "ul", "li", "div", "p", "ol", "dl", "dt", "dd", "span", "details", "summary"}
    assert {tag for tag, _ in page.tags} <= allowed
    assert all(set(attributes) <= {"class", "dir"} for _, attributes in page.tags)
    assert "[image, not shown]" in page.all_text


def test_messages_are_told_apart_and_pictures_in_them_named() -> None:
    messages = [
        {"role": "user", "content": [{"type": "image"}, {"type": "text", "text": "what is <this>?"}]},
        {"from": "gpt", "value": "a cat"},
        {"role": "assistant", "content": None, "tool_calls": [{"name": "look"}]},
    ]
    rows = Rows(None, ("messages",), (), {})
    text = Page(example_card(Example(0, False, None, -1, "drawn by chance"), {"messages": messages}, rows)).all_text
    for part in ("user", "[image, not shown]", "what is <this>?", "gpt", "a cat", "assistant", '[{"name": "look"}]'):
        assert part in text
    assert "score" not in text
    assert "cluster" not in text


@pytest.mark.parametrize(
    ("value", "text"), [(b"123", '"[3 bytes]"'), ({"a": None}, '{"a": null}'), ("é", "é"), (["é"], '["é"]')]
)
def test_values_read_as_json(value: object, text: str) -> None:
    assert value_text(value) == text
