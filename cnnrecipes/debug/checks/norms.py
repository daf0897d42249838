"""Check that normalization layers normalize, and that batch norms update their moving statistics."""

from __future__ import annotations

from typing import Any, NamedTuple

import keras
import numpy as np
import tensorflow as tf

from cnnrecipes.analysis.layer_descriptions import is_norm
from cnnrecipes.debug.checks.check import CANNOT_TELL, FAIL, OK, WARNING, Check
from cnnrecipes.errors import ModelError, counted, listed
from cnnrecipes.models.graph import calls, run
from cnnrecipes.models.variable_snapshot import restored

_SHOWN = 4  # layers that a message names
_HIDDEN = 0.05  # share of the variance in variance + epsilon, below which a norm hardly normalizes
# |log| of the ratio of batch variance and moving variance, as in `models.pretrained.preprocessing_mismatch`.
_UNLIKE = np.log(8.0)
_OFF = np.log(3.0)  # |log| of the ratio of the standard deviations of a norm's output and of its scale
_SAME = 1e-3  # difference of batch and moving statistics below which these need not move


class Problem(NamedTuple):
    """A way in which a norm is broken."""

    what: str
    remedy: str
    status: str = FAIL


STUCK = Problem(
    "the moving statistics do not change in training, so that the evaluation normalizes by wrong ones",
    "set momentum to 0.9 or 0.99, not 1",
)
EPSILON = Problem(
    "epsilon is larger than the variance of the inputs, so that they are not normalized",
    "set epsilon to 1e-5 or 1e-3, and check the range of the inputs",
)
CONSTANT = Problem("the outputs are constant, although the inputs are not", "check gamma, epsilon and axis")
SCALE = Problem(
    "the outputs do not have the standard deviation of gamma",
    "check whether the layer normalizes by the statistics of the batch in training mode",
)
AXIS = Problem(
    "axis is not that of the channels, so that rows or columns of the image are normalized",
    "set axis = -1: images are (N, H, W, C)",
    WARNING,
)
FROZEN = Problem(
    "frozen, and the moving statistics by which they normalize do not fit the images",
    "train the norm, or load weights that were trained on such images",
    WARNING,
)


class _Pass(NamedTuple):
    """A norm with its inputs and outputs in training mode, and its moving mean and variance before and after."""

    layer: Any
    inputs: np.ndarray
    outputs: np.ndarray
    before: tuple[np.ndarray, np.ndarray]
    after: tuple[np.ndarray, np.ndarray]


def check_norms(model: keras.Model, images: np.ndarray, *, pretrained: bool = False) -> Check:
    """Check that each batch, layer or group norm normalizes in training mode, and updates its moving statistics.

    Args:
        model: images (N, ...) -> logits; functional or sequential. Its moving statistics are restored.
        images: a batch in the model's input range.
        pretrained: frozen batch norms normalize by moving statistics of other images, as intended.
    """
    name = "normalization"
    try:
        passes = _passes(model, images)
    except ModelError:
        return Check(name, CANNOT_TELL, "the model has no graph of layers; give a functional model")
    wrong: dict[Problem, list[str]] = {}
    for layer, one in passes.items():
        problem = _problem(one)
        if problem and not (pretrained and problem == FROZEN):
            wrong.setdefault(problem, []).append(layer)
    if wrong:
        problem, layers = max(wrong.items(), key=lambda item: (item[0].status == FAIL, len(item[1])))
        return Check(name, problem.status, f"{listed(layers, _SHOWN)}: {problem.what}", problem.remedy)
    return Check(name, OK, f"{counted(len(passes), 'layer')} normalize" if passes else "the model has no such layers")


def _passes(model: keras.Model, images: np.ndarray) -> dict[str, _Pass]:
    """Return the name and the pass of each norm. Raises ModelError for a model without a graph."""
    found = calls(model)
    needed = {source for call in found if is_norm(call) for source in call.sources}
    kept: dict[int, np.ndarray] = {}
    passes: dict[str, _Pass] = {}
    with restored(model):
        before = {call.name: _moving(call.layer) for call in found if is_norm(call)}
        inputs = tf.convert_to_tensor(images.astype(model.inputs[0].dtype))
        for place, (call, value) in enumerate(run(found, inputs, training=True)):
            if place in needed:
                kept[place] = tf.cast(value, tf.float32).numpy()
            if is_norm(call):
                outputs = tf.cast(value, tf.float32).numpy()
                statistics = before[call.name], _moving(call.layer)
                passes[call.name] = _Pass(call.layer, kept[call.sources[0]], outputs, *statistics)
    return passes


def _problem(one: _Pass) -> Problem | None:
    """Return what is wrong with a norm; None if nothing is."""
    layer, inputs, outputs = one.layer, one.inputs, one.outputs
    if inputs.std() == 0:  # nothing to normalize; other checks find the cause
        return None
    gamma = getattr(layer, "gamma", None)
    scale = 1.0 if gamma is None else float(np.sqrt(np.mean(np.square(gamma.numpy()))))
    if scale and outputs.std() == 0:
        return CONSTANT
    if isinstance(layer, keras.layers.BatchNormalization):
        return _batch_norm_problem(one, scale)
    axes = tuple(range(1, inputs.ndim))
    if isinstance(layer, keras.layers.LayerNormalization):
        axes = tuple(axis % inputs.ndim for axis in np.atleast_1d(layer.axis))
    return EPSILON if _is_hidden(inputs.var(axis=axes), layer) else None


def _batch_norm_problem(one: _Pass, scale: float) -> Problem | None:
    layer, inputs = one.layer, one.inputs
    axis = layer.axis % inputs.ndim
    if inputs.ndim == 4 and axis != 3:
        return AXIS
    others = tuple(i for i in range(inputs.ndim) if i != axis)
    mean, variance = inputs.mean(axis=others), inputs.var(axis=others)
    alive = variance > 0
    if not layer.trainable or getattr(layer, "frozen_statistics", False):
        ratio = np.log((one.before[1][alive] + 1e-12) / (variance[alive] + 1e-12))
        return FROZEN if np.median(np.abs(ratio)) > _UNLIKE else None
    if _is_hidden(variance[alive], layer):
        return EPSILON
    differs = max(np.abs(mean - one.before[0]).max(), np.abs(variance - one.before[1]).max()) > _SAME
    if differs and all(np.array_equal(a, b) for a, b in zip(one.before, one.after, strict=True)):
        return STUCK
    off = abs(np.log((one.outputs[..., alive].std() + 1e-12) / (scale + 1e-12))) > _OFF
    return SCALE if scale and off else None


def _is_hidden(variance: np.ndarray, layer: Any) -> bool:
    return bool(np.median(variance / (variance + layer.epsilon)) < _HIDDEN)


def _moving(layer: Any) -> tuple[np.ndarray, np.ndarray]:
    """Return copies of moving mean and variance of a batch norm; empty for other norms."""
    if not isinstance(layer, keras.layers.BatchNormalization):
        return np.empty(0), np.empty(0)
    return np.array(layer.moving_mean.numpy()), np.array(layer.moving_variance.numpy())
