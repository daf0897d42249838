"""Activation layer factories by name."""

from __future__ import annotations

import functools
from collections.abc import Callable

import keras

from cnnrecipes.errors import UnknownNameError
from cnnrecipes.layers.accepted_arguments import takes

ActivationFactory = Callable[..., keras.Layer]

NAMES = ("relu", "leaky_relu", "elu", "celu", "gelu", "silu", "mish", "sigmoid", "tanh")


def activation(kind: str | ActivationFactory) -> ActivationFactory:
    """Return the factory of an activation of `keras.activations`: call it with `name=` to get a layer.

    Args:
        kind: one of `NAMES`; a user-defined factory, called with `name=`, which is returned unchanged; or an activation
            function, for example `keras.activations.relu6`, which is wrapped in a layer.

    Raises:
        UnknownNameError: no such activation.
    """
    if callable(kind):
        return kind if takes(kind, "name") else functools.partial(keras.layers.Activation, kind)
    if kind not in NAMES:
        raise UnknownNameError("activation", kind, NAMES)
    return functools.partial(keras.layers.Activation, kind)
