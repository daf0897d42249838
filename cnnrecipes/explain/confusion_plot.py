"""Plot of a confusion matrix, readable for 2 and for 1,000 classes."""

from __future__ import annotations

import os

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import PowerNorm

from cnnrecipes._support.console import printable
from cnnrecipes.explain.confusion import Confusion
from cnnrecipes.figures import Picture, drawable, title_lines, written

_NUMBERED, _WHOLE = 25, 60  # classes up to which the cells have numbers, and the matrix is shown as a whole
_PART = 40  # classes of a part
_PAIRS = 15
_LETTERS = 24  # of a class name


def plot_confusion(found: Confusion, *, path: str | os.PathLike | None = None) -> Picture:
    """Plot a confusion matrix as shares of each label, similar classes side by side, with the most confused pairs.

    Up to 25 classes the cells have the numbers of images. Of more than 60 classes the 40 most often confused are shown.

    Args:
        found: result of `confusion`.
        path: file to write the figure to (.png, .svg or .pdf); None: not written.

    Raises:
        ModelError: an unsupported suffix.
        WriteError: the path cannot be written.
    """
    path = path and drawable(path)
    order = _shown(found)
    count = len(order)
    side = float(np.clip(2.5 + 0.32 * count, 4.5, 12))
    figure = Picture(figsize=(side + 4, side), layout="constrained")
    axes, beside = figure.subplots(1, 2, width_ratios=(side, 3.2))
    _draw_matrix(axes, found, order)
    beside.set_axis_off()
    beside.text(0, 1, _pairs_text(found), va="top", fontsize=9, transform=beside.transAxes)
    figure.suptitle(title_lines(str(found), 90), fontsize=10)
    written(figure, path)
    return figure


def _shown(found: Confusion) -> np.ndarray:
    """Return the class numbers to show, in the order of similarity."""
    if len(found.order) <= _WHOLE:
        return found.order
    numbers = {name: number for number, name in enumerate(found.class_names)}
    names = found.pairs[["truth", "predicted"]].to_numpy().ravel().tolist()
    chosen = list(dict.fromkeys([*(numbers[name] for name in names), *found.order.tolist()]))[:_PART]
    return found.order[np.isin(found.order, chosen)]


def _draw_matrix(axes: Axes, found: Confusion, order: np.ndarray) -> None:
    matrix = found.matrix[order][:, order]
    shares = matrix / np.maximum(found.matrix[order].sum(axis=1, keepdims=True), 1)
    axes.imshow(shares, cmap="Blues", norm=PowerNorm(0.5, 0, 1), interpolation="nearest")  # small shares stay visible
    part = (
        f" ({len(order)} of {len(found.order):,}, those most often confused)" if len(order) < len(found.order) else ""
    )
    axes.set(xlabel=f"predicted class{part}", ylabel="label")
    names = [_short(found.class_names[number]) for number in order.tolist()]
    axes.set_xticks(range(len(order)), names, rotation=90, fontsize=8)
    axes.set_yticks(range(len(order)), names, fontsize=8)
    if len(order) <= _NUMBERED:
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
