"""Plot of a throughput profile: one bar of the training step's parts, above the input pipeline that runs beside it."""

from __future__ import annotations

import os
from typing import Any

from matplotlib.figure import Figure

from cnnrecipes.debug.profile import Profile, profile
from cnnrecipes.figures import Picture, drawable, title_lines, written

COLORS = {
    "waiting for input": "0.6",
    "augmentation": "C4",
    "forward": "C0",
    "backward": "C3",
    "update": "C2",
    "read": "C8",
    "decode": "C1",
}
_LEAST = 0.06  # share of the axis from which a part has its time written in it


def plot_profile(found: Profile, *, path: str | os.PathLike | None = None) -> Figure:
    """Plot a training step as one bar of its parts, and the input pipeline alone as another.

    Args:
        found: result of `profile`.
        path: file to write the figure to (.png, .svg or .pdf); None: not written.

    Raises:
        ModelError: an unsupported suffix.
        WriteError: the path cannot be written.
    """
    path = path and drawable(path)
    figure = Picture(figsize=(9, 3.4), layout="constrained")
    axes = figure.subplots()
    step = dict(zip(found.table["part"], found.table["seconds"], strict=True))
    most = max(found.training, found.input, sum(step.values()))
    _bar(axes, 1, step, most)
    _bar(axes, 0, {name: share * found.input for name, share in found.input_shares.items()}, most)
    axes.set_yticks([1, 0], ["training step", "input pipeline\nalone"])
    axes.set(xlim=(0, 1e3 * most), ylim=(-0.5, 1.5), xlabel=f"milliseconds for a batch of {found.batch_size} images")
    handles, labels = axes.get_legend_handles_labels()
    unique = dict(zip(labels, handles, strict=True))
    figure.legend(unique.values(), unique.keys(), loc="outside lower center", ncols=min(len(unique), 6), frameon=False)
    axes.set_title(title_lines(f"{found.model} on {found.device} is {found}", 105), size=10)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    return written(figure, path)


def write_profile(recipe: Any, data: Any = None, *, path: str | os.PathLike, **options: Any) -> Profile:
    """Return the result of `profile`, and write its plot to `path`; arguments and errors as those of both."""
    drawable(path)  # before the work
    found = profile(recipe, data, **options)
    plot_profile(found, path=path)
    return found


def _bar(axes: Any, height: float, parts: dict[str, float], most: float) -> None:
    start = 0.0
    for name, seconds in parts.items():
        if seconds <= 0:
            continue
        axes.barh(height, 1e3 * seconds, 0.6, left=1e3 * start, color=COLORS[name], label=name)
        if seconds > _LEAST * most:
            middle = 1e3 * (start + seconds / 2)
            axes.text(middle, height, f"{1e3 * seconds:.3g}", ha="center", va="center", color="white", size=10)
        start += seconds
