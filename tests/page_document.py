"""Helper: a page of the package as elements and text, and the report of a run."""

from __future__ import annotations

import re
from html.parser import HTMLParser

import cnnrecipes as cr
from cnnrecipes.report.page import FAILED

_VOID = {"meta", "br", "link", "img", "input", "hr"}


class Document(HTMLParser):
    """The elements, the text and the sections of a page; every element is closed, and every id is unique."""

    def __init__(self, text: str):
        super().__init__()
        self.open: list[str] = []
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(text)
        self.close()
        assert self.open == []
        ids = [attributes["id"] for _, attributes in self.elements if "id" in attributes]
        assert len(ids) == len(set(ids))
        self.sections = [
            attributes["id"] for tag, attributes in self.elements if tag == "section" and "id" in attributes
        ]

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))
        if tag not in _VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if not {"script", "style"} & set(self.open):
            self.text += data

    def count(self, tag: str, kind: str = "") -> int:
        """The number of elements, of those with a class if one is given."""
        return len(self.found(tag, kind))

    def found(self, tag: str, kind: str = "") -> list[dict[str, str | None]]:
        """The attributes of elements, of those with a class if one is given."""
        return [
            attributes
            for name, attributes in self.elements
            if name == tag and (not kind or kind in (attributes.get("class") or "").split())
        ]


def document(run, **options) -> Document:
    """The report of a run: it is small, loads nothing, and no section ended with an error."""
    text = cr.write_report(run, **options).read_text(encoding="utf-8")
    assert len(text.encode()) < 5_000_000
    found = Document(text)
    assert FAILED not in found.text, re.findall(rf"{FAILED}.*", found.text)
    assert "Content-Security-Policy" in text
    assert not re.search(r"src=[\"'](?!data:)|@import|url\(|<link", text)
    return found


def squeezed(text: str) -> str:
    """Text with single spaces."""
    return " ".join(text.split())
