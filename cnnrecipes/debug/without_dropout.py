"""Training without dropout, stochastic depth and noise."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import keras

from cnnrecipes.models.graph import all_layers

# Layers that change activations at random in training, with an attribute `rate`.
_RATE_LAYERS = (
    keras.layers.Dropout,
    keras.layers.SpatialDropout1D,
    keras.layers.SpatialDropout2D,
    keras.layers.SpatialDropout3D,
    keras.layers.GaussianDropout,
    keras.layers.AlphaDropout,
)


@contextlib.contextmanager
def without_dropout(model: keras.Model) -> Iterator[list[str]]:
    """Switch off dropout, stochastic depth and noise in the block; yield the names of the layers.

    A function of the model that was traced before is not affected.
    """
    found = []
    for layer in all_layers(model):
        attribute = "rate" if isinstance(layer, _RATE_LAYERS) else None
        attribute = "stddev" if isinstance(layer, keras.layers.GaussianNoise) else attribute
        if attribute and getattr(layer, attribute):
            found.append((layer, attribute, getattr(layer, attribute)))
    try:
        for layer, attribute, _ in found:
            setattr(layer, attribute, 0.0)
        yield [layer.name for layer, *_ in found]
    finally:
        for layer, attribute, value in found:
            setattr(layer, attribute, value)
