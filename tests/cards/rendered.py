"""A card as a reader's browser has it: CommonMark with tables and HTML, rendered and taken apart again."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from typing import NamedTuple

from markdown_it import MarkdownIt

RENDER = MarkdownIt("commonmark", {"html": True}).enable(["table", "strikethrough"])
# What our own cards are made of; `code` also stands in them as HTML.
TAGS = {
    *("h1", "h2", "h3", "p", "ul", "li", "pre", "code", "em", "strong", "a", "img"),
    *("table", "thead", "tbody", "tr", "th", "td"),
}


class Page(NamedTuple):
    """What is in a rendered text."""

    tags: set[str]
    headings: list[str]
    links: list[str]
    images: dict[str, str]  # source: alternative text
    tables: list[list[list[str]]]  # of cells, as text
    code: dict[str, list[str]]  # fenced blocks by language
    text: str  # all of it
    comments: list[str]


class _Reader(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.page = Page(set(), [], [], {}, [], {}, "", [])
        self.texts: list[str] = []
        self._start = 0
        self._language = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        self.page.tags.add(tag)
        if tag == "a":
            self.page.links.append(given["href"] or "")
        elif tag == "img":
            self.page.images[given["src"] or ""] = given["alt"] or ""
        elif tag == "table":
            self.page.tables.append([])
        elif tag == "tr":
            self.page.tables[-1].append([])
        elif tag == "code":
            self._language = (given.get("class") or "").removeprefix("language-")
        if tag in ("h1", "h2", "h3", "td", "th", "pre"):
            self._start = len(self.texts)

    def handle_endtag(self, tag: str) -> None:
        text = "".join(self.texts[self._start :])
        if tag in ("h1", "h2", "h3"):
            self.page.headings.append(text)
        elif tag in ("td", "th"):
            self.page.tables[-1][-1].append(text)
        elif tag == "pre":
            self.page.code.setdefault(self._language, []).append(text)

    def handle_data(self, data: str) -> None:
        self.texts.append(data)

    def handle_comment(self, data: str) -> None:
        self.page.comments.append(data.strip())


def read(markdown: str) -> Page:
    """What a reader of this Markdown sees."""
    reader = _Reader()
    reader.feed(RENDER.render(markdown))
    reader.close()
    return reader.page._replace(text=re.sub(r"\s+", " ", "".join(reader.texts)))
