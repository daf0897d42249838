"""HTML page of a data check: thumbnails of all files with findings."""

from __future__ import annotations

import base64
import html
import io
import os

import tensorflow as tf
from PIL import Image

from cnnrecipes._support import file_systems
from cnnrecipes.data.audit.checks import DataFinding
from cnnrecipes.data.images.decode import decode, reason

_SIDE = 128  # thumbnail size in pixels
_SHOWN = 60  # thumbnails per finding
_STYLE = """
:root { color-scheme: light dark; --ink: #1f2328; --quiet: #57606a; --line: #d8dee4; --tile: #f0f2f4; --link: #0b5cad;
  --page: #fff }
@media (prefers-color-scheme: dark) {
  :root { --ink: #e2e6ea; --quiet: #a4adb7; --line: #3d454e; --tile: #262b31; --link: #7ab8f5; --page: #16191d }
}
body { font: 15px/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 1100px; padding: 0 1rem; color: var(--ink);
  background: var(--page); overflow-wrap: anywhere }
h1 { font-size: 1.6rem; line-height: 1.25 } h2 { font-size: 1.1rem; margin: 2rem 0 .3rem } p { margin: .3rem 0 .6rem }
a { color: var(--link) }
.counts { max-height: 24rem; max-width: max-content; overflow: auto }
table { border-collapse: collapse } td, th { padding: .2rem .9rem; border-bottom: 1px solid var(--line) }
td, th { text-align: right } td:first-child, th:first-child { text-align: left }
.tag { border-radius: 1rem; padding: .1rem .6rem; font-size: .8rem; color: #fff; margin-right: .5rem }
.error { background: #b42318 } .warning { background: #a04a00 } .note { background: #57606a }
.files { display: flex; flex-wrap: wrap; gap: .8rem }
.group { border-left: 3px solid var(--line); padding-left: .8rem; margin-bottom: .8rem }
figure { margin: 0; width: 136px; font-size: .75rem; line-height: 1.35; color: var(--quiet) }
figure b { color: var(--ink); font-weight: 600 }
figure img, figure div { display: grid; place-items: center; text-align: center; width: 128px; height: 128px;
  margin-bottom: .35rem; object-fit: contain; background: var(--tile); border-radius: 4px;
  outline: 1px solid var(--line) }
figure:target img, figure:target div { outline: 3px solid var(--link) }
"""


def page(report) -> str:
    """Return a self-contained HTML document of a `report.Report`; displaying it needs no network.

    Each file has one thumbnail, at its first finding; later findings link to it.
    """
    state = "Training may go on." if report.trainable else "Training may not go on."
    counts = report.counts.to_html(border=0, index_names=False) if len(report.counts) else "<p>No readable image.</p>"
    pictures = _Pictures(report)
    sections = "".join(_section(finding, pictures) for finding in report.findings) or "<p>Nothing was found.</p>"
    return (
        f"<!DOCTYPE html><html lang='en'><meta charset='utf-8'><meta name='viewport' content='width=device-width'>"
        f"<title>Check of {html.escape(report.name)}</title><style>{_STYLE}</style>"
        f"<h1>Check of {html.escape(report.name)}</h1><p>{state}</p><div class='counts'>{counts}</div>{sections}</html>"
    )


class _Pictures:
    """Thumbnails of the files of a report, with a record of the files that have one already."""

    def __init__(self, report):
        self.unreadable = report.unreadable
        self.anchors: dict[str, str] = {}  # file -> id of its figure
        self.kinds: dict[str, list[str]] = {}  # file -> kinds of its findings
        for finding in report.findings:
            for file in dict.fromkeys(finding.files):
                self.kinds.setdefault(file, []).append(finding.kind)

    def files(self, finding: DataFinding) -> str:
        """Return HTML of a finding's files: a thumbnail of each file, or a link to its thumbnail further up."""
        new = [file for file in finding.files if file not in self.anchors]
        known = [file for file in finding.files if file in self.anchors]
        figures = "".join(self.figure(file, finding.kind) for file in new[:_SHOWN])
        links = ", ".join(f"<a href='#{self.anchors[file]}'>{_name(file)}</a>" for file in known[:_SHOWN])
        text = f"<div class='files'>{figures}</div>" if figures else ""
        text += f"<p>{'Also, with a picture above' if new else 'With pictures above'}: {links}</p>" if links else ""
        return text + _rest(max(len(new) - _SHOWN, 0) + max(len(known) - _SHOWN, 0), "")

    def groups(self, finding: DataFinding) -> str:
        """Return HTML of a finding's groups of files; each file is labelled with its split and class."""
        left, sections = _SHOWN, []
        for group in finding.groups:
            if left <= 0:
                break
            some = group[:left]
            figures = "".join(self.figure(one.file, finding.kind, f"{one.split}, {one.label}") for one in some)
            rest = _rest(len(group) - len(some), " of this group")
            sections.append(f"<div class='files group'>{figures}</div>{rest}")
            left -= len(some)
        return "".join(sections) + _rest(len(finding.groups) - len(sections), " groups")

    def figure(self, file: str, kind: str, where: str = "") -> str:
        """Return HTML of one file: a thumbnail (or a link to an earlier one), the file name, and its other findings."""
        notes = f"<br>{html.escape(where)}" if where else ""
        if file in self.anchors:
            link = f"<a href='#{self.anchors[file]}'>picture above</a>"
            return f"<figure><div>{link}</div>{_name(file)}{notes}</figure>"
        self.anchors[file] = f"file{len(self.anchors)}"
        why = self.unreadable.get(file)
        notes += f"<br><b>{html.escape(why)}</b>" if why else ""
        others = ", ".join(html.escape(other) for other in self.kinds.get(file, ()) if other != kind)
        notes += f"<br>also: {others}" if others else ""
        picture = "<div>no picture</div>" if why else _thumbnail(file)
        return f"<figure id='{self.anchors[file]}'>{picture}{_name(file)}{notes}</figure>"


def _section(finding: DataFinding, pictures: _Pictures) -> str:
    shown = pictures.groups(finding) if finding.groups else pictures.files(finding)
    return (
        f"<h2><span class='tag {finding.severity}'>{finding.severity}</span>{html.escape(finding.kind)}</h2>"
        f"<p>{html.escape(finding.message)}</p>{shown}"
    )


def _rest(more: int, of_what: str) -> str:
    return f"<p>and {more:,} more{of_what}, in report.json</p>" if more > 0 else ""


def _name(file: str) -> str:
    return html.escape(os.sep.join(file.split(os.sep)[-2:]))


def _thumbnail(file: str) -> str:
    """Return HTML with the thumbnail of a file, decoded as in training, or with the reason if decoding fails."""
    try:
        content = file_systems.read(file)
        image = Image.fromarray(decode(content, 3).numpy())
    except OSError:  # deleted, or an image in memory
        return "<div>no picture</div>"
    except (ValueError, tf.errors.OpError) as error:
        return f"<div>no picture: {html.escape(reason(error))}</div>"
    image.thumbnail((_SIDE, _SIDE))
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=80)
    return f"<img alt='' src='data:image/jpeg;base64,{base64.b64encode(buffer.getvalue()).decode()}'>"
