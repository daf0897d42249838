"""`write_report`: the page of a run, written from its files, its predictions and its data."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from cnnrecipes._support.atomic_files import check_writable, write_text
from cnnrecipes._support.user_cache import storable
from cnnrecipes.data.batch_sampler import steps_per_epoch
from cnnrecipes.data.sources.random_access_dataset import Source
from cnnrecipes.errors import RecipeError
from cnnrecipes.keras_optim.recipe_schedule import RecipeSchedule, build_schedule
from cnnrecipes.optim.schedule_registry import SCHEDULES
from cnnrecipes.recipe.schema import Recipe
from cnnrecipes.report.facts import Facts, facts_of
from cnnrecipes.report.page import page
from cnnrecipes.report.pictures import opened_data
from cnnrecipes.runs.run import Run

REPORT = "report.html"
_NOMINAL_STEPS = 100  # steps per epoch, where they are unknown and do not matter
_POINTS = 300  # of the planned learning rate


def write_report(
    run: Run | str | os.PathLike, data: Any = None, *, pictures: bool = True, path: str | os.PathLike | None = None
) -> Path:
    """Write the report of a run as one HTML file that loads nothing, and return its path.

    It is made from the files of the run: nothing is evaluated again. A run that is unfinished, has failed, or whose
    data have been moved has a report with less in it, which says what is missing.

    Args:
        run: the run, or the path of its folder.
        data: the data that was passed to `fit`, for the pictures; None: the data set of the run's recipe.
        pictures: show images of the data, with Grad-CAM.
        path: file to write; None: report.html in the run folder.

    Raises:
        RunError: not a run folder, or its recipe.toml is damaged.
        WriteError: the file cannot be written.
    """
    run = Run.open(Path(run) if isinstance(run, os.PathLike) else run)
    target = run.folder / REPORT if path is None else check_writable(path)
    with gathered(run, data, pictures=pictures) as facts:
        return write_page(facts, target)


@contextlib.contextmanager
def gathered(run: Run, data: Any = None, *, pictures: bool = True) -> Iterator[Facts]:
    """Yield all facts of a run, with its data open if pictures are wanted and it is there."""
    facts = facts_of(run)
    if not pictures:
        facts.why["data"] = "pictures were not asked for"
        facts.rates = planned_rates(run.recipe)
        yield facts
        return
    with opened_data(run, data, facts.class_names) as (source, why):
        facts.source = source
        if source is not None:
            facts.images = {name: len(split) for name, split in source.splits.items()}
        if why:
            facts.why["data"] = why
        steps = steps_per_epoch(source.split("train"), run.recipe.data) if source is not None else None
        facts.rates = planned_rates(run.recipe, steps)
        yield facts


def write_page(facts: Facts, path: Path) -> Path:
    """Write the page of the facts atomically, and return its path. Raises WriteError."""
    write_text(path, storable(page(facts)))
    return path


def write_page_during_training(run: Run, rates: np.ndarray | None) -> Path:
    """Write report.html of a training that is running: curves, diagnosis and layers so far, in milliseconds.

    Raises:
        WriteError: the file cannot be written.
    """
    facts = facts_of(run, training=True)
    facts.rates = rates
    facts.why |= dict.fromkeys(("predictions", "data"), "it follows at the end of the training")
    return write_page(facts, run.folder / REPORT)


def write_page_after_training(run: Run, source: Source | None, rates: np.ndarray | None, left_out: str = "") -> Path:
    """Write report.html at the end of a training.

    Args:
        run: finished, or ended by an error.
        source: its data, open; None: there are no pictures.
        rates: the planned learning rate, see `planned_rates`.
        left_out: the reason for which Grad-CAM, the augmented batch and the search for copies are left out, a main
            clause; "" if they are not.

    Raises:
        WriteError: the file cannot be written.
    """
    facts = facts_of(run, source=source, thorough=not left_out)
    facts.rates = rates
    if left_out:
        facts.why["thorough"] = f"{left_out}: `{facts.how_to_write}` adds it" if run.finished else left_out
    return write_page(facts, run.folder / REPORT)


def planned_rates(recipe: Recipe, steps: int | None = None) -> np.ndarray | None:
    """Return the planned learning rate of a recipe, (P, 2): epoch and rate; None if it depends on more.

    Args:
        recipe: the recipe.
        steps: steps per epoch; None: unknown, and a schedule in steps has no plan then.
    """
    if not recipe.transfer.trains_by_steps:
        return None
    durations = [recipe.optimizer.warmup, *SCHEDULES.parse(recipe.optimizer.schedule).durations()]
    if steps is None and any(duration.unit == "steps" for duration in durations):
        return None
    try:
        planned = build_schedule(recipe.optimizer, recipe.train, steps or _NOMINAL_STEPS, recipe.data.batch_size)
    except RecipeError:
        return None
    return _sampled(planned)


def _sampled(planned: RecipeSchedule) -> np.ndarray | None:
    if planned.plateau is not None or planned.position is not None:  # depends on the validation, or on the time
        return None
    total = planned.total_steps
    steps = np.unique(np.linspace(0, total - 1, min(total, _POINTS)).round())
    rates = np.broadcast_to(planned(tf.constant(steps, tf.float32)).numpy(), steps.shape)
    return np.stack([steps / planned.steps_per_epoch, rates.astype(float)], axis=1)
