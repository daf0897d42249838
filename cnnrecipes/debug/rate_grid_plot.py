"""Heat map of a grid of learning rates and weight decays."""

from __future__ import annotations

import os

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from cnnrecipes.debug.rate_grid_result import RateGrid
from cnnrecipes.figures import Picture, drawable, title_lines, written

_COLORS = "viridis"  # distinct in lightness, so for color-blind readers and in print
_WIDTH = 7.0  # in inches, at least
_LETTERS, _BESIDE = 15, 2.0  # letters of the title per inch, and inches beside the map
_LEAST_RANGE = 1.0  # of the colors, in percentage points
_DARK = 0.6  # share of the colors below which text is white


def plot_grid(found: RateGrid, *, path: str | os.PathLike | None = None) -> Figure:
    """Plot the validation accuracy over learning rate and weight decay as a heat map.

    A cell has its accuracy in percent and the training loss below; the best one has a frame, diverged ones are hatched.

    Args:
        found: result of `rate_grid`.
        path: file to write the figure to (.png, .svg or .pdf); None: not written.

    Raises:
        ModelError: an unsupported suffix.
        WriteError: the path cannot be written.
    """
    path = path and drawable(path)
    rates, decays = found.rates, found.decays
    width = max(_WIDTH, 2.5 + 1.05 * len(rates))
    figure = Picture(figsize=(width, 2.2 + 0.75 * len(decays)), layout="constrained")
    axes = figure.subplots()
    accuracies = np.full((len(decays), len(rates)), np.nan)
    for cell in found.trainings:
        accuracies[decays.index(cell.weight_decay), rates.index(cell.learning_rate)] = 100 * cell.accuracy
    finite = accuracies[np.isfinite(accuracies)]
    high = float(finite.max()) if len(finite) else 100.0
    low = min(float(finite.min()), high - _LEAST_RANGE) if len(finite) else 0.0
    image = axes.imshow(accuracies, cmap=_COLORS, origin="lower", aspect="auto", vmin=low, vmax=high)
    _cells(axes, found, low, high)
    axes.set_xticks(range(len(rates)), [f"{rate:.2g}" for rate in rates])
    axes.set_yticks(range(len(decays)), [f"{decay:.2g}" for decay in decays])
    axes.set(xlabel="learning rate", ylabel="weight decay")
    if len(finite):
        figure.colorbar(image, ax=axes, label="validation accuracy, %")
    axes.set_title(title_lines(f"{found.name}: {found}", int(_LETTERS * (width - _BESIDE))), fontsize=8, loc="left")
    return written(figure, path)


def _cells(axes: Axes, found: RateGrid, low: float, high: float) -> None:
    """Write the values into the cells; frame the best one, and hatch those that diverged."""
    best = found.best
    for cell in found.trainings:
        x, y = found.rates.index(cell.learning_rate), found.decays.index(cell.weight_decay)
        corner = (x - 0.5, y - 0.5)
        if cell.diverged:
            axes.add_patch(Rectangle(corner, 1, 1, facecolor="#E8E8E8", edgecolor="#8C8C8C", hatch="///", linewidth=0))
            axes.text(x, y, "diverged", ha="center", va="center", fontsize=8, bbox={"color": "white", "pad": 1})
            continue
        color = "white" if 100 * cell.accuracy < low + _DARK * (high - low) else "black"
        if cell is best:
            frame = Rectangle(corner, 1, 1, fill=False, edgecolor="#D55E00", linewidth=3, zorder=3)
            frame.set_clip_on(False)
            axes.add_patch(frame)
        mark = "best\n" if cell is best else ""
        text = f"{mark}{100 * cell.accuracy:.1f}\nloss {cell.loss:.2g}"
        axes.text(x, y, text, ha="center", va="center", fontsize=8, color=color)
