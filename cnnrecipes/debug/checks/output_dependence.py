"""Checks of a model's outputs: they depend on the image, and on no other image of the batch."""

from __future__ import annotations

import keras
import numpy as np
import tensorflow as tf

from cnnrecipes.debug.checks.check import FAIL, OK, WARNING, Check
from cnnrecipes.debug.checks.forward_backward_passes import LossFunction, logits_of, loss_and_gradients
from cnnrecipes.models.graph import all_layers
from cnnrecipes.models.small_gradient_steps import MOST_STEPS, small_step
from cnnrecipes.models.variable_snapshot import restored

_CONSTANT, _WEAK = 1e-6, 1e-3  # spread of the logits over images, relative to their size
_ROUNDING = 1e-3  # difference of logits that rounding in other orders may explain, relative to their size


def check_output_depends_on_input(
    model: keras.Model, images: np.ndarray, loss: LossFunction, labels: np.ndarray
) -> Check:
    """Check that different images have different logits at inference, within four small steps; weights are restored.

    Args:
        model: images (N, ...) -> logits (N, classes).
        images, labels: a batch of different images, with labels (N, classes).
        loss: the loss of the training, for the steps, which a head of zeros needs.
    """
    name = "output depends on input"
    spread = 0.0
    with restored(model):
        for step in range(MOST_STEPS + 1):
            logits = logits_of(model, images).astype(np.float64)
            spread = float(logits.std(axis=0).mean() / (np.abs(logits).max() + 1e-12))
            if spread > _CONSTANT or step == MOST_STEPS:
                break
            small_step(model.trainable_variables, loss_and_gradients(model, loss, images, labels)[1])
    measured = f"logits vary over {len(images)} images by {spread:.1e} of their size"
    remedy = "look for dead activations, weights of 0, inputs that are almost constant, or a lost connection"
    if spread <= _CONSTANT:
        return Check(name, FAIL, f"all {len(images)} images have the same logits", remedy)
    return Check(name, WARNING, measured, remedy) if spread < _WEAK else Check(name, OK, measured)


def check_independent_samples(model: keras.Model, images: np.ndarray) -> Check:
    """Check that the logits of an image do not depend on the other images of its batch.

    At inference always, in training mode if the model has no batch norm, which mixes the images of a batch as intended.
    Random states are restored between the two batches that are compared.

    Args:
        model: images (N, H, W, C) -> logits (N, classes).
        images: a batch of at least 2 images.
    """
    name = "samples are independent"
    norms = [layer for layer in all_layers(model) if _mixes(layer)]
    modes = (False,) if norms else (False, True)
    others = images.copy()
    others[1:] = images[1:].max() - images[1:][::-1]
    for training in modes:
        difference = _difference(model, images, others, training)
        if difference > _ROUNDING:
            mode = "in training mode" if training else "at inference"
            what = f"{mode}, the logits of an image change by {difference:.1%} with the other images of its batch"
            remedy = "look for a reshape, transpose, mean or softmax over the first axis"
            return Check(name, FAIL, what, remedy)
    if norms:
        return Check(name, OK, "at inference; in training mode batch norm mixes the images of a batch, as intended")
    return Check(name, OK, "at inference and in training mode")


def _mixes(layer: keras.layers.Layer) -> bool:
    """Return True for a batch norm that normalizes by the statistics of the batch in training mode."""
    is_norm = isinstance(layer, keras.layers.BatchNormalization)
    return is_norm and layer.trainable and not getattr(layer, "frozen_statistics", False)


def _difference(model: keras.Model, images: np.ndarray, others: np.ndarray, training: bool) -> float:
    """Return how much the logits of the first image differ between two batches, relative to their size."""
    made = []
    for batch in (images, others):
        with restored(model):
            made.append(logits_of(model, tf.convert_to_tensor(batch), training=training))
    size = max(np.abs(made[0]).max(), np.abs(made[1]).max())
    return float(np.abs(made[0][0] - made[1][0]).max() / (size + 1e-12))
