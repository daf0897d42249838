"""Forward and backward passes for checks."""

from __future__ import annotations

from collections.abc import Callable

import keras
import numpy as np
import tensorflow as tf

from cnnrecipes.models.graph import all_layers

FLOAT16_SCALE = 2.0**24  # to begin with: the range of float16 is 2^-24 to 2^16

# Labels (N, classes) and logits (N, classes) to the mean loss, a scalar.
LossFunction = Callable[..., tf.Tensor]


def logits_of(model: keras.Model, images: np.ndarray, *, training: bool = False) -> np.ndarray:
    """Return the outputs (N, classes) of a model as float32."""
    return tf.cast(model(tf.convert_to_tensor(images), training=training), tf.float32).numpy()


def loss_and_gradients(
    model: keras.Model, loss: LossFunction, images: np.ndarray, labels: np.ndarray
) -> tuple[float, list[np.ndarray | None]]:
    """Return the mean loss in training mode, and the gradient of each trainable variable; None if no path leads to it.

    Moving statistics and random states change.
    """
    variables = [variable.value for variable in model.trainable_variables]
    with tf.GradientTape(watch_accessed_variables=False) as tape:
        tape.watch(variables)
        value = loss(labels, model(tf.convert_to_tensor(images), training=True))
    found = tape.gradient(value, variables)
    return float(value), [
        None if one is None else tf.cast(tf.convert_to_tensor(one), tf.float32).numpy() for one in found
    ]


def unscaled_gradients(
    model: keras.Model,
    loss: LossFunction,
    images: np.ndarray,
    labels: np.ndarray,
    *,
    scale: float,
    before: Callable[[], None] = lambda: None,
) -> tuple[float, list[np.ndarray | None]]:
    """Return what `loss_and_gradients` does, through a scaled loss, whose gradients in float16 do not become 0.

    As in training, the scale is halved until the gradients are finite. `before` is called before each pass.
    """
    while True:
        before()
        scaled, found = loss_and_gradients(
            model, lambda *pair, by=scale: tf.cast(loss(*pair), tf.float32) * by, images, labels
        )
        if scale <= 1 or all(gradient is None or np.isfinite(gradient).all() for gradient in found):
            return scaled / scale, [None if gradient is None else gradient / scale for gradient in found]
        scale /= 2


def scale_of(model: keras.Model) -> float:
    """Return a scale of the loss with which the gradients of a model do not underflow: 1 unless it has float16."""
    return FLOAT16_SCALE if any(layer.compute_dtype == "float16" for layer in all_layers(model)) else 1.0


def layer_of(variable: keras.Variable) -> str:
    """Return the name of the layer of a variable, with those of the models around it: "outer/conv1"."""
    return variable.path.rpartition("/")[0]
