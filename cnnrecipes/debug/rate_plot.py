"""Plot of a sweep of the learning rate: all curves, their median, and the suggestions."""

from __future__ import annotations

import os

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from cnnrecipes.debug.loss_smoothing import bandwidth_of, smooth
from cnnrecipes.debug.rate_suggestions import LEAST, until_infinite
from cnnrecipes.debug.rate_sweep import RateSweep
from cnnrecipes.errors import counted
from cnnrecipes.figures import Picture, drawable, title_lines, written

# Colors that are distinct to color-blind readers (Okabe & Ito 2008), and marks besides.
_RAW, _MEDIAN, _RANGE, _RECIPE = "#56B4E9", "#0072B2", "#009E73", "#7F7F7F"
_MARKS = {
    "valley": ("#CC79A7", "o"),
    "steepest": ("#E69F00", "s"),
    "minimum": ("#000000", "^"),
    "high": ("#009E73", "D"),
}
_SUGGESTED = "#D55E00"
_NAMES = {"steepest": "steepest fall", "minimum": "minimum / 10", "high": "upper end"}
_AROUND = 0.1  # room around the losses of curves that are too short to be read
_ABOVE = 0.6  # room above the loss at the start, as a share of the fall


def plot_sweep(found: RateSweep, *, path: str | os.PathLike | None = None) -> Figure:
    """Plot the training loss over the learning rate, on a logarithmic axis.

    Points are the losses of the steps, thin lines the smoothed curves of the seeds, the thick line that of their
    median; the band is the usable range.

    Args:
        found: result of `find_lr`.
        path: file to write the figure to (.png, .svg or .pdf); None: not written.

    Raises:
        ModelError: an unsupported suffix.
        WriteError: the path cannot be written.
    """
    path = path and drawable(path)
    figure = Picture(figsize=(9, 5), layout="constrained")
    axes = figure.subplots()
    _curves(axes, found)
    _suggestions(axes, found)
    axes.axvline(found.recipe_rate, color=_RECIPE, linestyle=":", label=f"the recipe's: {found.recipe_rate:.2g}")
    axes.set_xscale("log")
    last = int(np.flatnonzero(np.isfinite(found.losses).any(axis=0))[-1])
    axes.set_xlim(found.rates[0], found.rates[max(last, 1)])
    axes.set_ylim(*_limits(found))
    axes.set(xlabel="learning rate (optimizer.learning_rate)", ylabel="training loss of a step")
    axes.grid(alpha=0.3)
    axes.legend(loc="center left", bbox_to_anchor=(1.0, 0.5), frameon=False, fontsize=8)
    axes.set_title(title_lines(f"{found.name}: {found}", 125), fontsize=9, loc="left")
    return written(figure, path)


def _curves(axes: Axes, found: RateSweep) -> None:
    bandwidth = bandwidth_of(len(found.rates))
    for number, row in enumerate(found.losses):
        losses = until_infinite(row)
        rates = found.rates[: len(losses)]
        axes.plot(rates, losses, ".", color=_RAW, markersize=3, alpha=0.5, label=None if number else "loss of a step")
        if len(losses) >= LEAST:
            label = None if number else f"smoothed, {counted(len(found.losses), 'seed')}"
            axes.plot(rates, smooth(losses, bandwidth).values, color=_RAW, linewidth=1, label=label)
    median = found.reading.median
    axes.plot(found.rates[: len(median)], median, color=_MEDIAN, linewidth=2.5, label="median, at a common start")


def _suggestions(axes: Axes, found: RateSweep) -> None:
    suggestions, median = found.reading.suggestions, found.reading.median
    if suggestions is None:
        return
    low, high = suggestions.low, suggestions.high
    axes.axvspan(low, high, color=_RANGE, alpha=0.12, label=f"usable range: {low:.2g} to {high:.2g}")
    for take, (color, mark) in _MARKS.items():
        taken = take == found.take
        color, rate, name = _SUGGESTED if taken else color, suggestions.of(take), _NAMES.get(take, take)
        loss = np.interp(np.log(rate), np.log(found.rates[: len(median)]), median)
        axes.axvline(rate, color=color, linestyle="-" if taken else "--", linewidth=1)
        label = f"{name} (suggested): {rate:.2g}" if taken else f"{name}: {rate:.2g}"
        axes.plot([rate], [loss], mark, color=color, markersize=8, zorder=3, label=label)
    if spread := found.reading.spread(found.take):
        # At the bottom, where no curve is.
        axes.plot(
            spread,
            [0.02, 0.02],
            "|-",
            color=_SUGGESTED,
            markersize=8,
            transform=axes.get_xaxis_transform(),
            label=f"suggested by the seeds: {spread[0]:.2g} to {spread[1]:.2g}",
        )


def _limits(found: RateSweep) -> tuple[float, float]:
    """Return the range of losses that shows the fall: most of the divergence is cut off."""
    reading, finite = found.reading, found.losses[np.isfinite(found.losses)]
    if not np.isfinite(reading.start):
        return float(finite.min()) - _AROUND, float(finite.max()) + _AROUND
    lowest, spread = float(np.quantile(finite, 0.01)), max(reading.fall, 8 * reading.error)
    first = float(reading.median[: len(found.rates) // 10].max()) - reading.start
    above = max(_ABOVE * spread, min(first + 0.1 * spread, 2 * spread))  # a curve may fall from its first step on
    return min(lowest, float(reading.median.min())) - 0.1 * spread, reading.start + above
