"""Markdown of text from data: names are escaped, so that none of them becomes markup, a link or a table column."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from cnnrecipes._support.console import printable

_MARKUP = re.compile(r"([\\`*_\[\]|~$])")
_HTML = {"&": "&amp;", "<": "&lt;", ">": "&gt;"}
_LINKS = (("://", "&#58;//"), ("www.", "www&#46;"), ("@", "&#64;"))  # which GitHub and Hugging Face link unasked


def escaped(text: object) -> str:
    """Return text for Markdown on one line: markup, HTML and links are text, control characters are visible."""
    shown = "".join(_HTML.get(character, character) for character in printable(text))
    shown = _MARKUP.sub(r"\\\1", shown)
    for plain, reference in _LINKS:
        shown = re.sub(re.escape(plain), reference, shown, flags=re.IGNORECASE)
    return shown


def table(header: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """Return a Markdown table; the first column is aligned to the left, the others to the right. Cells are escaped."""
    lines = [header, ["---", *(["---:"] * (len(header) - 1))]]
    lines += [[escaped(cell) for cell in row] for row in rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
