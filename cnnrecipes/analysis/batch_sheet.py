"""Plot of a training batch before and after augmentation, with its labels."""

from __future__ import annotations

import os
import textwrap
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from cnnrecipes.analysis.grayscale_mosaic import shades
from cnnrecipes.data.batch_preview import mean_color, step_images
from cnnrecipes.data.input_pipeline import InputPipeline
from cnnrecipes.data.unreadable_files import warn_unreadable
from cnnrecipes.errors import RecipeError
from cnnrecipes.figures import Picture, drawable, label_lines, written
from cnnrecipes.recipe import catalog
from cnnrecipes.recipe.schema import Recipe

TILE = 1.15  # inches


def plot_batch(
    recipe: str | Path | Recipe,
    *,
    data: Any = None,
    step: int = 0,
    images: int = 8,
    per_op: bool = False,
    path: str | os.PathLike | None = None,
    **changes: Any,
) -> Figure:
    """Plot the first images of a training step before and after augmentation, with their labels.

    Unreadable files are left out, as in training, with a warning that names the first.

    Args:
        recipe, data, changes: see `fit`.
        step: global training step, from 0.
        images: number of images to show.
        per_op: draw one row per operation, applied alone, instead of one row for all operations in order.
        path: file to write the figure to (.png, .svg or .pdf); None: not written.

    Raises:
        RecipeError: the training has no such step, or `images` is below 1.
        CNNRecipesError: the recipe is invalid, or the data cannot be read.
    """
    path = path and drawable(path)
    recipe = catalog.load(recipe).change(**changes)
    ops = recipe.augment.ops
    lists = [[], *([op] for op in ops)] if per_op else [[], list(ops)]
    names = ["as stored", *(ops if per_op else [" ".join(ops) or "no augmentation"])]
    with InputPipeline.open(recipe, data) as pipeline:
        source = pipeline.source
        warn_unreadable(pipeline.unreadable, pipeline.images(*source.splits))
        steps = recipe.train.epochs * pipeline.steps_per_epoch
        if not 0 <= step < steps:
            raise RecipeError(f"step is {step}, whose batch is to be shown; this training has steps 0 to {steps - 1}")
        if images < 1:
            raise RecipeError(f"images is {images}; show at least one")
        mean = mean_color(source, recipe)
        rows = [step_images(source, recipe.change(**{"augment.ops": some}), mean, step, images) for some in lists]
    title = f"{recipe.name}: the first {len(rows[0][0])} images of training step {step}, and the network's input"
    figure = _draw(title, names, rows, source.class_names)
    return written(figure, path)


def _draw(
    title: str, names: Sequence[str], rows: Sequence[tuple[np.ndarray, np.ndarray]], class_names: Sequence[str]
) -> Figure:
    columns, aspect = len(rows[0][0]), rows[0][0].shape[1] / rows[0][0].shape[2]
    size = (2.2 + TILE * columns, 0.4 + (TILE * aspect + 0.35) * len(rows))
    figure = Picture(figsize=size, layout="constrained")
    figure.suptitle(textwrap.fill(title, int(11 * size[0])), size=10)
    grid = figure.subplots(len(rows), columns, squeeze=False)
    per_line = len(rows) > 2
    for line, name, (images, labels) in zip(grid, names, rows, strict=True):
        for axes, image, label in zip(line, images, labels, strict=True):
            axes.imshow(shades(image), vmin=0, vmax=1, interpolation="nearest")
            axes.set_title(label_lines(label, class_names, TILE, 8), size=8, pad=2)
            axes.set(xticks=[], yticks=[])
        # Break the line of a single operation before its parameters, of several between them.
        text = name.replace("(", "\n(", 1) if per_line else name.replace(" ", "\n")
        line[0].set_ylabel(text if len(name) > 24 else name, size=8, rotation=0, ha="right", va="center")
    return figure
