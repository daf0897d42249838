"""Plots of an experiment's histories."""

from __future__ import annotations

import pandas as pd
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, MaxNLocator, NullFormatter

from cnnrecipes.experiments.summary_table import summary
from cnnrecipes.figures import Picture


def plot_over_epochs(frame: pd.DataFrame, size: str) -> Figure:
    """Plot training loss and validation accuracy over epochs: a color per kind, a solid line for the largest size."""
    figure = Picture(figsize=(11, 4.5), layout="constrained")
    left, right = figure.subplots(1, 2)
    sizes = sorted(frame["size"].unique())
    for k, (kind, rows) in enumerate(frame.groupby("kind", sort=False)):
        for each, history in rows.groupby("size"):
            style = {
                "color": f"C{k}",
                "linestyle": "-" if each == sizes[-1] else "--",
                "label": f"{kind}, {size} {each}",
            }
            left.plot(history.epoch, history.loss, **style)
            right.plot(history.epoch, 100 * history.val_accuracy, **style)
    for axis in (left, right):
        axis.xaxis.set_major_locator(MaxNLocator(integer=True))
    left.set(xlabel="epoch", ylabel="training loss", yscale="log")
    left.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    left.yaxis.set_major_formatter("{x:g}")
    left.yaxis.set_minor_formatter(NullFormatter())
    right.set(xlabel="epoch", ylabel="validation accuracy, %")
    right.legend(frameon=False)
    _grid(left, right)
    return figure


def plot_over_sizes(frame: pd.DataFrame, size: str) -> Figure:
    """Plot training loss and validation accuracy of the last epoch over the sizes, a line per kind."""
    figure = Picture(figsize=(11, 4.5), layout="constrained")
    left, right = figure.subplots(1, 2)
    for k, (kind, rows) in enumerate(summary(frame).groupby("kind", sort=False)):
        places = [str(each) for each in rows["size"]]
        left.plot(places, rows.loss, f"C{k}o-", label=kind)
        right.plot(places, 100 * rows.val_accuracy, f"C{k}o-", label=kind)
    left.set(xlabel=size, ylabel="training loss, last epoch")
    right.set(xlabel=size, ylabel="validation accuracy, last epoch, %")
    right.legend(frameon=False)
    _grid(left, right)
    return figure


def _grid(*axes) -> None:
    for axis in axes:
        axis.grid(alpha=0.3, which="both")
