"""Preconditions of an experiment on a model: shapes that fit the data, and finite outputs, loss and gradients."""

from __future__ import annotations

import keras
import numpy as np
import tensorflow as tf

from cnnrecipes.debug.checks.forward_backward_passes import LossFunction, layer_of, loss_and_gradients
from cnnrecipes.errors import ModelError, TrainingError
from cnnrecipes.models.graph import calls, parameters, run
from cnnrecipes.models.variable_snapshot import restored


def require_model(model: keras.Model | None) -> None:
    """Raise ModelError unless a given model, if there is one, has one input and one output of known shapes."""
    if model is None:
        return
    try:
        shapes = model.input_shape, model.output_shape
    except AttributeError:
        name = getattr(model, "name", type(model).__name__)
        raise ModelError(
            f"{name} has no input and output shapes; give a keras.Model that is functional, or a sequential one with "
            "keras.Input"
        ) from None
    if not all(isinstance(shape, tuple) for shape in shapes):
        raise ModelError(f"{model.name} has several inputs or outputs; give a model from images to logits")


def require_shapes(model: keras.Model, image_shape: tuple[int, ...], classes: int) -> None:
    """Raise ModelError unless a model takes images of a shape (H, W, C) and returns (N, classes)."""
    given, made = tuple(model.input_shape[1:]), tuple(model.output_shape)
    if len(given) != len(image_shape) or any(a not in (None, b) for a, b in zip(given, image_shape, strict=True)):
        raise ModelError(
            f"{model.name} takes images {given}, the data has {image_shape}; set data.image_size and data.channels, or "
            "build the model for this shape"
        )
    if made[1:] != (classes,):
        raise ModelError(
            f"{model.name} returns outputs {made}, the data has {classes} classes; its last layer must return "
            f"(N, {classes}), one logit a class"
        )


def require_finite(model: keras.Model, loss: LossFunction, images: np.ndarray, labels: np.ndarray) -> None:
    """Raise TrainingError if outputs, loss or gradients are NaN or infinite before the first step, with the layer.

    All variables of the model are restored.
    """
    with restored(model):
        value, gradients = loss_and_gradients(model, loss, images, labels)
    weights = [v.path for v in model.variables if v.dtype.startswith("float") and not np.isfinite(v.numpy()).all()]
    if weights:
        raise TrainingError(
            f"the weight {weights[0]} has values that are NaN or infinite before the first step; load other weights, "
            "or initialize it again"
        )
    if not np.isfinite(value):
        with restored(model):
            where = _first_layer(model, images)
        raise TrainingError(
            f"the loss of the first step is {value}: {where}; check what this layer computes (a division by 0, a "
            "logarithm or root of values below 0, an overflow), the range of the inputs, and the initialization"
        )
    trained = zip(model.trainable_variables, gradients, strict=True)
    broken = [layer_of(v) for v, g in trained if g is not None and not np.isfinite(g).all()]
    if broken:
        # A gradient becomes NaN at one layer, and all layers before it get it: the last one is nearest to the cause.
        raise TrainingError(
            f"the gradient of the first step is NaN or infinite, from the layer {broken[-1]!r} back to the inputs, "
            "although the loss is finite; look for a root or a norm of 0, or a division by 0, after this layer"
        )


def _first_layer(model: keras.Model, images: np.ndarray) -> str:
    """Return a clause that names the first layer whose output is not finite in training mode."""
    try:
        found = calls(model)
        steps = run(found, tf.convert_to_tensor(images.astype(model.inputs[0].dtype)), training=True)
        for call, value in steps:
            values = tf.cast(value, tf.float32).numpy()
            finite = np.isfinite(values).reshape(len(values), -1).all(axis=1)
            if not finite.all():
                what = "NaN" if np.isnan(values).any() else "infinite"
                has = "weights" if parameters(call.layer) else "no weights"
                return (
                    f"the first layer with {what} outputs is {call.name!r} ({type(call.layer).__name__}, {has}), for "
                    f"{int((~finite).sum())} of {len(finite)} images"
                )
    except ModelError:
        return f"the outputs of {model.name} are not finite, and it has no graph of layers to look into"
    return "all layers have finite outputs, so that the loss itself is the cause"
