"""Short trainings of a job, from its initial values and at given learning rates, which leave the job as it was."""

from __future__ import annotations

import contextlib
import copy
import dataclasses
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from cnnrecipes._support import keras_settings
from cnnrecipes.models.variable_snapshot import restored
from cnnrecipes.recipe.schema import Recipe
from cnnrecipes.runs.training_progress import TrainState
from cnnrecipes.training.given_rates import GivenRates
from cnnrecipes.training.model_plan import ModelPlan
from cnnrecipes.training.seeding import seeded
from cnnrecipes.training.train_job import TrainJob
from cnnrecipes.training.trainer import EXECUTION_SECONDS, naming_memory
from cnnrecipes.training.xla_fallback import fit_without_xla_if_it_fails
from cnnrecipes.transfer.plan import HeadPlan


def all_values(job: TrainJob) -> list[np.ndarray]:
    """Return the values of all variables of a job: of model, optimizer, averages, schedule, metrics and counters."""
    return [np.asarray(variable.numpy()) for variable in job.all_variables()]


def set_values(job: TrainJob, values: Sequence[np.ndarray]) -> None:
    """Set what `all_values` returned, of this job or one of the same recipe with other initial weights."""
    for variable, value in zip(job.all_variables(), values, strict=True):
        variable.assign(value)


@contextlib.contextmanager
def at_given_rates(job: TrainJob, rates: GivenRates) -> Iterator[list[np.ndarray]]:
    """Train at `rates` in the `with` block, and restore the job on exit: all variables, its schedule and its progress.

    Yields the values of all variables; out of memory and unreadable images are named.
    """
    model = job.model
    progress, xla = model.progress, model.jit_compile
    model.optimizer.learning_rate = rates
    # Functions that were built before have the job's own schedule.
    model.train_function = model.test_function = None
    try:
        with restored(job.all_variables()) as kept, naming_memory(job), job.pipeline.naming_unreadable():
            yield kept.values
    finally:
        model.optimizer.learning_rate = job.schedule
        model.train_function = model.test_function = None
        model.progress, model.jit_compile = progress, xla


def with_recipe(plan: ModelPlan, recipe: Recipe) -> ModelPlan:
    """Return the plan with another recipe on the same data, whose statistics and features are not computed again."""
    pipeline = copy.copy(plan.pipeline)
    pipeline.recipe = recipe
    return dataclasses.replace(plan, pipeline=pipeline)


def drawn_values(job: TrainJob, seed: int) -> list[np.ndarray]:
    """Return the initial values of all variables as another seed draws them, of a job that has its own ones.

    What is not drawn is the same: pretrained weights, a head that was fitted to features, a given model.
    """
    plan = with_recipe(job.plan, job.recipe.change(**{"train.seed": seed}))
    with keras_settings.float32(), seeded(seed):
        if isinstance(plan, HeadPlan):
            plan = plan.redrawn()
        return all_values(TrainJob.build(plan, job.devices))


def train(job: TrainJob, parts: Sequence[int], say: Callable[[str], None]) -> tuple[list[float], float]:
    """Train on the first batches, and return the mean losses of the parts, and the seconds of the first two calls.

    The training ends with the first part whose loss is not finite.

    Args:
        parts: numbers of steps, for example an epoch each.
        say: receives a message if XLA fails.
    """
    losses: list[float] = []
    durations: list[float] = []

    def run() -> None:
        batches = iter(job.training_batches(0, sum(parts)))
        for steps in parts:
            losses.append(_part(job, batches, steps, durations))
            if not np.isfinite(losses[-1]):
                return

    fit_without_xla_if_it_fails(run, job.model, say)
    return losses, sum(durations[:2])


def _part(job: TrainJob, batches: Iterator, steps: int, durations: list[float]) -> float:
    """Train some steps and return their mean loss; append the seconds of the first calls to `durations`."""
    model, execute, loss = job.model, train_function(job), float("nan")
    model.progress = state = TrainState(steps_per_epoch=steps)
    reset_metrics(job)
    while state.step < steps:
        # Single steps until one is timed; the first compiles.
        state.steps_per_execution = 1
        if len(durations) > 2:
            state.steps_per_execution = max(round(EXECUTION_SECONDS / durations[2]), 1)
        started = time.perf_counter()
        loss = float(execute(batches)["loss"])
        durations += [time.perf_counter() - started] if len(durations) < 3 else []
        if not np.isfinite(loss):
            break
    return loss


def validate(job: TrainJob, batches: Iterator) -> tuple[float, float]:
    """Return loss and accuracy of the evaluation weights on the validation split.

    Args:
        batches: iterator over `job.validation_batches()`, at the start of a pass.
    """
    steps = job.pipeline.evaluation_steps("validation", job.devices.count)
    job.model.make_test_function()
    execute: Any = job.model.test_function
    reset_metrics(job)
    with job.model.measured():
        found = execute(batches, tf.constant(steps))
    return float(found["loss"]), float(found["accuracy"])


def train_function(job: TrainJob) -> Callable[[Iterator], dict[str, tf.Tensor]]:
    """Return the training function of a job, which trains as many steps as `job.model.progress` says."""
    job.model.make_train_function()
    made: Any = job.model.train_function
    return made


def reset_metrics(job: TrainJob) -> None:
    """Reset the metrics of a job, also if it keeps them for the rest of a resumed epoch."""
    for metric in job.model.metrics:
        metric.reset_state()
