"""Tables of the command line escape markup and control characters in names from data and files."""

from __future__ import annotations

import io

import pandas as pd
from rich.console import Console

from cnnrecipes.cli import result_printing
from cnnrecipes.data.audit.checks import DataFinding
from cnnrecipes.data.audit.report import Report


def test_report_escapes_class_names_and_files(monkeypatch):
    text = io.StringIO()
    monkeypatch.setattr(result_printing, "out", Console(file=text, force_terminal=False, soft_wrap=True))

    report = Report(
        name="photos",
        counts=pd.DataFrame({"train": [3, 4]}, index=["[bold red]x", "\x1b[31mred"]),
        findings=(DataFinding("warning", "odd", "a \x1b]0;title\x07 message", ("new\nline.jpg",)),),
        unreadable={"new\nline.jpg": "[link=x]damaged"},
        trainable=True,
    )
    result_printing.print_report(report)
    shown = text.getvalue()
    assert "[bold red]x" in shown
    assert r"\x1b[31mred" in shown
    assert r"'new\nline.jpg': [link=x]damaged" in shown
    assert "\x1b" not in shown
    assert "\x07" not in shown
