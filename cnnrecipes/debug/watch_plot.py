"""Plot of the watched layers over the training: update ratios, gradient norms, dead channels, and histograms."""

from __future__ import annotations

import os
import textwrap
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.colors import LogNorm
from matplotlib.figure import Figure

from cnnrecipes._support.console import printable
from cnnrecipes.diagnosis.watch_findings import GUIDE, LayerFinding, worst_layer
from cnnrecipes.errors import DataError
from cnnrecipes.figures import Picture, drawable, title_lines, written
from cnnrecipes.runs.run import Run
from cnnrecipes.runs.watch_records import BINS, COLUMNS, EDGES

_PANELS = 6  # histograms
_WIDTH = 15.0  # inches
_ROW = 0.16  # inches of a layer in a heat map
_MOST_ROWS = 60  # layers, for which the figure becomes higher
_NAME = 30  # characters of a layer's name
_DECADES = 6.0  # of the colors of gradient norms, at most
_MISSING = "0.85"  # color of a layer without trained weights, or that was not measured


def plot_watch(run: Run | str | os.PathLike | pd.DataFrame, *, path: str | os.PathLike | None = None) -> Figure:
    """Plot update ratios, gradient norms, dead channels and histograms of activations over the watched steps.

    The color of the update ratio is logarithmic and white at 1e-3, that of the gradient norm logarithmic over the six
    decades below the largest; the axis of the steps has equal distances between the watched steps. The histograms are
    those of at most six layers in the order of computation, the one that stands out among them.

    Args:
        run: the run, the path of its folder, or the table of `Run.watch`.
        path: file to write the figure to (.png, .svg or .pdf); None: not written.

    Raises:
        RunError: the run was not watched.
        DataError: the table is not one of `Run.watch`, or empty.
        ModelError: an unsupported suffix.
        WriteError: the path cannot be written.
    """
    path = path and drawable(path)
    table = _checked(run if isinstance(run, pd.DataFrame) else Run.open(_folder(run)).watch())
    finding = worst_layer(table)
    weighted, gradients = (_grid(table, name, "weighted") for name in ("update_ratio", "gradient_norm"))
    floored = _grid(table, "dead")
    rows = min(max(len(weighted), len(gradients), len(floored), 8), _MOST_ROWS)
    heights = (0.8 + _ROW * rows, 3.6)
    figure = Picture(figsize=(_WIDTH, 0.8 + sum(heights)), layout="constrained")
    figure.suptitle(title_lines(finding.sentence, 150), size=11)
    grid = figure.add_gridspec(2, 1, height_ratios=heights)
    above, below = figure.add_subfigure(grid[0]), figure.add_subfigure(grid[1])
    left, middle, right = above.subplots(1, 3)
    norm = LogNorm(GUIDE / 1e3, GUIDE * 1e3)
    title = f"update ratio (white: the guide, {GUIDE:g})"
    _heat_map(left, weighted.clip(lower=norm.vmin), finding.layer, title, {"cmap": "RdBu_r", "norm": norm})
    gradients, norm = _clipped(gradients)
    _heat_map(middle, gradients, finding.layer, "gradient norm", {"cmap": "viridis", "norm": norm})
    _heat_map(right, floored, finding.layer, "share of dead channels", {"cmap": "magma_r", "vmin": 0, "vmax": 1})
    names = _shown_layers(table, finding)
    for axes, name in zip(below.subplots(1, len(names), sharey=True, squeeze=False).flat, names, strict=True):
        _histograms(axes, table[table["layer"] == name], name, bold=name == finding.layer)
    below.axes[0].set_ylabel("output of the layer")
    below.supxlabel("completed steps; color: share of the output's values (darker: more)", size=10)
    return written(figure, path)


def write_watch(run: Run | str | os.PathLike, *, path: str | os.PathLike) -> LayerFinding:
    """Write the figure of `plot_watch` to `path`, and return the layer that stands out; see `plot_watch`."""
    drawable(path)  # before the work
    table = Run.open(_folder(run)).watch()
    plot_watch(table, path=path)
    return worst_layer(table)


def _folder(run: Any) -> Any:
    return Path(run) if isinstance(run, os.PathLike) else run


def _checked(table: pd.DataFrame) -> pd.DataFrame:
    """Return the table, of layers called several times only the last call."""
    if missing := [name for name in COLUMNS if name not in table.columns]:
        raise DataError(f"the table has no column {', '.join(missing[:5])}; give the result of Run.watch")
    if table.empty:
        raise DataError("the table has no rows; give the result of Run.watch")
    return table.drop_duplicates(["step", "layer"], keep="last")


def _grid(table: pd.DataFrame, column: str, kind: str | None = None) -> pd.DataFrame:
    """Return a column as layers in order of computation x steps, without layers that never have a value."""
    rows = table[table[column].notna() & ((table["kind"] == kind) if kind else True)]
    grid = rows.pivot(index="layer", columns="step", values=column)
    order = [name for name in dict.fromkeys(table["layer"]) if name in grid.index]
    return grid.loc[order].reindex(columns=sorted(set(table["step"])))


def _clipped(gradients: pd.DataFrame) -> tuple[pd.DataFrame, LogNorm]:
    """Return gradient norms, infinite ones as missing, and logarithmic colors over the six decades below the largest.

    Norms of 0, of a layer that no gradient reaches, have the lowest color.
    """
    gradients = gradients.where(np.isfinite(gradients))
    positive = gradients.where(gradients > 0)
    high = float(np.nanmax(positive.to_numpy(float), initial=1e-30))
    low = max(float(np.nanmin(positive.to_numpy(float), initial=high)), high / 10**_DECADES)
    norm = LogNorm(min(low, high / 10), high)
    return gradients.clip(lower=norm.vmin), norm


def _heat_map(axes: Any, grid: pd.DataFrame, worst: str, title: str, colors: dict[str, Any]) -> None:
    """Draw layers x steps; `colors` are arguments of `imshow`."""
    axes.set_title(title, size=10)
    if grid.empty:
        axes.text(0.5, 0.5, "no layer has one", ha="center", transform=axes.transAxes)
        axes.set(xticks=[], yticks=[])
        return
    axes.set_facecolor(_MISSING)
    image = axes.imshow(np.ma.masked_invalid(grid.to_numpy(float)), aspect="auto", interpolation="nearest", **colors)
    aspect = _ROW * max(len(grid), 8) / 0.12  # the bar is as wide in a high figure
    axes.figure.colorbar(
        image, ax=axes, pad=0.01, aspect=aspect, fraction=0.04, extend="both" if "norm" in colors else "neither"
    )
    every = -(-len(grid) // _MOST_ROWS)
    shown = [place for place, name in enumerate(grid.index) if place % every == 0 or name == worst]
    axes.set_yticks(shown, [_name(grid.index[place]) for place in shown], size=8)
    for place, label in zip(shown, axes.get_yticklabels(), strict=True):
        label.set_weight("bold" if grid.index[place] == worst else "normal")
    _label_steps(axes, grid.columns.tolist())
    axes.set_xlabel("completed steps")


def _histograms(axes: Any, rows: pd.DataFrame, name: str, *, bold: bool) -> None:
    """Draw the histogram of a layer's output for each step as a column of colors; magnitudes double from bin to bin."""
    counts = rows[list(BINS)].to_numpy(float).T
    shares = counts / np.maximum(counts.sum(axis=0), 1)
    axes.imshow(np.ma.masked_equal(shares, 0), aspect="auto", origin="lower", cmap="viridis_r", vmin=0, vmax=0.3)
    words = _name(name).replace("_", "_ ")  # lines end after an underscore
    axes.set_title(
        "\n".join(line.replace("_ ", "_") for line in textwrap.wrap(words, 22)),
        size=9,
        weight="bold" if bold else "normal",
    )
    edges = {-64: "-64", -8: "-8", -1: "-1", -1 / 8: "-1/8", 1 / 8: "1/8", 1: "1", 8: "8", 64: "64"}
    axes.set_yticks([int(np.flatnonzero(edge == EDGES)[0]) - 0.5 for edge in edges], list(edges.values()))
    axes.tick_params(labelsize=8)
    _label_steps(axes, rows["step"].tolist(), most=3)


def _label_steps(axes: Any, steps: Sequence[Any], most: int = 6) -> None:
    places = np.unique(np.linspace(0, len(steps) - 1, min(most, len(steps))).round().astype(int))
    axes.set_xticks(places, [f"{steps[place]:,}" for place in places], size=8)


def _shown_layers(table: pd.DataFrame, finding: LayerFinding) -> list[str]:
    """Return the layers whose histograms are drawn: convolutions and dense layers over the depth, and the worst."""
    order = list(dict.fromkeys(table["layer"]))
    weighted = list(dict.fromkeys(table.loc[table["kind"] == "weighted", "layer"])) or order
    places = np.unique(np.linspace(0, len(weighted) - 1, min(_PANELS, len(weighted))).round().astype(int))
    chosen = [weighted[place] for place in places]
    if finding.layer not in chosen:
        nearest = min(range(len(chosen)), key=lambda n: abs(order.index(chosen[n]) - order.index(finding.layer)))
        chosen[nearest] = finding.layer
    return sorted(chosen, key=order.index)


def _name(name: str) -> str:
    name = printable(name).replace("$", r"\$")
    return name if len(name) <= _NAME else f"{name[: _NAME // 2 - 1]}…{name[-_NAME // 2 :]}"
