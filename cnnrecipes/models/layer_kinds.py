"""Kinds of layer calls (weighted, norm, activation, merge), and the bounds of activation functions."""

from __future__ import annotations

from typing import Any, NamedTuple

import keras
import numpy as np

from cnnrecipes.models.graph import Call

L = keras.layers

_NORMS = (L.BatchNormalization, L.LayerNormalization, L.GroupNormalization)
_MERGES = (L.Add, L.Subtract, L.Multiply, L.Average, L.Maximum, L.Minimum, L.Concatenate, L.Dot)
# Layers that only move or drop values.
_MOVES = (
    *(L.InputLayer, L.Identity, L.Flatten, L.Reshape, L.Permute, L.RepeatVector),
    *(L.ZeroPadding1D, L.ZeroPadding2D, L.ZeroPadding3D, L.Cropping1D, L.Cropping2D, L.Cropping3D),
    *(L.Dropout, L.SpatialDropout1D, L.SpatialDropout2D, L.SpatialDropout3D),
)


class Range(NamedTuple):
    """Bounds of an activation's values; `ceiling` is None if it is unbounded above."""

    floor: float
    ceiling: float | None = None
    rectifies: bool = False  # True: values exactly at the floor are intended

    @property
    def margin(self) -> float:
        """Distance from a bound within which a value is saturated: 1 % of the largest absolute bound."""
        return 0.01 * max(abs(self.floor), abs(self.ceiling or 0.0))

    @property
    def dead_below(self) -> float:
        """Largest value of a dead channel: the floor, or within 1 % of it where values only approach the floor."""
        return self.floor + (0.0 if self.rectifies else self.margin)


_RANGES = {
    "relu": Range(0.0, rectifies=True),
    "relu6": Range(0.0, 6.0, rectifies=True),
    "sigmoid": Range(0.0, 1.0),
    "hard_sigmoid": Range(0.0, 1.0),
    "tanh": Range(-1.0, 1.0),
    "elu": Range(-1.0),
    "celu": Range(-1.0),
    "selu": Range(-1.7580993),  # Klambauer et al. 2017: -lambda alpha
}


def activation_range(layer: Any) -> Range | None:
    """Return the bounds of a layer's activation; None for an unbounded activation or another layer."""
    if isinstance(layer, L.ReLU):
        ceiling = layer.max_value
        return None if layer.negative_slope else Range(0.0, ceiling if ceiling is None else float(ceiling), True)
    if isinstance(layer, L.ELU):
        return Range(-float(layer.alpha))
    return _RANGES.get(getattr(getattr(layer, "activation", None), "__name__", ""))


def dead_share(highest: np.ndarray, bounds: Range) -> float:
    """Return the share of dead channels, those at the activation's floor for every image and position.

    Args:
        highest: (C,), the largest value of each channel.
        bounds: of the activation.
    """
    return float(np.mean(highest <= bounds.dead_below))


def kind(call: Call) -> str:
    """Return "weighted" (convolution, dense), "norm", "activation", "merge" (e.g. Add) or "other" (e.g. pooling)."""
    if is_scale(call):
        return "other"
    if hasattr(call.layer, "kernel") or hasattr(call.layer, "pointwise_kernel"):
        return "weighted"
    if is_norm(call):
        return "norm"
    if activation(call):
        return "activation"
    return "merge" if isinstance(call.layer, _MERGES) else "other"


def computes(call: Call) -> bool:
    """Return False for a call that only moves or drops values: inputs, identities, padding, reshaping, dropout."""
    return bool(call.sources) and not isinstance(call.layer, _MOVES) and activation(call) != "linear"


def is_norm(call: Call) -> bool:
    """Return True if a call's layer is a batch, layer or group normalization."""
    return isinstance(call.layer, _NORMS)


def is_scale(call: Call) -> bool:
    """Return True if a call scales each channel, for example at the end of a branch without normalization."""
    return isinstance(call.layer, L.EinsumDense) and len(call.layer.kernel.shape) == 1


def activation(call: Call) -> str:
    """Return the activation of a call, for example "relu"; "" if its layer is not an activation layer."""
    layer = call.layer
    if isinstance(layer, L.Activation):
        return layer.activation.__name__
    if isinstance(layer, L.ReLU):
        return "relu6" if layer.max_value == 6 else "relu"
    return type(layer).__name__.lower() if isinstance(layer, (L.LeakyReLU, L.PReLU, L.ELU, L.Softmax)) else ""
