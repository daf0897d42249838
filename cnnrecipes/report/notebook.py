"""Parts of a report that notebooks show inline, each in a frame of its own."""

from __future__ import annotations

import html
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd

from cnnrecipes import explain
from cnnrecipes.report.page import document
from cnnrecipes.report.section import Section
from cnnrecipes.report.sections.confusion import matrix
from cnnrecipes.report.sections.losses import gallery
from cnnrecipes.report.writing import REPORT, gathered, write_page
from cnnrecipes.runs.run import Run


@dataclass(frozen=True, repr=False)
class Inline:
    """An HTML document that notebooks display in a frame.

    Attributes:
        document: the document.
        title: of the frame.
        height: of the frame, in the unit rem.
        table: the numbers; None for a whole report.
        path: the file that was written; None: none.
    """

    document: str
    title: str
    height: float = 40.0
    table: pd.DataFrame | None = field(default=None, compare=False)
    path: Path | None = None

    def _repr_html_(self) -> str:
        frame = f"width:100%;height:{self.height:g}rem;border:1px solid #8886"
        inside = html.escape(self.document)
        return f"<iframe title='{self.title}' sandbox='allow-scripts' style='{frame}' srcdoc=\"{inside}\"></iframe>"

    def __repr__(self) -> str:
        if self.path is not None:
            return f"{self.title}: {str(self.path)!r}"
        return f"{self.title}\n{self.table}"


def report_inline(run: Run | str | os.PathLike, data: Any = None, *, pictures: bool = True) -> Inline:
    """Write the report of a run, and return it for a notebook; see `write_report`."""
    run = _opened(run)
    with gathered(run, data, pictures=pictures) as facts:
        path = write_page(facts, run.folder / REPORT)
    return Inline(path.read_text(encoding="utf-8"), "Training report", path=path)


def confusion_inline(run: Run | str | os.PathLike, split: str = "validation") -> Inline:
    """Return the confusion matrix of a split for a notebook. Raises RunError: there are no predictions of it."""
    predictions = _opened(run).predictions(split)
    table = explain.confusion(predictions).pairs
    return _one_section("Confusions", matrix(predictions), table)


def losses_inline(run: Run | str | os.PathLike, split: str = "validation", n: int = 24, data: Any = None) -> Inline:
    """Return the images of a split with the largest losses for a notebook; see `Run.top_losses`."""
    run = _opened(run)
    predictions = run.predictions(split)
    with gathered(run, data) as facts:
        body = gallery(facts, predictions, n)
    return _one_section("Largest losses", body, explain.top_losses(predictions, n=n))


def _opened(run: Run | str | os.PathLike) -> Run:
    return Run.open(Path(run) if isinstance(run, os.PathLike) else run)


def _one_section(title: str, body: Any, table: pd.DataFrame) -> Inline:
    made = [Section("part", title, body)]
    return Inline(document(title, heading=title, kind="", sections=made), title, 34.0, table)
