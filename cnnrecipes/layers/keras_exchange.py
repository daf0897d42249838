"""Conversion of models between the faster layers of this package and Keras' own; weights and outputs are kept."""

from __future__ import annotations

import keras

from cnnrecipes.layers.branch_scale import FastEinsumDense
from cnnrecipes.layers.fast_group_norm import FastGroupNormalization
from cnnrecipes.layers.fused_kernel_batch_norm import FusedBatchNormalization

LayerClasses = dict[type[keras.Layer], type[keras.Layer]]

OURS: LayerClasses = {
    keras.layers.BatchNormalization: FusedBatchNormalization,
    keras.layers.GroupNormalization: FastGroupNormalization,
    keras.layers.EinsumDense: FastEinsumDense,
}
KERAS: LayerClasses = {ours: theirs for theirs, ours in OURS.items()}


def with_keras_norms(model: keras.Model) -> keras.Model:
    """Return an uncompiled copy of a functional model with Keras' own norms, to load without cnnrecipes."""
    return _exchange(model, KERAS)


def with_fast_norms(model: keras.Model) -> keras.Model:
    """Return an uncompiled copy of a functional model, for example of keras.applications, with the faster norms."""
    return _exchange(model, OURS)


def _exchange(model: keras.Model, classes: LayerClasses) -> keras.Model:
    def clone(layer):
        if isinstance(layer, keras.Model):
            return _exchange(layer, classes)
        return classes.get(type(layer), type(layer)).from_config(layer.get_config())

    copy = keras.models.clone_model(model, clone_function=clone)
    copy.set_weights(model.get_weights())
    if not copy.compiled:
        return copy
    # A new model drops the optimizer that the clone carries.
    if isinstance(copy, keras.Sequential):
        return keras.Sequential(copy.layers, name=model.name)
    return keras.Model(copy.input, copy.output, name=model.name)
