"""`find_lr`: the learning rate that a recipe's training calls for, by a sweep of the rate over its first steps."""

from __future__ import annotations

import math
import os
import warnings
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import keras
import numpy as np

from cnnrecipes._support import console
from cnnrecipes._support.garbage_collection import collect_garbage_afterwards
from cnnrecipes.debug.examined_training import opened_subject
from cnnrecipes.debug.rate_plot import plot_sweep
from cnnrecipes.debug.rate_suggestions import TAKES
from cnnrecipes.debug.rate_sweep import RateSweep, sweep
from cnnrecipes.debug.recipe_with_suggested_rate import check_recipe_path, write_recipe
from cnnrecipes.errors import DataError, RecipeError, TrainingError
from cnnrecipes.figures import drawable
from cnnrecipes.recipe import catalog, schema
from cnnrecipes.recipe.schema import Recipe
from cnnrecipes.training.seeding import undisturbed_random_numbers
from cnnrecipes.training.train_job import TrainJob

LOW, HIGH = 1e-6, 10.0
STEPS = 100  # with 3 seeds fewer than the 351 steps of an epoch of CIFAR-10 with batches of 128
SEEDS = 3
LEAST_STEPS = 20


@collect_garbage_afterwards
def find_lr(
    recipe: str | Path | Mapping[str, Any] | Recipe,
    data: Any = None,
    *,
    model: keras.Model | None = None,
    low: float = LOW,
    high: float = HIGH,
    steps: int = STEPS,
    seeds: int = SEEDS,
    take: str | None = None,
    seed: int | None = None,
    picture: str | os.PathLike | None = None,
    write: str | os.PathLike | None = None,
    overwrite: bool = False,
    progress: bool = True,
    **changes: Any,
) -> RateSweep:
    """Suggest a learning rate for a recipe: train its first steps at exponentially rising rates (Smith 2015).

    Nothing is changed but the files that are named: weights, optimizers and random number generators are restored, and
    a `fit` afterwards gives the same bits as one before.

    Args:
        recipe, data, seed, progress, changes: as in `fit`.
        model: your own model, images (N, H, W, C) in 0..255 -> logits (N, classes), instead of the recipe's; all seeds
            begin with its weights.
        low, high: the lowest and the highest `optimizer.learning_rate` of the sweep.
        steps: steps of a sweep, at most; it ends where the loss diverges.
        seeds: number of sweeps, each with other initial weights and other batches.
        take: the suggestion that is the answer, which `write` takes: "high", the upper end of the usable range;
            "valley", "steepest", or "minimum", a tenth of the rate with the lowest loss. None: "high" if the recipe's
            rate decays, else "valley".
        picture: file to plot the curves to (.png, .svg or .pdf); an existing one is replaced.
        write: recipe file to write, which extends `recipe` with the suggested rate; not written without a suggestion.
        overwrite: replace an existing recipe file.

    Returns:
        The rates and losses, and what they suggest; `suggested` is None if the curves are uninformative, and `str()`
        then says why.

    Raises:
        RecipeError: `low`, `high`, `steps`, `seeds` or `take` is invalid.
        DataError: all training images are in one batch.
        TrainingError: nothing is trained by steps; or the loss of the first step is not finite.
        WriteError: `picture` or `write` cannot be written, or `write` exists.
        CNNRecipesError: as for `fit`.
    """
    check_range(low, high, steps, seeds)
    check_take(take)
    if picture:
        drawable(picture)
    path = check_recipe_path(write, recipe, overwrite=overwrite) if write else None
    if model is None:
        check_has_rate(recipe, changes)
    rates = np.geomspace(low, high, steps)
    with (
        undisturbed_random_numbers(),
        opened_subject(recipe, data, model=model, seed=seed, progress=progress, changes=changes) as job,
    ):
        check_job(job)
        say = console.say if progress else console.silent
        found = sweep(job, rates, seeds, progress=progress, say=say)
    found = replace(found, take=take or found.take)
    if picture:
        plot_sweep(found, path=picture)
    if path and found.suggested:
        comment = f"{found.name} with the learning rate of find-lr: {found}"
        write_recipe(path, recipe, found.suggested, data=data, changes=changes, comment=comment)
    return found


def check_range(low: float, high: float, steps: int, seeds: int) -> None:
    """Raise RecipeError unless 0 < low < high are finite, and there are enough steps and seeds."""
    if not 0 < low < high < math.inf:
        raise RecipeError(
            f"the learning rates of a sweep go from {low:g} to {high:g}; give 0 < low < high, for example {LOW:g} and "
            f"{HIGH:g}"
        )
    if steps < LEAST_STEPS:
        raise RecipeError(
            f"a sweep of {steps} steps is too short for a curve; give {LEAST_STEPS} or more, {STEPS} by default"
        )
    if seeds < 1:
        raise RecipeError(f"a sweep with {seeds} seeds; give 1 or more, {SEEDS} by default")


def check_take(take: str | None) -> None:
    """Raise RecipeError unless `take` names a suggestion."""
    if take is not None and take not in TAKES:
        raise RecipeError(f"take = {take!r} is no suggestion of a sweep; give {', '.join(TAKES)}")


def check_has_rate(recipe: str | Path | Mapping[str, Any] | Recipe, changes: Mapping[str, Any]) -> None:
    """Raise TrainingError if the training of a recipe has no learning rate, before its data is opened."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the keys are applied again, and warn then
        transfer = catalog.load(recipe).change(**changes).transfer
    if not transfer.trains_by_steps:
        raise TrainingError(_without_rate(transfer))


def check_job(job: TrainJob) -> None:
    """Check that a job can be trained for a comparison of learning rates.

    Raises:
        TrainingError: it has no learning rate or nothing to train, or runs on several machines.
        DataError: all training images are in one batch, so that the noise of the batches cannot be told.
    """
    if not job.plan.trains_by_steps:
        raise TrainingError(_without_rate(job.recipe.transfer))
    if not job.model.inner.trainable_variables:
        raise TrainingError(f"the model {job.model.name!r} has no trainable weights; set `trainable` of some layers")
    if job.devices.workers > 1:
        raise TrainingError(
            f"learning rates are compared on one machine, and there are {job.devices.workers} workers; run the command "
            "outside of the cluster, or set devices.strategy=single"
        )
    if job.pipeline.steps_per_epoch < 2:
        images = len(job.pipeline.train.labels)
        raise DataError(
            f"the {images} training images are one batch of {job.pipeline.images_per_step}: a loss that varies from "
            f"batch to batch cannot be told from one that falls; set data.batch_size={max(images // 4, 1)} or lower"
        )


def _without_rate(transfer: schema.Transfer) -> str:
    return (
        f"transfer.how = {transfer.how!r} with transfer.head = {transfer.head!r} has no learning rate: the head is "
        "fitted by L-BFGS, not trained by steps. Set transfer.head=linear or mlp, or transfer.how=finetune or lora"
    )
