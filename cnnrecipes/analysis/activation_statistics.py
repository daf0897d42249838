"""Per-layer activation statistics: mean, standard deviation, dead channels, saturation, NaN and infinity."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import pandas as pd

from cnnrecipes.analysis.batch_validation import batch_for
from cnnrecipes.models.graph import Call, calls, run
from cnnrecipes.models.layer_kinds import Range, activation, activation_range, computes, dead_share, kind
from cnnrecipes.models.stage_grouping import stages

COLUMNS = ("layer", "type", "kind", "stage", "mean", "std", "zero", "dead", "saturated", "nonfinite")


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
            if computes(call)
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
    bounds = activation_range(call.layer)
    return {
        "layer": call.name,
        "type": activation(call) or type(call.layer).__name__,
        "kind": kind(call),
        "stage": stage,
        # float64, since sums of squares in float32 overflow for values above 1e19.
        "mean": np.mean(used, dtype="float64") if used.size else np.nan,
        "std": np.std(used, dtype="float64") if used.size else np.nan,
        "zero": np.mean(values == 0),
        "dead": dead_share(values.reshape(-1, values.shape[-1]).max(axis=0), bounds) if bounds else np.nan,
        "saturated": _saturated(values, bounds) if bounds else np.nan,
        "nonfinite": 1 - finite.mean(),
    }


def _saturated(values: np.ndarray, bounds: Range) -> float:
    """Return the share of values within 1 % of a bound of the activation; NaN if there is none.

    The floor of a rectifier is not such a bound. The 1 % are of the largest absolute bound.
    """
    if bounds.rectifies and bounds.ceiling is None:
        return np.nan
    near = np.zeros(values.shape, bool)
    if bounds.ceiling is not None:
        near |= values >= bounds.ceiling - bounds.margin
    if not bounds.rectifies:
        near |= values <= bounds.floor + bounds.margin
    return float(near.mean())
