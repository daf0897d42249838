"""Detection of dead channels: channels with constant output and zero gradient."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
import pandas as pd
import tensorflow as tf

from cnnrecipes.analysis.batch_validation import batch_for
from cnnrecipes.models.graph import Call, calls, parameters, run
from cnnrecipes.models.layer_kinds import activation
from cnnrecipes.models.small_gradient_steps import MOST_STEPS, small_step
from cnnrecipes.models.variable_snapshot import restored

COLUMNS = ("layer", "dead", "channels", "reason", "remedy")


def dead_channels(model: keras.Model, images: Any) -> pd.DataFrame:
    """Find dead channels of a model: one row per layer that has some, no row for a healthy model.

    A channel is dead if its output is the same for every image and position and the gradient of its weights is exactly
    0, so that no optimizer step changes it. Example: a channel that shortcut A pads with zeros, before a ReLU, beside a
    branch whose last gamma is 0. A channel that is only negative for these images, or blocked by a scale of 0 in the
    first step, is not dead: the channel must stay dead while the weights take a few gradient steps. The weights are
    restored afterwards.

    Args:
        model: functional or sequential.
        images: (N, H, W, C) in the model's input range; at least 2.

    Returns:
        columns layer; dead, the number of dead channels; channels; reason; remedy.

    Raises:
        ModelError: a model without a graph of layers, or with several inputs.
        DataError: no images, or images of another shape.
    """
    found = calls(model)
    images = batch_for(model, images)
    with restored(model):
        dead, gradients = _dead_masks(found, images, model.trainable_variables)
        for _ in range(MOST_STEPS):
            if not dead:
                break
            small_step([variable for variable, _ in gradients], [gradient for _, gradient in gradients])
            after, gradients = _dead_masks(found, images, model.trainable_variables)
            dead = {place: mask & after[place] for place, mask in dead.items() if place in after}
    rows = [_row(found, place, mask) for place, mask in dead.items() if mask.any()]
    return pd.DataFrame(rows, columns=COLUMNS)


def dead_channel_warnings(frame: pd.DataFrame) -> list[str]:
    """Return a warning message for each row of `dead_channels`."""
    return [
        f"{row.layer}: {row.dead} of {row.channels} channels are dead: {row.reason}; {row.remedy}"
        for row in frame.itertuples()
    ]


def _dead_masks(
    found: Sequence[Call], images: np.ndarray, variables: Sequence[keras.Variable]
) -> tuple[dict[int, np.ndarray], list[tuple[keras.Variable, np.ndarray]]]:
    """Return index of call -> mask of constant channels without gradient, and the gradients of all variables."""
    constant: dict[int, np.ndarray] = {}
    with tf.GradientTape() as tape:
        for place, (call, value) in enumerate(run(found, images, training=True)):
            if call.layer.trainable_variables and (mask := _constant(value)).any():
                constant[place] = mask
        weights = np.random.default_rng(0).normal(size=value.shape)
        loss = tf.reduce_sum(tf.cast(value, "float32") * tf.constant(weights, "float32"))
    found_gradients = zip(variables, tape.gradient(loss, [v.value for v in variables]), strict=True)
    gradients = [(v, _float(gradient)) for v, gradient in found_gradients if gradient is not None]
    moved = {id(v): gradient != 0 for v, gradient in gradients}
    dead = {}
    for place, mask in constant.items():
        for variable in found[place].layer.trainable_variables:
            mask = mask & ~_by_channel(moved.get(id(variable), np.zeros(1, bool)), mask.size)
        if mask.any():
            dead[place] = mask
    return dead, gradients


def _by_channel(moved: np.ndarray, channels: int) -> np.ndarray:
    """Return a mask (C,) of channels of which a weight moves; (1,) if the last axis is not the channels."""
    return np.any(moved.reshape(-1, channels), axis=0) if moved.shape[-1:] == (channels,) else np.array([moved.any()])


def _constant(value: Any) -> np.ndarray:
    """Return the mask (C,) of channels (last axis) with one value everywhere."""
    values = _float(value)
    values = values.reshape(-1, values.shape[-1])
    return (values == values[:1]).all(0)


def _float(value: Any) -> np.ndarray:
    return keras.ops.convert_to_numpy(keras.ops.cast(tf.convert_to_tensor(value), "float32"))


def _row(found: Sequence[Call], place: int, mask: np.ndarray) -> dict[str, Any]:
    call = found[place]
    zero = all(not np.any(_channels(weight, mask)) for weight in parameters(call.layer))
    closing = _next_activation(found, place)
    start = "its weights start at 0" if zero else "its output is constant"
    through = f", and {closing.name} ({activation(closing)}) lets no gradient through" if closing else ""
    gamma = zero and any(weight.name == "gamma" for weight in parameters(call.layer))
    return {
        "layer": call.name,
        "dead": int(mask.sum()),
        "channels": mask.size,
        "reason": f"{start}{through}" if through else f"{start}, and no gradient comes back",
        "remedy": (
            'start its gamma at "ones" where the shortcut beside it is 0 (zeros padded, or none)'
            if gamma
            else "initialize its weights differently, or use an activation whose gradient is never 0: leaky_relu"
        ),
    }


def _channels(weight: keras.Variable, mask: np.ndarray) -> np.ndarray:
    values = keras.ops.convert_to_numpy(weight)
    return values[..., mask] if values.ndim and values.shape[-1] == mask.size else values


def _next_activation(found: Sequence[Call], place: int) -> Call | None:
    """Return the call of the first activation after a call; None if there is none."""
    reached = {place}
    for i, call in enumerate(found):
        if reached.intersection(call.sources):
            if activation(call):
                return call
            reached.add(i)
    return None
