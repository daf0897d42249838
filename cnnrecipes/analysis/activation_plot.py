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

from cnnrecipes._support.figures import Picture, drawable, save
from cnnrecipes.errors import DataError

# More stages than this have no room for their names.
_MOST_STAGES = 12
_LETTER = 0.011  # the width of a letter of such a name, as a share of the panel's
# Column of a frame: line style, marker, the label of the axis where it is the only one, the name in a legend.
_STYLES = {
    "dead": ("-", "o", "share of dead channels", "dead: channels that only give their floor"),
    "saturated": ("--", "s", "share of saturated values", "saturated: values at a bound"),
}
_TITLE = "Size of activations over depth"


def plot_activation_statistics(
    frames: pd.DataFrame | Mapping[str, pd.DataFrame], path: str | os.PathLike | None = None, *, title: str = _TITLE
) -> Figure:
    """Two panels over depth: the standard deviation of what weighted layers give, on a log axis, and below the dead and
    saturated shares of activations.

    Depth counts convolutions and dense layers in the order of computation; an activation stands at the layer before it.

    Args:
        frames: of `activation_statistics`; or several with their labels, as `compare_initializations` gives them.
        path: also write it there, as .png, .svg or .pdf.
        title: what stands above, for example of which model and which images.

    Raises:
        DataError: no frame, or something else than a frame.
        ModelError: a bad suffix.
        WriteError: a path that cannot be written.
    """
    path = path and drawable(path)
    frames = _placed({"": frames} if isinstance(frames, pd.DataFrame) else frames)
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
    _explain_shares(below, list(frames.values()))
    _draw_stages((above, below), list(frames.values()))
    for axes in (above, below):
        axes.grid(axis="y", alpha=0.3)
    if path:
        save(figure, path)
    return figure


def growth_per_layer(frame: pd.DataFrame) -> float:
    """The factor by which a layer multiplies the standard deviation, from a straight line through log(std) over depth.

    Of convolutions and dense layers but the last, since the pooling before it shrinks what it gets. NaN if fewer than
    two of them have a finite standard deviation above 0.
    """
    std = frame.loc[frame["kind"] == "weighted", "std"].to_numpy()[:-1]
    depth = np.arange(len(std))[std > 0]
    if len(depth) < 2:
        return np.nan
    return float(np.exp(np.polyfit(depth, np.log(std[std > 0]), 1)[0]))


def _placed(frames: Mapping[str, pd.DataFrame]) -> dict[str, pd.DataFrame]:
    """Frames with a column `depth`: how many weighted layers there are up to each row."""
    if not isinstance(frames, Mapping) or not frames:
        raise DataError("no activation statistics to plot; give a frame of activation_statistics, or labels and frames")
    for label, frame in frames.items():
        if not isinstance(frame, pd.DataFrame) or not {"kind", "std", "dead", "saturated"} <= set(frame.columns):
            raise DataError(f"{label!r} is no frame of activation_statistics but {type(frame).__name__}")
    return {label: frame.assign(depth=(frame["kind"] == "weighted").cumsum()) for label, frame in frames.items()}


def _draw_std(axes: Any, frame: pd.DataFrame, label: str, color: str) -> None:
    rows = frame[frame["kind"] == "weighted"]
    shown = rows["std"].where(rows["std"] > 0)  # a log axis has no place for 0
    words = f"{label + ': ' if label else ''}x {growth_per_layer(frame):.2f} a layer"
    if shown.isna().any():
        words += f" (0 or not finite in {shown.isna().sum()} of {len(rows)} layers)"
    axes.plot(rows["depth"], shown, "o-", color=color, markersize=4, label=words)


def _draw_shares(axes: Any, frame: pd.DataFrame, label: str, color: str, size: float) -> None:
    for column, (line, marker, _, words) in _STYLES.items():
        rows = frame[frame[column].notna()]
        if len(rows):
            # Earlier lines have larger markers, so that equal shares of several nets all show.
            style = {"color": color, "marker": marker, "markersize": size, "linewidth": 1.2}
            name = f"{label}: {words.partition(':')[0]}" if label else words
            axes.plot(rows["depth"], rows[column], line, label=name, **style)


def _explain_shares(axes: Any, frames: list[pd.DataFrame]) -> None:
    """The axis says what its lines are where they are all of one kind; else a legend of the lines themselves does."""
    used = [column for column in _STYLES if any(frame[column].notna().any() for frame in frames)]
    axes.set_ylabel(_STYLES[used[0]][2] if len(used) == 1 else "share")
    if len(used) > 1:
        axes.legend(fontsize=9, ncols=1 if len(frames) == 1 else 2)
    if not used:
        axes.text(0.5, 0.5, "no activation that has a floor or a bound", ha="center", transform=axes.transAxes)


def _draw_stages(panels: tuple[Any, ...], frames: list[pd.DataFrame]) -> None:
    """Names of stages above, and lines between them, where all nets have the same."""
    weighted = [frame[frame["kind"] == "weighted"] for frame in frames]
    names = list(weighted[0]["stage"])
    runs = [(name, len(list(group))) for name, group in groupby(names)]
    if any(list(rows["stage"]) != names for rows in weighted) or len(runs) > _MOST_STAGES:
        return
    ends = np.cumsum([0.5, *(length for _, length in runs)])
    for axes in panels:
        axes.vlines(ends[1:-1], 0, 1, transform=axes.get_xaxis_transform(), color="0.8", linewidth=0.8, zorder=0)
    written: list[tuple[float, str]] = []
    # The widest first: a narrow stage beside it may have no room for its name.
    for k in sorted(range(len(runs)), key=lambda k: -runs[k][1]):
        name, middle = runs[k][0], (ends[k] + ends[k + 1]) / 2
        if all(abs(middle - m) / len(names) > _LETTER * (len(name) + len(n) + 2) / 2 for m, n in written):
            written.append((middle, name))
            place = {"xy": (middle, 1.01), "xycoords": ("data", "axes fraction"), "ha": "center", "va": "bottom"}
            panels[0].annotate(name, **place, size=9)


def _at_least_two_decades(low: float, high: float) -> tuple[float, float]:
    """Limits of a log axis on which what changes little looks so."""
    middle = np.sqrt(low) * np.sqrt(high)
    return min(low, middle / 10), max(high, middle * 10)
