"""Per-layer activation statistics: mean, standard deviation, dead channels, saturation, NaN and infinity."""

from __future__ import annotations

from typing import Any, NamedTuple

import keras
import numpy as np
import pandas as pd

from cnnrecipes.analysis.batch import batch_for
from cnnrecipes.analysis.graph import Call, calls, run
from cnnrecipes.analysis.grouping import stages
from cnnrecipes.analysis.words import activation, is_norm, is_scale

L = keras.layers

COLUMNS = ("layer", "type", "kind", "stage", "mean", "std", "zero", "dead", "saturated", "nonfinite")

# Layers that only move or drop values.
_MOVES = (
    *(L.InputLayer, L.Identity, L.Flatten, L.Reshape, L.Permute, L.RepeatVector),
    *(L.ZeroPadding1D, L.ZeroPadding2D, L.ZeroPadding3D, L.Cropping1D, L.Cropping2D, L.Cropping3D),
    *(L.Dropout, L.SpatialDropout1D, L.SpatialDropout2D, L.SpatialDropout3D),
)
_MERGES = (L.Add, L.Subtract, L.Multiply, L.Average, L.Maximum, L.Minimum, L.Concatenate, L.Dot)


class Range(NamedTuple):
    """Bounds of an activation's values; `ceiling` is None if it is unbounded above."""

    floor: float
    ceiling: float | None = None
    rectifies: bool = False  # True: values exactly at the floor are intended


RANGES = {
    "relu": Range(0.0, rectifies=True),
    "relu6": Range(0.0, 6.0, rectifies=True),
    "sigmoid": Range(0.0, 1.0),
    "hard_sigmoid": Range(0.0, 1.0),
    "tanh": Range(-1.0, 1.0),
    "elu": Range(-1.0),
    "celu": Range(-1.0),
    "selu": Range(-1.7580993),  # Klambauer et al. 2017: -lambda alpha
}


def activation_statistics(model: keras.Model, images: Any, training: bool = True) -> pd.DataFrame:
    """Return the activation statistics of a model for one batch, a row per layer call in order of computation.

    Layers that only move or drop values (inputs, identities, padding, reshaping, dropout) have no row.
    Moving statistics and random states of the model are restored afterwards.

    | column        | content                                                                                     |
    |---------------|---------------------------------------------------------------------------------------------|
    | layer, stage  | names; "outer/inner" inside a nested model                                                  |
    | type          | the layer's class, or the function of an activation layer                                   |
    | kind          | weighted (convolution, dense), norm, activation, merge (e.g. Add) or other (e.g. pooling)   |
    | mean, std     | over all finite values of all images, positions and channels; NaN if there is none          |
    | zero          | share of values that are exactly 0                                                          |
    | dead          | share of channels at the activation's floor for every image and position: 0 exactly for     |
    |               | relu, within 1 % for sigmoid, tanh, elu, celu, selu. NaN without a floor (gelu)             |
    | saturated     | share of values within 1 % of a bound: 0 and 1 for sigmoid, +-1 for tanh, -1 for elu, 6 for |
    |               | relu6. NaN without bounds; zeros of relu are counted in `zero` only                         |
    | nonfinite     | share of values that are infinite or NaN                                                    |

    `dead` and `saturated` are also given for a convolution or dense layer that has its activation built in.

    Args:
        images: (N, H, W, C) in the model's input range, usually 0..255. All activations are held in memory at once; a
            few dozen images suffice.
        training: training mode: batch normalization uses the batch's statistics, dropout is active.

    Raises:
        ModelError: a model without a graph of layers, or with several inputs.
        DataError: no images, or images of another shape.
    """
    found = calls(model)
    images = batch_for(model, images)
    kept = [(variable, keras.ops.convert_to_numpy(variable)) for variable in model.non_trainable_variables]
    try:
        values = run(found, images, training=training)
        rows = [
            _row(call, stage, value)
            for (call, value), stage in zip(values, stages(found), strict=True)
            if call.sources and not isinstance(call.layer, _MOVES) and activation(call) != "linear"
        ]
    finally:
        for variable, value in kept:
            variable.assign(value)
    return pd.DataFrame(rows, columns=COLUMNS)


def _row(call: Call, stage: str, value: Any) -> dict[str, Any]:
    values = keras.ops.convert_to_numpy(value)
    if values.dtype.kind != "f":  # bfloat16, which NumPy does not support
        values = values.astype("float32")
    finite = np.isfinite(values)
    used = values if finite.all() else values[finite]
    bounds = _range(call.layer)
    return {
        "layer": call.name,
        "type": activation(call) or type(call.layer).__name__,
        "kind": _kind(call),
        "stage": stage,
        # float64, since sums of squares in float32 overflow for values above 1e19.
        "mean": np.mean(used, dtype="float64") if used.size else np.nan,
        "std": np.std(used, dtype="float64") if used.size else np.nan,
        "zero": np.mean(values == 0),
        "dead": _dead(values, bounds) if bounds else np.nan,
        "saturated": _saturated(values, bounds) if bounds else np.nan,
        "nonfinite": 1 - finite.mean(),
    }


def _dead(values: np.ndarray, bounds: Range) -> float:
    """Return the share of channels (last axis) that are at the activation's floor for every image and position."""
    low = values <= bounds.floor + (0.0 if bounds.rectifies else _margin(bounds))
    return float(low.reshape(-1, values.shape[-1]).all(axis=0).mean())


def _saturated(values: np.ndarray, bounds: Range) -> float:
    """Return the share of values within 1 % of a bound of the activation; NaN if there is none.

    The floor of a rectifier is not such a bound. The 1 % are of the largest absolute bound.
    """
    if bounds.rectifies and bounds.ceiling is None:
        return np.nan
    near = np.zeros(values.shape, bool)
    if bounds.ceiling is not None:
        near |= values >= bounds.ceiling - _margin(bounds)
    if not bounds.rectifies:
        near |= values <= bounds.floor + _margin(bounds)
    return float(near.mean())


def _margin(bounds: Range) -> float:
    return 0.01 * max(abs(bounds.floor), abs(bounds.ceiling or 0.0))


def _range(layer: Any) -> Range | None:
    """Return the bounds of a layer's activation; None for an unbounded activation or another layer."""
    if isinstance(layer, L.ReLU):
        ceiling = layer.max_value
        return None if layer.negative_slope else Range(0.0, ceiling if ceiling is None else float(ceiling), True)
    if isinstance(layer, L.ELU):
        return Range(-float(layer.alpha))
    return RANGES.get(getattr(getattr(layer, "activation", None), "__name__", ""))


def _kind(call: Call) -> str:
    if is_scale(call):
        return "other"
    if hasattr(call.layer, "kernel") or hasattr(call.layer, "pointwise_kernel"):
        return "weighted"
    if is_norm(call):
        return "norm"
    if activation(call):
        return "activation"
    return "merge" if isinstance(call.layer, _MERGES) else "other"
