"""Text and HTML displays of a run: its folder, accuracy with interval, history, and what to do next."""

from __future__ import annotations

import base64
import html
import itertools
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import pandas as pd
from matplotlib.ticker import MaxNLocator

from cnnrecipes._support.console import printable
from cnnrecipes.errors import RunError
from cnnrecipes.figures import Picture
from cnnrecipes.runs.records import CROSS_VALIDATION, PARAMETERS, TRAINABLE

if TYPE_CHECKING:
    from cnnrecipes.runs.run import Run

_BARS = "▁▂▃▄▅▆▇█"
_FEW_EPOCHS = 6  # below this, mark each point
_WIDTH = 30  # characters of a sparkline


def text(run: Run) -> str:
    """Return the summary of a run that `repr(run)` shows, in several lines."""
    rows = {"folder": printable(str(run.folder)), **_results(run), "next": _next_step(run)}
    return "\n".join([f"Run of {printable(run.recipe.name)}", *(f"  {label:<11}{row}" for label, row in rows.items())])


def page(run: Run) -> str:
    """Return an HTML fragment for notebooks: the rows of `text` and a plot of the history, if any."""
    results = {"folder": f"<code>{html.escape(printable(str(run.folder)))}</code>"}
    results |= {label: html.escape(row) for label, row in _results(run, with_history=False).items()}
    results["next"] = f"<code>{html.escape(_next_step(run))}</code>"
    cells = "".join(
        f"<tr><th style='text-align:left'>{label}</th><td style='text-align:left'>{row}</td></tr>"
        for label, row in results.items()
    )
    history = _history(run)
    picture = "" if history is None else _image(plot_history(history))
    return f"<div><b>Run of {html.escape(printable(run.recipe.name))}</b><table>{cells}</table>{picture}</div>"


def metrics_text(metrics: Mapping[str, Any]) -> str:
    """Return metrics as text: accuracy with n and 95% interval, cross entropy in nats."""
    low, high = metrics["accuracy_95"]
    return (
        f"accuracy {metrics['accuracy']:.2%} (n = {metrics['n']}, 95% interval {low:.2%} to {high:.2%}), "
        f"cross entropy {metrics['cross_entropy']:.4f}"
    )


def parameters_text(parameters: int, trained: int) -> str:
    """Return the numbers of parameters as text: "77,850 parameters", "650 of 2,223,872 parameters trained"."""
    if trained == parameters:
        return f"{parameters:,} parameters"
    return f"{trained:,} of {parameters:,} parameters trained"


def cross_validation_text(record: Mapping[str, Any]) -> str:
    """Return a record of cross-validation as text: accuracy with n and 95% interval, folds and repeats."""
    low, high = record["accuracy_95"]
    return (
        f"accuracy {record['accuracy']:.2%} (n = {record['n']}, 95% interval {low:.2%} to {high:.2%}) of a logistic "
        f"head on frozen features, {record['folds']} folds, {record['repeats']} repeats"
    )


def plot_history(history: pd.DataFrame) -> Picture:
    """Plot loss and accuracy over the epochs, for training and validation.

    Args:
        history: `Run.history`: columns epoch, loss, accuracy and, with a validation split, val_loss and val_accuracy.
    """
    figure = Picture(figsize=(8, 2.8), layout="constrained")
    for axes, name in zip(figure.subplots(1, 2), ("loss", "accuracy"), strict=True):
        scale = 1 if name == "loss" else 100
        for column, label, style in ((name, "training", "C0--"), (f"val_{name}", "validation", "C1-")):
            if column in history:
                marker = "o" if len(history) < _FEW_EPOCHS else None
                axes.plot(history["epoch"], scale * history[column], style, marker=marker, label=label)
        axes.set_xlim(min(history["epoch"]) - 0.5, max(history["epoch"]) + 0.5)
        axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
        axes.set(xlabel="epoch", ylabel="loss (cross entropy, nats)" if name == "loss" else "accuracy, %")
        axes.grid(alpha=0.3)
    figure.axes[0].legend(frameon=False)
    return figure


def sparkline(values: Sequence[float]) -> str:
    """Return the values as a line of block characters, averaged to at most 30 of them; "" for none."""
    if not len(values):
        return ""
    count = min(len(values), _WIDTH)
    edges = [round(i * len(values) / count) for i in range(count + 1)]
    means = [sum(values[a:b]) / (b - a) for a, b in itertools.pairwise(edges)]
    low, high = min(means), max(means)
    top = len(_BARS) - 1
    return "".join(_BARS[round((mean - low) / (high - low) * top) if high > low else top // 2] for mean in means)


def _results(run: Run, with_history: bool = True) -> dict[str, str]:
    """Return the rows of a run's display between "folder" and "next": state or metrics, and history."""
    rows = {}
    history = _history(run)
    if history is not None and with_history:
        rows["history"] = _history_row(history)
    if not run.finished:
        if not run.recipe.transfer.trains_by_steps:
            return {"state": "unfinished"}
        epochs = 0 if history is None else int(history["epoch"].iloc[-1])
        return {"state": f"unfinished, {epochs} of {run.recipe.train.epochs} epochs", **rows}
    try:
        metrics = run.metrics
        splits: dict[str, str] = {}
        if PARAMETERS in metrics:
            counts = parameters_text(metrics[PARAMETERS], metrics[TRAINABLE])
            splits["model"] = f"{printable(run.recipe.model.name)}, {counts}"
        splits |= {split: metrics_text(metrics[split]) for split in ("validation", "test") if split in metrics}
        if CROSS_VALIDATION in metrics:
            splits["folds"] = cross_validation_text(metrics[CROSS_VALIDATION])
    except (RunError, KeyError, TypeError) as error:
        splits = {"metrics": printable(str(error))}
    return {**rows, **splits}


def _history_row(history: pd.DataFrame) -> str:
    name = "val_accuracy" if "val_accuracy" in history else "accuracy"
    values = history[name].tolist()
    return f"{name} {sparkline(values)} {values[0]:.1%} to {values[-1]:.1%} in {len(values)} epochs"


def _history(run: Run) -> pd.DataFrame | None:
    """Return the history of a run; None if it is missing or damaged, since a display must not raise."""
    try:
        history = run.history
    except RunError:
        return None
    return history if {"epoch", "loss", "accuracy"} <= set(history.columns) and len(history) else None


def _next_step(run: Run) -> str:
    if run.finished:
        history = ", run.history" if run.recipe.transfer.trains_by_steps else ""
        return f'run.predict("photo.jpg"), run.evaluate(){history}'
    return f"cr.resume({str(run.folder)!r})"


def _image(figure: Picture) -> str:
    encoded = base64.b64encode(figure._repr_png_()).decode()
    return f'<img alt="loss and accuracy over the epochs" style="max-width:100%" src="data:image/png;base64,{encoded}">'
