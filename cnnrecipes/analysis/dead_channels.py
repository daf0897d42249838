"""Detection of dead channels: channels with constant output and zero gradient."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from typing import Any

import keras
import numpy as np
import pandas as pd
import tensorflow as tf

from cnnrecipes.analysis.batch import batch_for
from cnnrecipes.analysis.graph import Call, calls, parameters, run
from cnnrecipes.analysis.words import activation

COLUMNS = ("layer", "dead", "channels", "reason", "remedy")

# A scale of 0 hides the layers before it from the first gradient only; each step uncovers what one of them hides.
MOST_STEPS = 4
STEP = 0.01


def dead_channels(model: keras.Model, images: Any) -> pd.DataFrame:
    """The layers with weights that have dead channels; a row a layer, none for a sound model.

    A channel is dead if a layer's output has the same value in it for every image and position, and the gradient of a
    random function of the model's output by its weights is exactly 0: no step of any optimizer moves it. So is one
    that shortcut A pads with zeros beside a branch whose last gamma is 0, in front of a ReLU. A channel that is merely
    negative for these images, or hidden by a scale of 0 for the first step, is not dead: the model's weights are moved
    a few steps along their gradients, in which a channel has to stay dead, and put back.

    Args:
        images: (N, H, W, C), on the scale that the model takes; at least 2.

    Returns:
        columns layer; dead, the number of dead channels, of `channels`; reason; remedy.

    Raises:
        ModelError: a model without a graph of layers, or with several inputs.
        DataError: images of another shape, or none.
    """
    found = calls(model)
    images = batch_for(model, images)
    with _put_back(model):
        dead, gradients = _still(found, images, model.trainable_variables)
        for _ in range(MOST_STEPS):
            if not dead:
                break
            _step(gradients)
            after, gradients = _still(found, images, model.trainable_variables)
            dead = {place: mask & after[place] for place, mask in dead.items() if place in after}
    rows = [_row(found, place, mask) for place, mask in dead.items() if mask.any()]
    return pd.DataFrame(rows, columns=COLUMNS)


def dead_channel_warnings(frame: pd.DataFrame) -> list[str]:
    """A sentence for each row of `dead_channels`."""
    return [
        f"{row.layer}: {row.dead} of {row.channels} channels are dead: {row.reason}; {row.remedy}"
        for row in frame.itertuples()
    ]


def _still(
    found: Sequence[Call], images: np.ndarray, variables: Sequence[keras.Variable]
) -> tuple[dict[int, np.ndarray], list[tuple[keras.Variable, np.ndarray]]]:
    """For each call with weights, which channels are constant and get no gradient, if any; and the gradients."""
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
    """(C,) or (1,): whether any weight of a channel moves; of all together where the last axis is not the channels."""
    return moved.reshape(-1, channels).any(0) if moved.shape[-1:] == (channels,) else np.array([moved.any()])


def _constant(value: Any) -> np.ndarray:
    """(C,): which channels, on the last axis, have one value everywhere."""
    values = _float(value)
    values = values.reshape(-1, values.shape[-1])
    return (values == values[:1]).all(0)


def _float(value: Any) -> np.ndarray:
    return keras.ops.convert_to_numpy(keras.ops.cast(tf.convert_to_tensor(value), "float32"))


def _step(gradients: Sequence[tuple[keras.Variable, np.ndarray]]) -> None:
    """Move each weight along its gradient, the largest entry by STEP."""
    for variable, gradient in gradients:
        if largest := np.abs(gradient).max(initial=0.0):
            variable.assign_sub((STEP / largest * gradient).astype("float32"))


@contextlib.contextmanager
def _put_back(model: keras.Model) -> Iterator[None]:
    """The model's weights, moving statistics and random states are afterwards what they were."""
    kept = [(variable, keras.ops.convert_to_numpy(variable)) for variable in model.variables]
    try:
        yield
    finally:
        for variable, value in kept:
            variable.assign(value)


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
            else "start its weights otherwise, or take an activation whose gradient is nowhere 0, as leaky_relu"
        ),
    }


def _channels(weight: keras.Variable, mask: np.ndarray) -> np.ndarray:
    values = keras.ops.convert_to_numpy(weight)
    return values[..., mask] if values.ndim and values.shape[-1] == mask.size else values


def _next_activation(found: Sequence[Call], place: int) -> Call | None:
    """The first activation that a call's output meets."""
    reached = {place}
    for i, call in enumerate(found):
        if reached.intersection(call.sources):
            if activation(call):
                return call
            reached.add(i)
    return None
