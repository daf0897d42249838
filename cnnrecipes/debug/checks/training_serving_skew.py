"""Check for training-serving skew: the evaluation in the training pipeline equals the artifact's prediction."""

from __future__ import annotations

from typing import Any

import numpy as np
import tensorflow as tf

from cnnrecipes.data.images.decode import decode
from cnnrecipes.data.sources.random_access_dataset import Split
from cnnrecipes.debug.checks.check import FAIL, OK, WARNING, Check
from cnnrecipes.runs.trained_model import Artifact, softmax
from cnnrecipes.training import precision
from cnnrecipes.training.train_job import TrainJob

_EQUAL, _CLOSE = 1e-5, 0.02  # of probabilities; between them lies the rounding of mixed precision


def check_prediction(job: TrainJob, artifact: Artifact) -> Check:
    """Check that the evaluation in training gives the probabilities that `predict` of the artifact gives.

    The training evaluates batches of its pipeline with the model in training; `predict` reads the same images itself.
    A difference is one of decoding, resizing, standardization or weights, or a layer that acts otherwise in `predict`.

    Args:
        job: the training.
        artifact: the artifact with the weights of the job's model now.
    """
    name = "evaluation equals prediction"
    split = "validation" if job.pipeline.images("validation") else "train"
    inputs, _, weights = next(job.pipeline.evaluation_batches(split).as_numpy_iterator())
    with job.model.measured():
        logits = tf.cast(job.model.inner(tf.convert_to_tensor(inputs), training=False), tf.float32).numpy()
    evaluated = softmax(logits)[weights > 0]
    raw = _raw(job.pipeline.source.split(split), len(evaluated), artifact.input_shape[-1])
    predicted = artifact.probabilities(raw)
    difference = float(np.abs(evaluated - predicted).max())
    measured = f"probabilities of {len(evaluated)} {split} images differ by {difference:.1e} at most"
    if difference <= _EQUAL:
        return Check(name, OK, measured)
    remedy = "look for a layer that behaves otherwise at each call, or for a random layer that is active at inference"
    if difference <= _CLOSE:
        is_rounded = precision.chosen(job.recipe.train) != "float32"
        return Check(name, OK if is_rounded else WARNING, measured, "" if is_rounded else remedy)
    return Check(name, FAIL, measured, remedy)


def _raw(split: Split, count: int, channels: int) -> list[Any]:
    """Return the first images of a split as a user gives them to `predict`: paths, or arrays."""
    if (files := split.files()) is not None:
        return files[:count]
    images = [split.read(index)[0] for index in range(count)]
    return [decode(one, channels).numpy() if isinstance(one, bytes) else one for one in images]
