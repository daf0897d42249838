"""Pictures of a search: best so far, parallel coordinates, importances, slices; as files or in notebooks."""

from __future__ import annotations

import os
from collections.abc import Callable

import numpy as np
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure

from cnnrecipes.errors import RunError
from cnnrecipes.figures import Picture, drawable, save
from cnnrecipes.figures.svg import cut
from cnnrecipes.tuning.display.axes import NumberAxis
from cnnrecipes.tuning.display.charts import by_score, jitter
from cnnrecipes.tuning.display.page_writer import view_importances
from cnnrecipes.tuning.display.snapshot import Snapshot
from cnnrecipes.tuning.records import COMPLETED, FAILED, PRUNED, Trial

# Colors that are distinct to color-blind readers (Okabe & Ito 2008), and marks besides.
_DONE, _PRUNED, _FAILED, _BEST = "#0072B2", "#7F7F7F", "#B5400A", "#D55E00"
_MARKS = {COMPLETED: ("o", _DONE, _DONE), PRUNED: ("^", _PRUNED, "none"), FAILED: ("x", _FAILED, _FAILED)}
_FAILED_AT = -0.08  # of the height of a plot
_MOST = 12  # keys


def plot_search(view: Snapshot, what: str, path: str | os.PathLike | None = None) -> Figure:
    """Plot a search; arguments and errors as of `Search.plot`."""
    plots: dict[str, Callable[[Snapshot], Figure]] = {
        "progress": _progress,
        "parallel": _parallel,
        "importances": _importances,
        "slices": _slices,
    }
    if what not in plots:
        raise RunError(f"a search has no plot {what!r}; give one of {', '.join(plots)}")
    if not view.scored:
        raise RunError(
            f"no trial of the search {str(view.folder)!r} has a score to plot; the reasons are in `Search.trials`"
        )
    path = path and drawable(path)
    figure = plots[what](view)
    if path:
        save(figure, path)
    return figure


def _progress(view: Snapshot) -> Figure:
    figure = Picture(figsize=(8, 4.5), layout="constrained")
    axes = figure.subplots()
    _marks(axes, view, [(one, view.ends[one.trial] / 60) for one in view.trials if one.trial in view.ends])
    done = sorted((one for one in view.ranked if one.trial in view.ends), key=lambda one: view.ends[one.trial])
    times = [view.ends[one.trial] / 60 for one in done]
    scores = view.sign * np.maximum.accumulate([view.sign * (one.score or 0.0) for one in done])
    axes.step([*times, max(view.ends.values()) / 60], [*scores, *scores[-1:]], where="post", color=_BEST, zorder=1)
    axes.set_xlabel("minutes of work, without interruptions")
    return _finished(figure, view, axes)


def _slices(view: Snapshot) -> Figure:
    keys = _keys(view)
    columns = min(len(keys), 3)
    rows = -(-len(keys) // columns)
    figure = Picture(figsize=(3.6 * columns + 1.2, 2.9 * rows), layout="constrained")
    grid = figure.subplots(rows, columns, squeeze=False, sharey=True)
    for axes, key in zip(grid.flat, keys, strict=False):
        axis = view.axes[key]
        points = [(one, axis.place(one.values[key])) for one in view.trials if key in one.values]
        _marks(axes, view, [(one, x + jitter(axis, one.trial)) for one, x in points if x is not None])
        axes.set_xlim(-0.04, 1.04)
        axes.set_xticks([tick.place for tick in axis.ticks(5)], [cut(tick.text, 90) for tick in axis.ticks(5)])
        logarithmic = isinstance(axis, NumberAxis) and axis.log
        axes.set_xlabel(_plain(f"{key} (log)" if logarithmic else key))
    for axes in list(grid.flat)[len(keys) :]:
        axes.set_axis_off()
    return _finished(figure, view, *grid[:, 0])


def _parallel(view: Snapshot) -> Figure:
    keys = _keys(view)
    scale = [view.axes[key] for key in keys] + [view.score_axis]
    figure = Picture(figsize=(1.7 * len(scale) + 1, 4.5), layout="constrained")
    axes = figure.subplots()
    order = list(reversed(by_score(view)))
    shades = colormaps["cividis_r"](np.linspace(0.1, 1, len(order)))
    lines, colors = [], []
    for one, shade in zip(order, shades, strict=True):
        values = [one.values.get(key) for key in keys] + [one.score]
        places = [None if value is None else axis.place(value) for axis, value in zip(scale, values, strict=True)]
        heights = [
            _FAILED_AT if place is None else place + jitter(axis, one.trial, 0.25)
            for axis, place in zip(scale, places, strict=True)
        ]
        lines.append(list(enumerate(heights)))
        colors.append(_BEST if one.trial == view.best else shade)
    widths = [3.0 if one.trial == view.best else 1.2 for one in order]
    styles = ["solid" if one.status == COMPLETED else "dashed" for one in order]
    axes.add_collection(LineCollection(lines, colors=colors, linewidths=widths, linestyles=styles))
    for number, axis in enumerate(scale):
        axes.axvline(number, color="black", linewidth=0.8)
        for tick in axis.ticks(5 if isinstance(axis, NumberAxis) else 12):
            box = {"facecolor": "white", "edgecolor": "none", "alpha": 0.7, "pad": 0.8}
            axes.text(number + 0.04, tick.place, _plain(cut(tick.text, 100)), size=8, va="center", bbox=box)
    names = [_plain(name.replace(".", ".\n", 1)) for name in [*keys, view.objective]]
    axes.set(xlim=(-0.1, len(scale) - 0.5), ylim=(_FAILED_AT - 0.02, 1.02))
    axes.set_xticks(range(len(scale)), names)
    axes.set_yticks([])
    axes.spines[:].set_visible(False)
    axes.set_title(f"{len(order)} trials, better ones darker; the best orange; pruned dashed", size=9, loc="left")
    return figure


def _importances(view: Snapshot) -> Figure:
    found = view_importances(view)
    if not found.keys:
        raise RunError(found.sentence)
    keys = found.keys[: 2 * _MOST]
    figure = Picture(figsize=(8, 0.35 * len(keys) + 1.6), layout="constrained")
    axes = figure.subplots()
    colors = [_DONE if found.told and one.clear else "#BBBBBB" for one in keys]
    places = np.arange(len(keys))
    axes.barh(places, [one.value for one in keys], color=colors)
    axes.errorbar([one.value for one in keys], places, xerr=[2 * one.error for one in keys], fmt="none", ecolor="black")
    axes.axvline(0, color="black", linewidth=0.8)
    axes.set_yticks(places, [_plain(one.key) for one in keys])
    axes.invert_yaxis()
    axes.set_xlabel("share of the variance of the ranks, alone or with other keys, ± 2 standard errors")
    axes.set_title(_plain(found.sentence), size=8, loc="left", wrap=True)
    return figure


def _marks(axes: Axes, view: Snapshot, points: list[tuple[Trial, float]]) -> None:
    """Draw a mark for each (trial, x) of `points` at the trial's score; failed trials at the bottom."""
    for status, (marker, edge, face) in _MARKS.items():
        some = [(one, x) for one, x in points if one.status == status]
        if status == FAILED and some:
            level = axes.get_xaxis_transform()
            axes.scatter(
                [x for _, x in some], [0.02] * len(some), marker=marker, color=edge, label=status, transform=level
            )
        elif some:
            heights = [one.score or 0.0 for one, _ in some]
            axes.scatter([x for _, x in some], heights, marker=marker, edgecolors=edge, facecolors=face, label=status)
    best = [(one, x) for one, x in points if one.trial == view.best]
    for one, x in best:
        axes.scatter(
            [x], [one.score or 0.0], s=90, color=_BEST, edgecolors="black", zorder=3, label=f"best: trial {one.trial}"
        )
    axes.grid(alpha=0.3)


def _finished(figure: Figure, view: Snapshot, *first: Axes) -> Figure:
    """Label the axis of scores, and add a legend beside the plots."""
    for axes in first:
        axes.set_ylabel(view.objective)
        if view.score_axis.log:
            axes.set_yscale("log")
    if view.score_axis.percent:
        for axes in first:
            axes.yaxis.set_major_formatter(lambda value, _: f"{100 * value:.4g}%")
    known = {
        text: handle for axes in figure.axes for handle, text in zip(*axes.get_legend_handles_labels(), strict=True)
    }
    figure.legend(known.values(), known.keys(), loc="outside right upper", frameon=False, fontsize=8)
    return figure


def _keys(view: Snapshot) -> list[str]:
    """Return the keys that are plotted: of many the most important ones."""
    keys = [entry.key for entry in view.entries]
    if len(keys) <= _MOST:
        return keys
    known = [one.key for one in view_importances(view).keys]
    return (known + [key for key in keys if key not in known])[:_MOST]


def _plain(text: str) -> str:
    return text.replace("$", r"\$")  # which would begin a formula
