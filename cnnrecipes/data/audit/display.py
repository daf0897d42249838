"""Text and HTML displays of a data check: the verdict, images per class and split, and the findings."""

from __future__ import annotations

import html
from typing import TYPE_CHECKING

from cnnrecipes._support.console import printable
from cnnrecipes._support.user_cache import storable

if TYPE_CHECKING:
    from cnnrecipes.data.audit.checks import DataFinding
    from cnnrecipes.data.audit.report import Report

_CLASSES = 20  # rows shown of the table of counts
_FILES = 3  # shown per finding


def text(report: Report) -> str:
    """Return the lines of `repr(report)`."""
    lines = [f"Check of {printable(report.name)}: {verdict(report)}"]
    if len(report.counts):
        shown = report.counts.head(_CLASSES).rename(index=printable)
        shown.index.name = shown.columns.name = None
        lines += shown.to_string().splitlines()
        lines += _more_classes(report)
    lines += [f"{finding.severity:8} {printable(finding.message)}" for finding in report.findings]
    return "\n".join([*lines, 'next: .save("check") writes a page with pictures; .findings, .unreadable, .counts'])


def fragment(report: Report) -> str:
    """Return an HTML fragment for notebooks: the tables of `text`, and the first files of each finding."""
    counts = ""
    if len(report.counts):
        shown = report.counts.head(_CLASSES).rename(index=printable)
        counts = shown.to_html(border=0, index_names=False) + "".join(
            f"<p>{line}</p>" for line in _more_classes(report)
        )
    rows = "".join(
        f"<tr><td>{finding.severity}</td><td style='text-align:left'>{_shown(finding.message)}</td>"
        f"<td style='text-align:left'>{_files(finding, report)}</td></tr>"
        for finding in report.findings
    )
    where = f" in {_shown(report.folder)}" if report.folder else ""
    header = f"<tr><th></th><th>finding</th><th style='text-align:left'>files{where}</th></tr>"
    found = f"<table>{header}{rows}</table>" if rows else "<p>No findings.</p>"
    return f"<div><b>Check of {_shown(report.name)}: {verdict(report)}</b>{counts}{found}</div>"


def verdict(report: Report) -> str:
    """Return "training may go on" for trainable data, otherwise "training may not go on", as text."""
    return "training may go on" if report.trainable else "training may not go on"


def _more_classes(report: Report) -> list[str]:
    more = len(report.counts) - _CLASSES
    return [f"and {more:,} more classes, in .counts"] if more > 0 else []


def _files(finding: DataFinding, report: Report) -> str:
    """Return HTML with the first files of a finding, or of its first group, and the number of the others."""
    files, more = [report.short(file) for file in finding.files], []
    if finding.groups:
        files = [f"{report.short(one.file)} ({one.split}, {one.label})" for one in finding.groups[0]]
        more = [f"and {len(finding.groups) - 1:,} more groups"] if len(finding.groups) > 1 else []
    if len(files) > _FILES:
        more = [f"and {len(files) - _FILES:,} more{' in this group' if finding.groups else ''}", *more]
    return "<br>".join([*map(_shown, files[:_FILES]), *more])


def _shown(name: str) -> str:
    return html.escape(storable(printable(name)))
