"""`rate_grid`: a coarse grid of short trainings over learning rate and weight decay (CS231n, hyperparameter search)."""

from __future__ import annotations

import math
import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from cnnrecipes._support import console
from cnnrecipes._support.garbage_collection import collect_garbage_afterwards
from cnnrecipes.debug.examined_training import opened_subject
from cnnrecipes.debug.find_lr import check_has_rate, check_job
from cnnrecipes.debug.rate_grid_plot import plot_grid
from cnnrecipes.debug.rate_grid_result import Cell, RateGrid
from cnnrecipes.debug.short_training import at_given_rates, set_values, train, validate, with_recipe
from cnnrecipes.errors import DataError, RecipeError, counted
from cnnrecipes.figures import drawable
from cnnrecipes.keras_optim.recipe_schedule import RecipeSchedule, build_schedule
from cnnrecipes.recipe import catalog
from cnnrecipes.recipe.schema import Recipe, dotted
from cnnrecipes.training.given_rates import GivenRates, rates_of
from cnnrecipes.training.seeding import seeded, undisturbed_random_numbers
from cnnrecipes.training.train_job import TrainJob

EPOCHS = 3
FACTORS = (0.1, 10**-0.5, 1.0, 10**0.5, 10.0)  # of the recipe's learning rate
DECAY_FACTORS = (0.1, 1.0, 10.0)  # of the recipe's weight decay
DECAYS = (0.0, 1e-4, 1e-3)  # for a recipe without weight decay
LEAST_STEPS = 10
DIVERGED = 2.0  # a training loss of so many times that of a uniform prediction has diverged


@dataclass(frozen=True)
class Length:
    """Length of the training of a cell: `epochs` epochs, or one "epoch" of `steps` steps if they are given."""

    epochs: int
    steps: int | None

    def parts(self, steps_per_epoch: int) -> list[int]:
        """Return the steps of each part of the training; the training loss is the mean over the last part."""
        if self.steps is None:
            return [steps_per_epoch] * self.epochs
        return [self.steps - self.steps // 2, self.steps // 2]

    def __str__(self) -> str:
        return counted(self.epochs, "epoch") if self.steps is None else counted(self.steps, "step")


@collect_garbage_afterwards
def rate_grid(
    recipe: str | Path | Mapping[str, Any] | Recipe,
    data: Any = None,
    *,
    model: keras.Model | None = None,
    rates: Sequence[float] | None = None,
    decays: Sequence[float] | None = None,
    epochs: int | None = None,
    steps: int | None = None,
    seed: int | None = None,
    picture: str | os.PathLike | None = None,
    progress: bool = True,
    **changes: Any,
) -> RateGrid:
    """Train a recipe shortly at every learning rate and weight decay of a grid, and return the validation accuracies.

    All trainings have the same seed, and so the same initial weights, batches and augmentation; each has the recipe's
    whole schedule, shortened to its length. Nothing is written but the picture, and nothing is changed: a `fit`
    afterwards gives the same bits as one before.

    Args:
        recipe, data, seed, progress, changes: as in `fit`.
        model: as in `find_lr`.
        rates: values of `optimizer.learning_rate`; None: the recipe's times 0.1, 0.32, 1, 3.2 and 10.
        decays: values of `optimizer.weight_decay`; None: the recipe's times 0.1, 1 and 10; or 0, 1e-4 and 1e-3.
        epochs: epochs of each training; None: `train.epochs` of `changes`, or 3.
        steps: steps of each training, instead of epochs.
        picture: file to write a heat map to (.png, .svg or .pdf); an existing one is replaced.

    Raises:
        RecipeError: `rates`, `decays`, `epochs` or `steps` is invalid, or both `epochs` and `steps` are given.
        DataError: there is no validation split, or all training images are in one batch.
        TrainingError: nothing is trained by steps.
        WriteError: `picture` cannot be written.
        CNNRecipesError: as for `fit`.
    """
    if epochs is not None and steps is not None:
        raise RecipeError(
            f"epochs (--epochs) is {epochs} and steps (--steps) is {steps}, and both are the length of a training; "
            "give one of them"
        )
    changes = dotted(changes)
    length = _length(epochs if epochs is not None else changes.pop("train.epochs", EPOCHS), steps)
    if picture:
        drawable(picture)
    if model is None:
        check_has_rate(recipe, changes)
    table = catalog.load(recipe).change(**changes).optimizer
    given_rates = _rising("learning rates", rates, [table.learning_rate * factor for factor in FACTORS])
    own = [table.weight_decay * factor for factor in DECAY_FACTORS] if table.weight_decay else [*DECAYS]
    given_decays = _rising("weight decays", decays, own, zero=True)
    # Stops that depend on the validation or on the time have no place in a comparison of equal trainings.
    changes |= {"train.epochs": length.epochs, "train.early_stopping": None, "train.time_budget": None}
    with (
        undisturbed_random_numbers(),
        opened_subject(recipe, data, model=model, seed=seed, progress=progress, changes=changes) as job,
    ):
        check_job(job)
        if not (images := job.pipeline.images("validation")):
            raise DataError("a grid is compared on the validation split, and there is none; set data.validation > 0")
        say = console.say if progress else console.silent
        trainings = tuple(_cells(job, given_rates, given_decays, length, say))
    found = RateGrid(job.recipe.name, trainings, str(length), images, table.learning_rate, table.weight_decay)
    if picture:
        plot_grid(found, path=picture)
    return found


def _length(epochs: int, steps: int | None) -> Length:
    """Return the length of a training. Raises RecipeError if it is too short."""
    if steps is not None and steps < LEAST_STEPS:
        raise RecipeError(f"trainings of {steps} steps are too short to compare; give {LEAST_STEPS} or more")
    if epochs < 1:
        raise RecipeError(f"trainings of {epochs} epochs; give 1 or more, {EPOCHS} by default, or a number of steps")
    return Length(epochs if steps is None else 1, steps)


def _rising(what: str, given: Sequence[float] | None, default: Sequence[float], zero: bool = False) -> list[float]:
    """Return the values of one axis, rising, without duplicates and rounded to two digits if they are not given.

    Raises:
        RecipeError: a value is not positive (or not zero either), or not finite; or there is none.
    """
    values = [float(f"{value:.2g}") for value in default] if given is None else [float(value) for value in given]
    if bad := [value for value in values if not (0 < value < math.inf or (zero and value == 0))]:
        allowed = "0 or more" if zero else "above 0"
        raise RecipeError(f"the {what} of the grid have {bad[0]:g}; give finite numbers {allowed}")
    if not values:
        raise RecipeError(f"the grid has no {what}; give one or more")
    return sorted(set(values))


def _cells(
    job: TrainJob, rates: list[float], decays: list[float], length: Length, say: Callable[[str], None]
) -> Iterator[Cell]:
    """Yield the trainings of the grid; after the first one, tell how long the others will take."""
    count, parts = len(rates) * len(decays), length.parts(job.pipeline.steps_per_epoch)
    say(f"{count} trainings of {length} ({sum(parts):,} steps each)")
    for number, decay in enumerate(decays):
        own, given = _with_decay(job, decay), GivenRates(sum(parts))
        with at_given_rates(own, given) as initial:
            batches = iter(own.validation_batches())
            for rate in rates:
                started = time.monotonic()
                set_values(own, initial)
                given.set(_rates_of_steps(own, rate, length))
                loss, compiling = _trained(own, parts, say)
                accuracy = validate(own, batches)[1] if loss else math.nan
                seconds = time.monotonic() - started
                if number == 0 and rate == rates[0] and count > 1:
                    left = (count - 1) * (seconds - compiling) + (len(decays) - 1) * compiling
                    say(f"the first took {seconds:.0f} s; about {_duration(left)} for the others")
                yield Cell(rate, decay, accuracy, loss or math.nan, loss is None, seconds)


def _with_decay(job: TrainJob, decay: float) -> TrainJob:
    """Return a job with another weight decay; the decay is a constant of the training function, unlike the rate."""
    recipe = job.recipe.change(**{"optimizer.weight_decay": decay})
    if recipe == job.recipe:
        return job
    with seeded(recipe.train.seed):
        return TrainJob.build(with_recipe(job.plan, recipe), job.devices)


def _rates_of_steps(job: TrainJob, rate: float, length: Length) -> np.ndarray:
    """Return the learning rate of each step by the recipe's schedule with the peak `rate`."""
    table = job.recipe.optimizer.model_copy(update={"learning_rate": rate})
    steps = length.steps or job.pipeline.steps_per_epoch
    schedule: RecipeSchedule = build_schedule(table, job.recipe.train, steps, job.pipeline.images_per_step)
    return rates_of(schedule)


def _trained(job: TrainJob, parts: Sequence[int], say: Callable[[str], None]) -> tuple[float | None, float]:
    """Train a cell; return its training loss, None if it diverged, and the seconds of compiling."""
    losses, compiling = train(job, parts, say)
    classes = len(job.pipeline.class_names)
    guess = float(job.model.compute_loss(y=tf.eye(classes), y_pred=tf.zeros((classes, classes))))
    return (losses[-1] if losses[-1] < DIVERGED * guess else None), compiling


def _duration(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 100 else f"{seconds / 60:.0f} min"
