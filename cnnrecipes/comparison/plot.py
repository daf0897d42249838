"""Plot of a comparison: differences to the baseline with their intervals, and accuracy against the time of an epoch."""

from __future__ import annotations

import math
import os
import textwrap
from typing import TYPE_CHECKING

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from cnnrecipes._support.console import printable
from cnnrecipes.figures import Picture, drawable, save

if TYPE_CHECKING:
    from cnnrecipes.comparison.result import Comparison

# Okabe & Ito's colors, distinct for color-blind readers; each variant has its marker too.
_COLORS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")
_MARKERS = ("o", "s", "^", "v", "P", "X", "*")
_LABEL = 28  # characters of a line of a label


def plot_comparison(found: Comparison, *, path: str | os.PathLike | None = None) -> Picture:
    """Plot a comparison: differences on the left, accuracy against the time of an epoch, if known, on the right.

    Small points are single seeds; bars are 95% intervals.

    Args:
        found: result of `compare`.
        path: file to write the figure to (.png, .svg or .pdf); None: not written.

    Raises:
        ModelError: an unsupported suffix.
        WriteError: the path cannot be written.
    """
    path = path and drawable(path)
    timed = bool(np.isfinite(found.table["seconds_per_epoch"]).all())
    height = 1.6 + 0.55 * max(len(found.contrasts), 3)
    figure = Picture(figsize=(12 if timed else 6.5, height), layout="constrained")
    axes = figure.subplots(1, 2 if timed else 1, squeeze=False)[0]
    _differences(axes[0], found)
    if timed:
        _against_time(axes[1], found)
    if path:
        save(figure, path, dpi=120)
    return figure


def _differences(axes: Axes, found: Comparison) -> None:
    """Plot the difference of each variant to the baseline, with its interval and the differences of single seeds."""
    axes.axvline(0, color="black", linewidth=1)
    ends = [0.0]
    for place, (label, one) in enumerate(found.contrasts.items()):
        color, marker = _style(found, label)
        if one.verdict == "diverged":
            continue
        seeds = [seed for seed in found.scores[label] if seed in found.scores[found.baseline]]
        single = [100 * (found.scores[label][s].accuracy - found.scores[found.baseline][s].accuracy) for s in seeds]
        if len(single) > 1:
            axes.plot(single, np.full(len(single), place + 0.22), "o", color=color, markersize=3, alpha=0.7)
        bounds = [100 * bound for bound in (one.low, one.high) if math.isfinite(bound)]
        if len(bounds) == 2:
            axes.plot(bounds, [place, place], color=color, linewidth=2)
        axes.plot(100 * one.difference, place, marker, color=color, markersize=8)
        ends += [*single, *bounds, 100 * one.difference]
    if margin := max(one.margin for one in found.contrasts.values()):
        axes.axvspan(-100 * margin, 100 * margin, color="black", alpha=0.08, linewidth=0)
    span = max(ends) - min(ends) or 1.0
    axes.set_xlim(min(ends) - 0.06 * span, max(ends) + 0.06 * span)
    names = [f"{_short(label)}\n{one.verdict}" for label, one in found.contrasts.items()]
    axes.set_yticks(range(len(names)), names)
    axes.set_ylim(len(names) - 0.4, -0.6)  # the first variant on top
    axes.set_xlabel(f"{found.split} accuracy minus that of {_short(found.baseline)}, points")
    axes.grid(axis="x", alpha=0.3)


def _against_time(axes: Axes, found: Comparison) -> None:
    """Plot each variant at its mean accuracy and time of an epoch; bars are the standard deviation between seeds."""
    for row in found.table.to_dict("records"):
        label, deviation = str(row["variant"]), row["deviation"]
        color, marker = _style(found, label)
        height = None if math.isnan(deviation) else 100 * deviation
        axes.errorbar(
            row["seconds_per_epoch"],
            100 * row["accuracy"],
            height,
            fmt=marker,
            color=color,
            markersize=8,
            elinewidth=1,
            capsize=3,
            label=_short(label),
        )
    axes.set_xlim(0, 1.12 * found.table["seconds_per_epoch"].max())
    axes.xaxis.set_major_locator(MaxNLocator(6))
    axes.set(xlabel="seconds an epoch", ylabel=f"{found.split} accuracy, %")
    axes.grid(alpha=0.3)
    axes.legend(frameon=False, loc="upper left", bbox_to_anchor=(1.0, 1.0))


def _style(found: Comparison, label: str) -> tuple[str, str]:
    """Return color and marker of a variant; the baseline is a black diamond."""
    if label == found.baseline:
        return "black", "D"
    place = list(found.contrasts).index(label)
    return _COLORS[place % len(_COLORS)], _MARKERS[place % len(_MARKERS)]


def _short(label: str) -> str:
    """Return a label for matplotlib in lines of at most 28 characters."""
    return textwrap.fill(printable(label), _LABEL).replace("$", r"\$")
