"""Plot of activation statistics over depth, for one or several models."""

from __future__ import annotations

import os
from collections.abc import Mapping
from itertools import groupby
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from cnnrecipes.errors import DataError
from cnnrecipes.figures import Picture, drawable, written

# With more stages than this, their names do not fit.
_MOST_STAGES = 12
_LETTER = 0.011  # width of a letter of a stage name, as a share of the panel's width
# Column of a frame: line style, marker, axis label if it is the only one, name in the legend.
_STYLES = {
    "dead": ("-", "o", "share of dead channels", "dead: channels always at their floor"),
    "saturated": ("--", "s", "share of saturated values", "saturated: values at a bound"),
}
_TITLE = "Size of activations over depth"


def plot_activation_statistics(
    frames: pd.DataFrame | Mapping[str, pd.DataFrame], path: str | os.PathLike | None = None, *, title: str = _TITLE
) -> Figure:
    """Plot the standard deviation of layer outputs and the shares of dead and saturated activations over depth.

    Depth counts convolutions and dense layers in the order of computation; an activation has the depth of the layer
    before it.

    Args:
        frames: the frame of `activation_statistics`, or a mapping of labels to several, for example the result of
            `compare_initializations`.
        path: file to write the figure to (.png, .svg or .pdf); None: not written.
        title: title of the figure, for example the model and the images.

    Raises:
        DataError: no frame, or a value that is not a frame of `activation_statistics`.
        ModelError: an unsupported suffix.
        WriteError: the path cannot be written.
    """
    path = path and drawable(path)
    frames = _with_depth({"": frames} if isinstance(frames, pd.DataFrame) else frames)
    figure = Picture(figsize=(8.5, 7), layout="constrained")
    figure.suptitle(title, size=11)
    above, below = figure.subplots(2, 1, sharex=True, height_ratios=(3, 2))
    for i, (label, frame) in enumerate(frames.items()):
        _draw_std(above, frame, label, f"C{i % 10}")
        _draw_shares(below, frame, label, f"C{i % 10}", size=3 + 8 * (1 - (i + 1) / len(frames)))
    above.set(yscale="log", ylabel="standard deviation of a layer's output")
    above.set_ylim(*_at_least_two_decades(*above.get_ylim()))
    above.legend(fontsize=9)
    below.set(ylim=(-0.05, 1.05), xlabel="depth: convolutions and dense layers, from input to output")
    below.set_xlim(0.5, max(int(frame["depth"].max()) for frame in frames.values()) + 0.5)
    below.xaxis.set_major_locator(MaxNLocator(integer=True))
    _label_shares(below, list(frames.values()))
    _draw_stages((above, below), list(frames.values()))
    for axes in (above, below):
        axes.grid(axis="y", alpha=0.3)
    return written(figure, path)


def growth_per_layer(frame: pd.DataFrame) -> float:
    """Return the factor by which a layer multiplies the standard deviation, from a linear fit of log(std) over depth.

    Covers convolutions and dense layers except the last, whose input is reduced by pooling. NaN if fewer than two of
    them have a finite standard deviation above 0.
    """
    std = frame.loc[frame["kind"] == "weighted", "std"].to_numpy()[:-1]
    depth = np.arange(len(std))[std > 0]
    if len(depth) < 2:
        return np.nan
    return float(np.exp(np.polyfit(depth, np.log(std[std > 0]), 1)[0]))


def _with_depth(frames: Mapping[str, pd.DataFrame]) -> dict[str, pd.DataFrame]:
    """Add a column `depth` to each frame: the number of weighted layers up to the row."""
    if not isinstance(frames, Mapping) or not frames:
        raise DataError("no activation statistics to plot; give a frame of activation_statistics, or labels and frames")
    for label, frame in frames.items():
        if not isinstance(frame, pd.DataFrame) or not {"kind", "std", "dead", "saturated"} <= set(frame.columns):
            raise DataError(f"{label!r} is {type(frame).__name__}, not a result of activation_statistics; give one")
    return {label: frame.assign(depth=(frame["kind"] == "weighted").cumsum()) for label, frame in frames.items()}


def _draw_std(axes: Any, frame: pd.DataFrame, label: str, color: str) -> None:
    rows = frame[frame["kind"] == "weighted"]
    shown = rows["std"].where(rows["std"] > 0)  # a log axis cannot show 0
    words = f"{label + ': ' if label else ''}x {growth_per_layer(frame):.2f} a layer"
    if shown.isna().any():
        words += f" (0 or not finite in {shown.isna().sum()} of {len(rows)} layers)"
    axes.plot(rows["depth"], shown, "o-", color=color, markersize=4, label=words)


def _draw_shares(axes: Any, frame: pd.DataFrame, label: str, color: str, size: float) -> None:
    for column, (line, marker, _, words) in _STYLES.items():
        rows = frame[frame[column].notna()]
        if len(rows):
            # Earlier lines have larger markers, so that equal shares of several models remain visible.
            style = {"color": color, "marker": marker, "markersize": size, "linewidth": 1.2}
            name = f"{label}: {words.partition(':')[0]}" if label else words
            axes.plot(rows["depth"], rows[column], line, label=name, **style)


def _label_shares(axes: Any, frames: list[pd.DataFrame]) -> None:
    """Label the axis if all lines are of one kind; otherwise add a legend."""
    used = [column for column in _STYLES if any(frame[column].notna().any() for frame in frames)]
    axes.set_ylabel(_STYLES[used[0]][2] if len(used) == 1 else "share")
    if len(used) > 1:
        axes.legend(fontsize=9, ncols=1 if len(frames) == 1 else 2)
    if not used:
        axes.text(0.5, 0.5, "no activation with a floor or a bound", ha="center", transform=axes.transAxes)


def _draw_stages(panels: tuple[Any, ...], frames: list[pd.DataFrame]) -> None:
    """Draw the names of the stages and lines between them, if all models have the same stages."""
    weighted = [frame[frame["kind"] == "weighted"] for frame in frames]
    names = list(weighted[0]["stage"])
    runs = [(name, len(list(group))) for name, group in groupby(names)]
    if any(list(rows["stage"]) != names for rows in weighted) or len(runs) > _MOST_STAGES:
        return
    ends = np.cumsum([0.5, *(length for _, length in runs)])
    for axes in panels:
        axes.vlines(ends[1:-1], 0, 1, transform=axes.get_xaxis_transform(), color="0.8", linewidth=0.8, zorder=0)
    written: list[tuple[float, str]] = []
    # The widest first: the name of a narrow stage beside it may not fit.
    for k in sorted(range(len(runs)), key=lambda k: -runs[k][1]):
        name, middle = runs[k][0], (ends[k] + ends[k + 1]) / 2
        if all(abs(middle - m) / len(names) > _LETTER * (len(name) + len(n) + 2) / 2 for m, n in written):
            written.append((middle, name))
            place = {"xy": (middle, 1.01), "xycoords": ("data", "axes fraction"), "ha": "center", "va": "bottom"}
            panels[0].annotate(name, **place, size=9)


def _at_least_two_decades(low: float, high: float) -> tuple[float, float]:
    """Return limits of a log axis that contain `low` and `high` and span at least two decades."""
    middle = np.sqrt(low) * np.sqrt(high)
    return min(low, middle / 10), max(high, middle * 10)
