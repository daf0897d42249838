"""Plots of learning rate schedules: of a recipe, and of a run that is extended."""

from __future__ import annotations

import os
import textwrap
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf
from matplotlib.figure import Figure

from cnnrecipes.data import batch_sampler
from cnnrecipes.data.train_subset import with_train_images
from cnnrecipes.data.unreadable_files import open_readable
from cnnrecipes.errors import RecipeError
from cnnrecipes.figures import Picture, drawable, written
from cnnrecipes.keras_optim.recipe_schedule import RecipeSchedule, build_schedule
from cnnrecipes.optim.schedule_registry import SCHEDULES
from cnnrecipes.recipe import catalog
from cnnrecipes.recipe.schema import Recipe
from cnnrecipes.runs.extension import extended
from cnnrecipes.runs.run import Run

NOMINAL_STEPS = 100  # steps per epoch if unknown and irrelevant to the curve
_POINTS = 4000


def plot_schedule(
    recipe: str | Path | Recipe,
    *,
    data: Any = None,
    steps_per_epoch: int | None = None,
    mark_epoch: int | None = None,
    path: str | os.PathLike | None = None,
) -> Figure:
    """Plot the learning rate over the epochs, on a linear and on a logarithmic axis.

    Args:
        recipe: name of a shipped recipe, path of a TOML file, or a Recipe.
        data: see `fit`; determines the steps per epoch. None: no data is opened.
        steps_per_epoch: used in place of those of `data`; None: 100.
        mark_epoch: last epoch of a training before its extension, marked by a line.
        path: file to write the figure to (.png, .svg or .pdf); None: not written.

    Raises:
        RecipeError: a schedule longer than the training, or a schedule in steps without `steps_per_epoch` or `data`.
        DataError: the data cannot be read.
        ModelError: an unsupported suffix.
        WriteError: the path cannot be written.
    """
    path = path and drawable(path)
    recipe = catalog.load(recipe)
    steps = steps_per_epoch or _steps(recipe, data)
    if isinstance(steps, bool) or not isinstance(steps, int) or steps < 1:
        raise RecipeError(f"steps_per_epoch is {steps_per_epoch!r}; give a positive integer")
    planned = build_schedule(recipe.optimizer, recipe.train, steps, recipe.data.batch_size)
    epochs, rates = _rates(planned)
    figure = Picture(figsize=(8.5, 5.5), layout="constrained")
    above, below = figure.subplots(2, 1, sharex=True, height_ratios=(3, 2))
    for axes in (above, below):
        axes.plot(epochs, rates, drawstyle="steps-post" if len(epochs) < 200 else "default")
        axes.grid(alpha=0.3)
        if mark_epoch:
            axes.axvline(mark_epoch, color="0.4", linestyle=":", label=f"extended after epoch {mark_epoch:g}")
    above.set_ylabel("learning rate")
    below.set_ylabel("learning rate, log axis")
    if mark_epoch:
        above.legend(fontsize=9)
    lowest = rates[rates > 0].min() if (rates > 0).any() else 1e-12
    below.set_yscale("log", nonpositive="mask")
    below.set_ylim(max(lowest, planned.peak * 1e-6) / 2, planned.peak * 2)
    by_time = recipe.train.time_budget is not None
    below.set_xlabel(f"epoch, of {recipe.train.epochs}" + (", or the same share of the time budget" if by_time else ""))
    title = _title(recipe, planned, steps if steps_per_epoch or data is not None else None)
    above.set_title(textwrap.fill(title, 100, break_long_words=False), fontsize=10)
    return written(figure, path)


def plot_extension(
    run: str | Path | Run,
    epochs: int,
    *,
    schedule: str,
    learning_rate: float | None = None,
    path: str | os.PathLike | None = None,
) -> Figure:
    """Plot the learning rate of a finished run with the additional epochs of `extend`, without training.

    A dotted line marks the end of the finished run.

    Args:
        run: the finished run, or the path of its folder.
        epochs, schedule, learning_rate: as for `extend`.
        path: also write the plot there, as .png, .svg or .pdf.

    Raises:
        RunError: the run does not exist or is unfinished, or its last checkpoint is missing.
        RecipeError: `epochs`, `schedule` or `learning_rate` is invalid.
        ModelError: the suffix of `path` is not supported.
        WriteError: `path` cannot be written.
    """
    longer, start = extended(Run.open(run), epochs, schedule, learning_rate)
    state = start.state
    return plot_schedule(longer, steps_per_epoch=state.steps_per_epoch, mark_epoch=state.epoch, path=path)


def _rates(planned: RecipeSchedule) -> tuple[np.ndarray, np.ndarray]:
    """Return epochs and learning rates at every step, or at _POINTS evenly spaced steps."""
    total = planned.total_steps
    steps = np.unique(np.linspace(0, total - 1, min(total, _POINTS)).round())
    rate = tf.function(planned, autograph=False)  # called eagerly, thousands of steps take half a minute
    rates = []
    for step in steps:
        if planned.position is not None:
            planned.position.assign(step)
        rates.append(float(rate(tf.constant(step, tf.float32))))
    return steps / planned.steps_per_epoch, np.array(rates)


def _steps(recipe: Recipe, data: Any) -> int:
    """Return the steps per epoch of the data, or NOMINAL_STEPS if no duration of the recipe is in steps."""
    if data is not None:
        source = with_train_images(open_readable(data, recipe.data)[0], recipe)
        return batch_sampler.steps_per_epoch(source.split("train"), recipe.data)
    durations = [recipe.optimizer.warmup, *SCHEDULES.parse(recipe.optimizer.schedule).durations()]
    if any(duration.unit == "steps" for duration in durations):
        raise RecipeError(
            "the schedule has durations in steps, and the steps per epoch depend on the data; give steps_per_epoch "
            "(--steps-per-epoch on the command line), or data"
        )
    return NOMINAL_STEPS


def _title(recipe: Recipe, planned: RecipeSchedule, steps: int | None) -> str:
    spec = recipe.optimizer
    parts = [f"{recipe.name}: {spec.name}, {spec.schedule}", f"peak {planned.peak:g}"]
    if spec.warmup.amount:
        parts.append(f"warm-up {spec.warmup}")
    if steps:
        parts.append(f"{steps} steps per epoch")
    if planned.plateau:
        parts.append("drops on a validation plateau are not shown")
    return ", ".join(parts)
