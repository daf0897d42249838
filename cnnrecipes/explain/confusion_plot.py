"""Plot of a confusion matrix, readable for 2 and for 1,000 classes."""

from __future__ import annotations

import os

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import PowerNorm

from cnnrecipes._support.console import printable
from cnnrecipes.explain.confusion import Confusion
from cnnrecipes.figures import Picture, drawable, title_lines, written

_NUMBERED, _NAMED = 25, 60  # classes up to which the cells have numbers, and the axes class names
_PAIRS = 15
_LETTERS = 24  # of a class name


def plot_confusion(found: Confusion, *, path: str | os.PathLike | None = None) -> Picture:
    """Plot a confusion matrix as shares of each label, similar classes side by side, with the most confused pairs.

    Up to 25 classes the cells have the numbers of images; up to 60 the axes have the class names.

    Args:
        found: result of `confusion`.
        path: file to write the figure to (.png, .svg or .pdf); None: not written.

    Raises:
        ModelError: an unsupported suffix.
        WriteError: the path cannot be written.
    """
    path = path and drawable(path)
    count = len(found.class_names)
    side = float(np.clip(2.5 + 0.32 * count, 4.5, 12))
    figure = Picture(figsize=(side + 4, side), layout="constrained")
    axes, beside = figure.subplots(1, 2, width_ratios=(side, 3.2))
    _draw_matrix(axes, found, count)
    beside.set_axis_off()
    beside.text(0, 1, _pairs_text(found), va="top", fontsize=9, transform=beside.transAxes)
    figure.suptitle(title_lines(str(found), 90), fontsize=10)
    written(figure, path)
    return figure


def _draw_matrix(axes: Axes, found: Confusion, count: int) -> None:
    matrix = found.matrix[found.order][:, found.order]
    shares = matrix / np.maximum(matrix.sum(axis=1, keepdims=True), 1)
    axes.imshow(shares, cmap="Blues", norm=PowerNorm(0.5, 0, 1), interpolation="nearest")  # small shares stay visible
    axes.set(xlabel="predicted class", ylabel="label")
    if count <= _NAMED:
        names = [_short(found.class_names[number]) for number in found.order.tolist()]
        axes.set_xticks(range(count), names, rotation=90, fontsize=8)
        axes.set_yticks(range(count), names, fontsize=8)
    else:
        axes.set_xticks([])
        axes.set_yticks([])
    if count <= _NUMBERED:
        for row, column in zip(*np.nonzero(matrix), strict=True):
            color = "white" if shares[row, column] > 0.4 else "black"
            axes.text(column, row, f"{matrix[row, column]:,}", ha="center", va="center", fontsize=8, color=color)


def _pairs_text(found: Confusion) -> str:
    """Return the most confused pairs, one a line."""
    some = found.pairs.head(_PAIRS).to_dict("records")
    lines = [f"{row['n']:,} ({row['share']:.0%})  {_short(row['truth'])} → {_short(row['predicted'])}" for row in some]
    more = [f"and {len(found.pairs) - _PAIRS:,} more pairs"] if len(found.pairs) > _PAIRS else []
    return "\n".join(["label → predicted class", *lines, *more]) if lines else "no confusions"


def _short(name: str) -> str:
    text = printable(name)
    return (text if len(text) <= _LETTERS else text[: _LETTERS - 1] + "…").replace("$", r"\$")
