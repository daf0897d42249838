"""Compile and `model.fit`, with the callbacks of a run."""

from __future__ import annotations

import contextlib
import random
from collections.abc import Iterator, Sequence
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf

from cnnrecipes import recipe
from cnnrecipes.training.callbacks import Checkpoints, EpochRecord, HistoryFile
from cnnrecipes.training.device_half import AugmentingModel
from cnnrecipes.training.losses import WeightedCrossEntropy
from cnnrecipes.training.optimizers import optimizer
from cnnrecipes.training.progress import ProgressDisplay
from cnnrecipes.training.schedules import schedule


@contextlib.contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Keras' random numbers from `seed`; Python's and NumPy's generators go on afterwards as if nothing had been."""
    states = random.getstate(), np.random.get_state()
    keras.utils.set_random_seed(seed)
    try:
        yield
    finally:
        random.setstate(states[0])
        np.random.set_state(states[1])


def compile_model(
    model: keras.Model, spec: recipe.Train, steps_per_epoch: int, weights: Sequence[float] | None = None
) -> None:
    """Set optimizer, loss and metrics of a model that gives logits, for one-hot labels; weights are the classes'."""
    loss = keras.losses.CategoricalCrossentropy(from_logits=True, label_smoothing=spec.label_smoothing)
    model.compile(
        optimizer=optimizer(spec, model, schedule(spec, steps_per_epoch)),
        loss=WeightedCrossEntropy(weights, spec.label_smoothing) if weights else loss,
        weighted_metrics=[
            keras.metrics.CategoricalAccuracy(name="accuracy"),
            keras.metrics.CategoricalCrossentropy(from_logits=True, name="cross_entropy"),
        ],
        # XLA makes convolutional nets slower on a CPU, and does not know the operations of every augmentation.
        jit_compile="auto"
        if tf.config.list_physical_devices("GPU") and not isinstance(model, AugmentingModel)
        else False,
    )


def train(
    model: keras.Model,
    training: tf.data.Dataset,
    validation: tf.data.Dataset | None,
    spec: recipe.Train,
    folder: Path,
    *,
    progress: bool = True,
) -> int:
    """Fit a compiled model as the recipe says, and leave the weights that it wants kept in the model.

    Args:
        training: the batches of all `spec.epochs`, in whole epochs, as `pipeline.training_batches` has them.
        validation: batches of images, one-hot labels and weights, or None.
        folder: gets history.csv, checkpoints/ and tensorboard/.

    Returns:
        the epoch, from 1, whose weights are in the model.

    Raises:
        TrainingError: the loss is no longer finite.
    """
    steps_per_epoch = int(training.cardinality()) // spec.epochs
    checkpoints = Checkpoints(folder / "checkpoints")
    display = ProgressDisplay(steps_per_epoch) if progress else None
    callbacks = [
        EpochRecord(tf.nest.flatten(training.element_spec)[0].shape[0]),
        HistoryFile(folder / "history.csv"),
        checkpoints,
        keras.callbacks.TensorBoard(folder / "tensorboard", write_graph=False),
        *([display] if display else []),
    ]
    try:
        model.fit(
            training,
            validation_data=validation,
            epochs=spec.epochs,
            steps_per_epoch=steps_per_epoch,
            callbacks=callbacks,
            shuffle=False,
            verbose=0,
        )
    finally:
        if display:
            display.close()
    if spec.artefact == "last":
        return spec.epochs
    model.load_weights(checkpoints.best)
    return checkpoints.best_epoch
