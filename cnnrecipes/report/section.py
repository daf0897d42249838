"""`Section`: a part of a report, rendered from a Jinja2 template in which every name is text."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cache
from typing import Any

import jinja2
from markupsafe import Markup, escape

from cnnrecipes._support.console import printable

MISSING = "\u2013"  # an en dash, in place of a missing number


@dataclass(frozen=True)
class Section:
    """A part of a report.

    Attributes:
        key: its id in the document.
        title: its heading.
        body: HTML; "" if its facts are missing.
        why: the reason for which they are missing, as the end of a sentence; "" if they are not.
    """

    key: str
    title: str
    body: Markup | str = ""
    why: str = ""


def render(template: str, **values: Any) -> Markup:
    """Return a template of `report/templates` filled with values.

    Strings are escaped, and their control and bidirectional characters shown as escapes; only `Markup` is inserted
    unchanged.
    """
    return Markup(_environment().get_template(template).render(**values))


def asset(name: str) -> Markup:
    """Return a file of `report/templates` unchanged: the style sheet or the script."""
    loader = _environment().loader
    assert loader is not None
    return Markup(loader.get_source(_environment(), name)[0])


@cache
def _environment() -> jinja2.Environment:
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("cnnrecipes.report"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=_printable,
    )
    environment.filters |= {
        "percent": percent,
        "number": number,
        "name": name,
        "duration": duration,
        "commands": commands,
    }
    return environment


def percent(value: float | None, digits: int = 1) -> str:
    """Return a share as text in percent; an en dash for a missing one."""
    return MISSING if value is None or value != value else f"{value:.{digits}%}"


def number(value: float | None, digits: int = 3) -> str:
    """Return a number as text: integers with thousands separators, others with some significant digits."""
    if value is None or value != value:
        return MISSING
    return f"{value:,}" if isinstance(value, int) else f"{value:.{digits}g}"


def name(text: object) -> Markup:
    """Return a name from data or a file as HTML; its direction of writing does not affect the text around it."""
    return Markup("<bdi>") + escape(printable(text)) + Markup("</bdi>")


def commands(text: str) -> Markup:
    """Return a sentence as HTML, in which `code` between grave accents is set as code."""
    parts = printable(text).split("`")
    if len(parts) % 2 == 0:
        return escape("`".join(parts))
    return Markup("").join(
        Markup("<code>{}</code>").format(part) if place % 2 else escape(part) for place, part in enumerate(parts)
    )


def in_script(found: Any) -> Markup:
    """Return values as JSON for a script element: no text in them ends it."""
    text = json.dumps(found, ensure_ascii=True, separators=(",", ":"))
    return Markup(text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026"))


def duration(seconds: float | None) -> str:
    """Return a duration as text, for example "41 s", "3 min 20 s" or "2 h 5 min"."""
    if seconds is None or seconds != seconds:
        return MISSING
    if seconds < 100:
        return f"{seconds:.3g} s"
    whole = round(seconds)
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600:,} h {whole % 3600 // 60} min"


def _printable(value: Any) -> Any:
    if isinstance(value, Markup) or not isinstance(value, str):
        return value
    return "\n".join(printable(line) for line in value.replace("\t", "    ").split("\n"))
