"""Timing of the parts of a training step, each in a compiled function of its own, and of the whole step."""

from __future__ import annotations

import functools
import statistics
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import keras
import tensorflow as tf

from cnnrecipes._support.progress import watch
from cnnrecipes.models.variable_snapshot import restored
from cnnrecipes.runs.training_progress import TrainState
from cnnrecipes.training.train_job import TrainJob
from cnnrecipes.training.training_step import TrainModel
from cnnrecipes.training.xla_fallback import fit_without_xla_if_it_fails

WARM_UP = 2  # calls that are not timed: they compile, and choose kernels


@dataclass(frozen=True)
class StepTimes:
    """Median seconds of a training step on a batch in memory, and of its parts.

    Attributes:
        whole: the step.
        augmentation: of the batch in the step; 0 if the input pipeline augments.
        forward: the forward pass and the loss.
        backward: the gradients, measured together with the forward pass, without its time.
        update: the optimizer and the weight averages.
    """

    whole: float
    augmentation: float
    forward: float
    backward: float
    update: float


def step_times(job: TrainJob, steps: int, *, progress: bool = False) -> StepTimes:
    """Time a training step and its parts, in turn, so that a slower machine slows all of them.

    The variables of the job are restored afterwards.

    Args:
        job: a training on one device.
        steps: timed calls of each function.
        progress: show a progress bar.
    """
    with restored(_variables(job.model)):
        batch = next(iter(job.training_batches(0, 1)))
        calls = steps + WARM_UP + 1
        whole = compiled_step(job, lambda: iter(tf.data.Dataset.from_tensors(batch).repeat(calls)), calls)
        functions = {"whole": whole, **_parts(job.model, batch)}
        taken: dict[str, list[float]] = {name: [] for name in functions}
        for number in watch(range(steps + WARM_UP), "steps", steps + WARM_UP, progress):
            for name, function in functions.items():
                seconds = timed(function)
                if number >= WARM_UP:
                    taken[name].append(seconds)
    medians = {name: statistics.median(seconds) for name, seconds in taken.items()}
    backward = max(medians["gradients"] - medians["forward"], 0.0)
    augmentation = medians.get("augmentation", 0.0)
    return StepTimes(medians["whole"], augmentation, medians["forward"], backward, medians["update"])


def training_seconds(job: TrainJob, steps: int) -> float:
    """Return the mean seconds of a training step with its batches from the input pipeline.

    The first steps, which take batches that were prepared while nothing was computed, are not timed. The variables of
    the job are restored afterwards.
    """
    warm_up = WARM_UP + steps // 2
    with restored(_variables(job.model)):
        step = training_function(job, iter(job.training_batches(0, warm_up + steps)), warm_up + steps)
        for _ in range(warm_up):
            step()
        start = time.perf_counter()
        for _ in range(steps):
            timed(step)
        return (time.perf_counter() - start) / steps


def compiled_step(job: TrainJob, batches: Callable[[], Iterator], steps: int) -> Callable[[], Any]:
    """Return a function that trains the next step; the first step is done, without XLA if it cannot compile it.

    Args:
        batches: returns the batches of `steps` steps, from the first.
    """
    made: list[Callable] = []

    def compile_step() -> None:
        made[:] = [training_function(job, batches(), steps)]
        made[0]()

    fit_without_xla_if_it_fails(compile_step, job.model, lambda text: None)
    return made[0]


def training_function(job: TrainJob, batches: Iterator, steps: int) -> Callable[[], Any]:
    """Return a function that trains the next step on the batches, of which there are `steps`."""
    model = job.model
    model.progress = TrainState(steps_per_epoch=steps)
    model.make_train_function()
    train: Any = model.train_function
    return functools.partial(train, batches)


def timed(function: Callable[[], Any]) -> float:
    """Return the seconds of a call, from devices that have finished all work to devices that have again."""
    tf.test.experimental.sync_devices()
    start = time.perf_counter()
    function()
    tf.test.experimental.sync_devices()
    return time.perf_counter() - start


def _parts(model: TrainModel, batch: Any) -> dict[str, Callable[[], Any]]:
    """Return functions of the augmentation, of the forward pass, of the gradients and of the update."""
    augment = tf.function(model.augmented, autograph=False)
    images, labels = augment(batch)

    def loss(images, labels):
        logits = model.inner(images, training=True)
        return tf.cast(model.compute_loss(x=images, y=labels, y_pred=logits, training=True), tf.float32)

    def forward(images, labels):
        if model.microbatches == 1:
            return loss(images, labels)
        sliced = [tf.reshape(x, (model.microbatches, -1, *x.shape[1:])) for x in (images, labels)]
        return tf.map_fn(lambda one: loss(*one), sliced, parallel_iterations=1, fn_output_signature=tf.float32)

    compiled = {
        name: tf.function(function, autograph=False, jit_compile=model.jit_compile)
        for name, function in (("forward", forward), ("gradients", model.loss_and_gradients), ("update", model.update))
    }
    found = compiled["gradients"](images, labels)[2]
    parts = {
        "forward": lambda: compiled["forward"](images, labels),
        "gradients": lambda: compiled["gradients"](images, labels),
        "update": lambda: compiled["update"](found),
    }
    return {"augmentation": lambda: augment(batch), **parts} if model.augments else parts


def _variables(model: TrainModel) -> list[keras.Variable]:
    """Return the variables that a training step changes."""
    return [variable for group in model.checkpoint_variables().values() for variable in group]
