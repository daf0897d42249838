"""Models between our faster layers (norms, and the factors of branches) and Keras' own: same weights, values, files."""

from __future__ import annotations

import keras

from cnnrecipes.layers.branch_scale import FastEinsumDense
from cnnrecipes.layers.fast_group_norm import FastGroupNormalization
from cnnrecipes.layers.fused_batch_norm import FusedBatchNormalization

OURS = {
    keras.layers.BatchNormalization: FusedBatchNormalization,
    keras.layers.GroupNormalization: FastGroupNormalization,
    keras.layers.EinsumDense: FastEinsumDense,
}
KERAS = {ours: theirs for theirs, ours in OURS.items()}


def with_keras_norms(model: keras.Model) -> keras.Model:
    """An uncompiled copy of a functional model whose norms are Keras' own: its file opens without cnnrecipes."""
    return _exchange(model, KERAS)


def with_fast_norms(model: keras.Model) -> keras.Model:
    """An uncompiled copy of a functional model, as of keras.applications, whose norms are the faster ones."""
    return _exchange(model, OURS)


def _exchange(model: keras.Model, classes: dict[type, type]) -> keras.Model:
    def clone(layer):
        if isinstance(layer, keras.Model):
            return _exchange(layer, classes)
        return classes.get(type(layer), type(layer)).from_config(layer.get_config())

    copy = keras.models.clone_model(model, clone_function=clone)
    copy.set_weights(model.get_weights())
    # Without the optimizer that a clone takes along.
    if isinstance(copy, keras.Sequential):
        return keras.Sequential(copy.layers, name=model.name)
    return keras.Model(copy.input, copy.output, name=model.name)
