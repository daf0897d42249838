"""Loss and accuracy over the epochs, for training and validation."""

from __future__ import annotations

import numpy as np
import pandas as pd

from cnnrecipes.report.facts import Facts
from cnnrecipes.report.line_chart import Plot, Series, epoch_axis, legend, thinned, value_axis
from cnnrecipes.report.section import MISSING, Section, render

_ROWS = 200  # of the table
_FEW = 12  # epochs up to which each is marked by a dot
_COLUMNS = {
    "epoch": "epoch",
    "loss": "training loss",
    "val_loss": "validation loss",
    "accuracy": "training accuracy",
    "val_accuracy": "validation accuracy",
    "learning_rate": "learning rate",
    "seconds": "seconds",
    "images_per_second": "images/s",
}


def curves(facts: Facts) -> Section:
    """Return the curves of a training, with the epoch whose weights were kept, and a table of their values."""
    history = facts.history
    if history is None or not len(history):
        return Section("curves", "Curves", why=facts.why.get("history", "no epoch is completed"))
    marked = (float(facts.best_epoch), f"epoch {facts.best_epoch}") if facts.best_epoch else None
    plots = [_plot(history, name, marked) for name in ("loss", "accuracy")]
    body = render(
        "curves.html",
        plots=plots,
        legend=legend(plots[0].series),
        columns=[title for column, title in _COLUMNS.items() if column in history],
        rows=_rows(history),
        validated="val_loss" in history,
        best=facts.best_epoch,
        finished=facts.state == "finished",
    )
    return Section("curves", "Curves", body)


def _plot(history: pd.DataFrame, name: str, marked: tuple[float, str] | None) -> Plot:
    places = thinned(np.arange(len(history)))
    epochs = history["epoch"].to_numpy(float)[places]
    columns = {"training": (name, "train"), "validation": (f"val_{name}", "val")}
    series = [
        Series(words, kind, epochs, history[column].to_numpy(float)[places], dots=len(places) <= _FEW)
        for words, (column, kind) in columns.items()
        if column in history
    ]
    axis = value_axis([one.y for one in series], percent=name == "accuracy")
    title = "Loss" if name == "loss" else "Accuracy"
    ends = "; ".join(f"{one.name} from {axis.text(float(one.y[0]))} to {axis.text(float(one.y[-1]))}" for one in series)
    words = f"{title} over {len(history)} epochs: {ends}."
    shown = f"{title}{' (cross entropy, nats)' if name == 'loss' else ''}"
    return Plot(f"curve-{name}", shown, series, epoch_axis([epochs]), axis, marked=marked, described=words)


def _rows(history: pd.DataFrame) -> list[list[str]]:
    """Return the cells of the table as text, for at most _ROWS epochs."""
    places = thinned(np.arange(len(history)), _ROWS)
    columns = [
        [_cell(column, value) for value in history[column].to_numpy(float)[places].tolist()]
        for column in _COLUMNS
        if column in history
    ]
    return [list(row) for row in zip(*columns, strict=True)]


def _cell(column: str, value: float) -> str:
    if not np.isfinite(value):
        return MISSING if np.isnan(value) else str(value)
    if column == "epoch":
        return f"{value:.0f}"
    if "accuracy" in column:
        return f"{value:.2%}"
    return f"{value:,.0f}" if column == "images_per_second" else f"{value:.4g}"
