"""Elements of SVG and HTML as text, for pages that need no script; all names from users are escaped."""

from __future__ import annotations

import html
import unicodedata
from collections.abc import Sequence

from cnnrecipes._support.console import printable
from cnnrecipes.figures.number_axis import NumberAxis, Tick

LETTER = 7.2  # width of a letter of 12 px on average, in a wide font
_BOLD = 0.88  # of the letters in as much room


def escaped(text: object) -> str:
    """Return text for HTML and SVG, in an element or in an attribute with either quotes; all on one line."""
    return html.escape(printable(text))


def block(text: str) -> str:
    """Return text of several lines for HTML, with other unprintable characters escaped."""
    return "\n".join(escaped(line) for line in text.replace("\t", "    ").splitlines())


def cut(text: str, width: float) -> str:
    """Return text that fits into so many pixels at 12 px, with an ellipsis; East Asian letters count twice."""
    room, cells = max(int(width / LETTER), 2), 0
    for number, letter in enumerate(text):
        cells += 2 if unicodedata.east_asian_width(letter) in "WF" else 1
        if cells > room:
            return text[: max(number - 1, 1)] + "…"
    return text


def label(x: float, y: float, text: str, *, anchor: str = "start", kind: str = "", width: float = 1e9) -> str:
    """Return a text element, cut to a width; a cut one has the whole text as its title."""
    short = cut(text, width * _BOLD if kind == "b" else width)
    title = f"<title>{escaped(text)}</title>" if short != text else ""
    names = f" class='{kind}'" if kind else ""
    anchored = f" text-anchor='{anchor}'" if anchor != "start" else ""
    return f"<text x='{x:.4g}' y='{y:.4g}'{anchored}{names}>{escaped(short)}{title}</text>"


def line(x1: float, y1: float, x2: float, y2: float, kind: str) -> str:
    """Return a straight line."""
    return f"<path class='{kind}' d='M{x1:.4g} {y1:.4g}L{x2:.4g} {y2:.4g}'/>"


def chart(width: float, height: float, title: str, description: str, parts: Sequence[str], *, name: str) -> str:
    """Return an SVG element with a title and a description for screen readers.

    Args:
        width, height: of its coordinates; it is scaled to the width of the page.
        title, description: what it shows.
        parts: the elements.
        name: unique in the document.
    """
    return (
        f"<svg viewBox='0 0 {width:.4g} {height:.4g}' width='{width:.4g}' height='{height:.4g}' role='img' "
        f"aria-labelledby='{name}-t {name}-d'><title id='{name}-t'>{escaped(title)}</title>"
        f"<desc id='{name}-d'>{escaped(description)}</desc>{''.join(parts)}</svg>"
    )


def apart(ticks: Sequence[Tick], length: float, room: float) -> list[Tick]:
    """Return the ticks that do not come nearer to each other than `room` pixels on an axis of this length."""
    kept: list[Tick] = []
    for tick in ticks:
        if not kept or abs(tick.place - kept[-1].place) * length >= room:
            kept.append(tick)
    return kept


def score_grid(axis: NumberAxis, left: float, right: float, top: float, bottom: float) -> list[str]:
    """Return lines across a chart at round scores, with their labels on the left."""
    parts = []
    for tick in apart(axis.ticks(5), bottom - top, 14):
        y = bottom - tick.place * (bottom - top)
        parts += [line(left, y, right, y, "grid"), label(left - 6, y + 4, tick.text, anchor="end")]
    return parts
