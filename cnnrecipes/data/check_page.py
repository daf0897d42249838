"""The page of pictures that goes with a check: every file that was found wanting, to be looked at."""

from __future__ import annotations

import base64
import html
import io
import os

import tensorflow as tf
from PIL import Image

from cnnrecipes.data import places
from cnnrecipes.data.findings import Finding
from cnnrecipes.data.images import decode, reason

_SIDE = 128  # pixels of a thumbnail
_SHOWN = 60  # files of one finding
_STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 1100px; padding: 0 1rem; color: #1f2328 }
h1 { font-size: 1.6rem } h2 { font-size: 1.1rem; margin: 2rem 0 .3rem }
table { border-collapse: collapse } td, th { padding: .2rem .9rem; border-bottom: 1px solid #d8dee4; text-align: right }
td:first-child, th:first-child { text-align: left }
.tag { border-radius: 1rem; padding: .1rem .6rem; font-size: .8rem; color: #fff; margin-right: .5rem }
.error { background: #b42318 } .warning { background: #b25e09 } .note { background: #57606a }
.files { display: flex; flex-wrap: wrap; gap: .8rem }
.group { border-left: 3px solid #d8dee4; padding-left: .8rem; margin-bottom: .8rem }
figure { margin: 0; width: 136px; font-size: .72rem; overflow-wrap: anywhere; color: #57606a }
figure img, figure div { width: 128px; height: 128px; object-fit: contain; background: #f0f2f4;
  border-radius: 4px; outline: 1px solid #d8dee4 }
figure div { display: grid; place-items: center; text-align: center }
@media (prefers-color-scheme: dark) {
  body { background: #16191d; color: #e2e6ea } td, th { border-color: #333a42 }
  figure img, figure div { background: #262b31 }
}
"""


def page(report) -> str:
    """One self-contained HTML document about a `check.Report`; needs no network."""
    state = "Training may go on." if report.trainable else "Training may not go on."
    counts = report.counts.to_html(border=0, index_names=False) if len(report.counts) else "<p>No readable image.</p>"
    sections = "".join(_section(finding, report) for finding in report.findings) or "<p>Nothing was found.</p>"
    return (
        f"<!DOCTYPE html><html lang='en'><meta charset='utf-8'><meta name='viewport' content='width=device-width'>"
        f"<title>Check of {html.escape(report.name)}</title><style>{_STYLE}</style>"
        f"<h1>Check of {html.escape(report.name)}</h1><p>{state}</p>{counts}{sections}</html>"
    )


def _section(finding: Finding, report) -> str:
    pictures = _groups(finding, report) if finding.groups else _files(finding, report)
    return (
        f"<h2><span class='tag {finding.severity}'>{finding.severity}</span>{html.escape(finding.kind)}</h2>"
        f"<p>{html.escape(finding.message)}</p>{pictures}"
    )


def _files(finding: Finding, report) -> str:
    figures = "".join(_figure(file, report.unreadable.get(file)) for file in finding.files[:_SHOWN])
    return (f"<div class='files'>{figures}</div>" if figures else "") + _rest(len(finding.files) - _SHOWN, "")


def _groups(finding: Finding, report) -> str:
    """The files of each group together, each with its split and class."""
    left, sections = _SHOWN, []
    for group in finding.groups:
        if left <= 0:
            break
        some = group[:left]
        figures = "".join(
            _figure(one.file, report.unreadable.get(one.file), f"{one.split}, {one.label}") for one in some
        )
        rest = _rest(len(group) - len(some), " of this group")
        sections.append(f"<div class='files group'>{figures}</div>{rest}")
        left -= len(some)
    return "".join(sections) + _rest(len(finding.groups) - len(sections), " groups")


def _rest(more: int, of_what: str) -> str:
    return f"<p>and {more:,} more{of_what}, in report.json</p>" if more > 0 else ""


def _figure(file: str, why: str | None, where: str = "") -> str:
    name = html.escape(os.sep.join(file.split(os.sep)[-2:]))
    note = f"<br>{html.escape(where)}" if where else ""
    note += f"<br><b>{html.escape(why)}</b>" if why else ""
    picture = "<div>no picture</div>" if why else _thumbnail(file)
    return f"<figure>{picture}{name}{note}</figure>"


def _thumbnail(file: str) -> str:
    """A small picture of a file that can be read, decoded as training decodes it; in words what cannot be drawn."""
    try:
        content = places.read(file)
        image = Image.fromarray(decode(content, 3).numpy())
    except OSError:  # gone, or an image in memory
        return "<div>no picture</div>"
    except (ValueError, tf.errors.OpError) as error:
        return f"<div>no picture: {html.escape(reason(error))}</div>"
    image.thumbnail((_SIDE, _SIDE))
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=80)
    return f"<img alt='' src='data:image/jpeg;base64,{base64.b64encode(buffer.getvalue()).decode()}'>"
