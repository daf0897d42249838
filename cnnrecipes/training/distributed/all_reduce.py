"""Reductions over the devices in a training step: gradients are summed, moving statistics averaged."""

from __future__ import annotations

import math
from collections.abc import Sequence

import keras
import tensorflow as tf


def summed(gradients: Sequence[tf.Tensor]) -> list[tf.Tensor]:
    """Return the gradients summed over all devices, so that the optimizer clips those of the global batch."""
    if not _many_devices():
        return list(gradients)
    return list(tf.distribute.get_replica_context().all_reduce(tf.distribute.ReduceOp.SUM, list(gradients)))


def average_statistics(model: keras.Model) -> None:
    """Average the moving statistics of normalizations over the devices, where they would diverge."""
    if not _many_devices():
        return
    kept = _statistics(model)
    if not kept:
        return
    packed = tf.concat([tf.reshape(v.value, (-1,)) for v in kept], axis=0)
    packed = tf.distribute.get_replica_context().all_reduce(tf.distribute.ReduceOp.MEAN, packed)
    for variable, part in zip(kept, tf.split(packed, [math.prod(v.shape) for v in kept]), strict=True):
        variable.assign(tf.reshape(part, variable.shape))


def _statistics(model: keras.Model) -> list[keras.Variable]:
    """Return the moving statistics that training steps update: not those of frozen layers, nor frozen weights."""
    updating = [
        layer
        for layer in model._flatten_layers(include_self=False)
        if layer.trainable and not getattr(layer, "frozen_statistics", False)
    ]
    # Created as not trainable: the public property has weights that were frozen later, too.
    own = [variable for layer in updating for variable in layer._non_trainable_variables]
    return [variable for variable in own if variable.dtype.startswith(("float", "bfloat"))]


def _many_devices() -> bool:
    return tf.distribute.get_strategy().num_replicas_in_sync > 1
