"""What is to be read on a page, by eye or by a screen reader."""

from __future__ import annotations

from collections.abc import Collection
from html.parser import HTMLParser


class PageTexts(HTMLParser):
    """The texts of a page outside some elements, and the labels of all."""

    def __init__(self, page: str, outside: Collection[str] = ("script", "style")) -> None:
        super().__init__()
        self.outside = outside
        self.inside: list[str] = []
        self.texts: list[str] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag in self.outside:
            self.inside.append(tag)
        self.texts += [value for name, value in attrs if name == "aria-label" and value]

    def handle_endtag(self, tag: str) -> None:
        if self.inside and self.inside[-1] == tag:
            self.inside.pop()

    def handle_data(self, data: str) -> None:
        if not self.inside:
            self.texts.append(data)
