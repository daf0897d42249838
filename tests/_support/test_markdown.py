"""Markdown from text of data."""

from __future__ import annotations

import pytest
from markdown_it import MarkdownIt

from cnnrecipes._support.markdown import escaped, table


@pytest.mark.parametrize(
    "text", ["plain", "a|b", "<b>", "&lt;", "*a*", "_a_", "`a`", "[a](b)", "~~a~~", "\\", "a\\|b", "$x$", "#1", "&amp;"]
)
def test_escaped_text_is_rendered_as_itself(text):
    rendered = (
        MarkdownIt("commonmark", {"html": True}).enable(["table", "strikethrough"]).render(f"x {escaped(text)} x")
    )
    shown = rendered.removeprefix("<p>").removesuffix("</p>\n")
    assert "<" not in shown
    assert shown.replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&") == f"x {text} x"


def test_links_and_control_characters_are_broken():
    assert escaped("http://x.com") == "http&#58;//x.com"
    assert escaped("WWW.x.com") == "www&#46;x.com"
    assert escaped("a\n\x1b[2J") == r"a\\n\\x1b\[2J"


def test_table():
    found = table(("class", "n"), [("a|b", 3)])
    assert found.splitlines() == ["| class | n |", "| --- | ---: |", r"| a\|b | 3 |"]
