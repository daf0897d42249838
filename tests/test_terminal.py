"""Names from data, files and models reach the terminal as text of one line that changes nothing else on it."""

from __future__ import annotations

import io
import types

import pandas as pd
import pytest
from rich.console import Console

from cnnrecipes import terminal
from cnnrecipes.data.findings import Finding
from cnnrecipes.terminal import listed, printable


@pytest.mark.parametrize(
    ("raw", "shown"),
    [
        ("\x1b[2J", r"\x1b[2J"),
        ("a\nb\tc\r", r"a\nb\tc\r"),
        ("\x9b31m", r"\x9b31m"),  # the one-byte form of ESC [
        ("abc\u202edcba", r"abc\u202edcba"),
        ("\u2028", r"\u2028"),
        ("caf\udce9", r"caf\udce9"),  # a file name that is not UTF-8
        ("[bold red]x", "[bold red]x"),
        ("Größe 猫 سلام 👩\u200d🔬", "Größe 猫 سلام 👩\u200d🔬"),
        (7, "7"),
    ],
)
def test_what_would_act_on_a_terminal_becomes_an_escape_and_letters_stay(raw, shown):
    assert printable(raw) == shown
    shown.encode()  # can be written


def test_long_lists_are_cut_and_counted():
    assert listed(["a", "b"]) == "a, b"
    assert listed([f"c{i}" for i in range(3000)], most=3) == "c0, c1, and 2,998 more"


def test_a_report_prints_class_names_and_files_as_they_are_written(monkeypatch):
    text = io.StringIO()
    monkeypatch.setattr(terminal, "out", Console(file=text, force_terminal=False, soft_wrap=True))

    report = types.SimpleNamespace(
        counts=pd.DataFrame({"train": [3, 4]}, index=["[bold red]x", "\x1b[31mred"]),
        findings=(Finding("warning", "odd", "a \x1b]0;title\x07 message", ("new\nline.jpg",)),),
        unreadable={"new\nline.jpg": "[link=x]damaged"},
        trainable=True,
    )
    terminal.print_report(report)
    shown = text.getvalue()
    assert "[bold red]x" in shown
    assert r"\x1b[31mred" in shown
    assert r"'new\nline.jpg': [link=x]damaged" in shown
    assert "\x1b" not in shown
    assert "\x07" not in shown
