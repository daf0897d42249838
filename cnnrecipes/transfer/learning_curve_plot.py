"""Plot of a learning curve: accuracy with its interval over the number of training images."""

from __future__ import annotations

import os
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from cnnrecipes.figures import Picture, drawable, title_lines, written
from cnnrecipes.transfer.learning_curves import learning_curve


def plot_learning_curve(curve: pd.DataFrame, *, path: str | os.PathLike | None = None) -> Figure:
    """Plot the accuracy over the number of training images, on a logarithmic axis, with the power law if it fits.

    Args:
        curve: result of `learning_curve`.
        path: file to write the figure to (.png, .svg or .pdf); None: not written.

    Raises:
        ModelError: an unsupported suffix.
        WriteError: the path cannot be written.
    """
    path = path and drawable(path)
    figure = Picture(figsize=(7, 4), layout="constrained")
    axes = figure.subplots()
    axes.fill_between(curve["images"], 100 * curve["low"], 100 * curve["high"], alpha=0.2, label="95% interval")
    axes.plot(curve["images"], 100 * curve["accuracy"], "C0-o", label="mean over the repeats")
    doubling = curve.attrs.get("doubling")
    if doubling is not None and doubling.law is not None and not (doubling.is_bad or doubling.is_flat):
        used = curve["images"].tail(doubling.sizes)
        images = np.geomspace(used.iloc[0], 2 * doubling.images, 100)
        axes.plot(images, 100 * (1 - doubling.law.error(images)), "C1--", label="power law, to twice the images")
    axes.set_xscale("log")
    axes.set_xticks(curve["images"], [f"{count:,}" for count in curve["images"]])
    axes.minorticks_off()
    axes.set(xlabel="training images", ylabel="validation accuracy, %")
    axes.grid(alpha=0.3)
    axes.legend(frameon=False, loc="lower right")
    axes.set_title(title_lines(str(doubling or ""), 90), fontsize=9)
    return written(figure, path)


def write_learning_curve(recipe: Any, data: Any = None, *, path: str | os.PathLike, **options: Any) -> pd.DataFrame:
    """Return the result of `learning_curve`, and write its plot.

    Args:
        recipe, data, options: as in `learning_curve`.
        path: file to write the plot to (.png, .svg or .pdf); an existing one is replaced.

    Raises:
        ModelError: an unsupported suffix.
        WriteError: the path cannot be written.
        CNNRecipesError: as for `learning_curve`.
    """
    drawable(path)  # before the work
    curve = learning_curve(recipe, data, **options)
    plot_learning_curve(curve, path=path)
    return curve
