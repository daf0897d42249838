"""What flows through a network: mean, spread, dead and saturated activations of every layer, and their picture."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import Any

import keras
import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from cnnrecipes import models
from cnnrecipes.debug.drawing import drawable, save
from cnnrecipes.debug.graph import Call, calls, run
from cnnrecipes.debug.grouping import stages
from cnnrecipes.errors import ModelError

# Layers that move or drop values and compute none.
_SILENT = (
    keras.layers.InputLayer,
    keras.layers.Identity,
    keras.layers.ZeroPadding2D,
    keras.layers.Flatten,
    keras.layers.Dropout,
    keras.layers.SpatialDropout2D,
)
# The bounds that an activation flattens out at; a value within 1 % of the range from one is saturated.
_BOUNDS = {"sigmoid": (0.0, 1.0), "tanh": (-1.0, 1.0), "hard_sigmoid": (0.0, 1.0), "softsign": (-1.0, 1.0)}
_RECTIFIERS = ("relu", "relu6")


def activation_statistics(model: keras.Model, images: np.ndarray, training: bool = True) -> pd.DataFrame:
    """What a batch makes of every layer. The model is left as it was, moving statistics and seeds too.

    Args:
        images: (N, H, W, C), on the scale that the model takes, 0..255 for ours; of several images.
        training: normalize by the batch, as in the first step of a training.

    Returns:
        a row a layer call that computes: layer, type, stage, mean and std of its output over the whole batch;
        `dead`: for a rectifier, the share of its channels that are 0 everywhere in the batch (NaN for other layers);
        `zeros`: the share of its values that are 0; `saturated`: for sigmoid and tanh, the share of values within 1 %
        of the range from a bound (NaN for other layers); `nonfinite`: the share of values that are NaN or infinite.
        Means and deviations are over the finite values.

    Raises:
        ModelError: a model without a graph, or images of another shape.
    """
    found = calls(model)
    images = _batch(model, images)
    kept = [(variable, np.array(variable)) for variable in model.non_trainable_variables]  # also dropout's seeds
    try:
        rows = [
            _row(call, stage, value)
            for stage, (call, value) in zip(stages(found), run(found, images, training=training), strict=True)
            if not isinstance(call.layer, _SILENT)
        ]
    finally:
        for variable, value in kept:
            variable.assign(value)
    return pd.DataFrame(rows)


def compare_initializations(
    architecture: str = "plain20",
    kinds: Sequence[str] = ("he_normal", "he_normal(0.5)", "he_normal(2.0)", "fixed(0.01)"),
    images: np.ndarray | None = None,
    seed: int = 0,
    **options: Any,
) -> dict[str, pd.DataFrame]:
    """`activation_statistics` of one net for several initializations, to plot beside each other.

    Behind ReLUs, he_normal keeps the deviation from layer to layer; half of it halves the deviation with every layer,
    twice doubles it (He et al. 2015b, section 2.2, eq. 9: the variance grows by the product of n var(w) / 2). The
    default is a plain net without normalization, which would hide all of this.

    Args:
        images: (N, H, W, C), of mean 0 and deviation 1; None: 16 of Gaussian noise of 32x32x3.
        options: of `cnnrecipes.build`, as `norm="batch"`.

    Returns:
        kind -> the table of `activation_statistics`.
    """
    if images is None:
        images = np.random.default_rng(seed).normal(size=(16, 32, 32, 3)).astype("float32")
    tables = {}
    for kind in kinds:
        keras.utils.set_random_seed(seed)
        made = {"norm": "none", **options, "init": kind}
        model = models.build(architecture, input_shape=images.shape[1:], classes=10, **made)
        tables[kind] = activation_statistics(model, images)
    return tables


def plot_activation_statistics(
    tables: pd.DataFrame | Mapping[str, pd.DataFrame], path: str | os.PathLike | None = None
) -> Figure:
    """Deviation and dead share over depth: a line for each table; of a single one, a line for each kind of layer.

    Layers that give 0 everywhere, as a norm with a gamma of zeros, have no place on the logarithmic axis.

    Args:
        tables: one table of `activation_statistics`, or several by name.
        path: also write it there, as .png, .svg or .pdf.

    Raises:
        ModelError: a path that cannot be written.
    """
    path = path and drawable(path)
    single = isinstance(tables, pd.DataFrame)
    named = {"": tables} if single else dict(tables)
    lines = dict(list(tables.groupby(tables.type.map(_kind), sort=False))) if single else named
    figure = Figure(figsize=(11, 6.5), dpi=120, layout="constrained")
    above, below = figure.subplots(2, 1, sharex=True, height_ratios=(2, 1))
    for k, (name, table) in enumerate(lines.items()):
        spread = table["std"].where(table["std"] > 0)
        above.plot(table.index, spread, f"C{k}.-" if name != "others" else f"C{k}x", label=name, lw=1)
    for k, (name, table) in enumerate(named.items()):
        below.plot(table.index, 100 * table.dead, f"C{k}o", label=f"{name} dead channels".strip(), ms=4)
        if table.saturated.notna().any():
            below.plot(table.index, 100 * table.saturated, f"C{k}x", label=f"{name} saturated values".strip(), ms=5)
    above.set(yscale="log", ylabel="standard deviation of the output")
    below.set(xlabel="layers, in order", ylabel="share, %", ylim=(-5, 105))
    _mark_stages(above, below, table=next(iter(named.values())))
    above.legend(frameon=False, ncols=4)
    below.legend(frameon=False, fontsize=8, ncols=2)
    if path:
        save(figure, path)
    return figure


def _kind(layer_type: str) -> str:
    """Which line of a single table's picture a layer belongs to."""
    if layer_type.endswith("Normalization") and layer_type != "Normalization":
        return "normalizations"
    if "Conv" in layer_type or layer_type == "Dense":
        return "convolutions and dense layers"
    return "activations" if layer_type[0].islower() else "others"


def _mark_stages(above: Any, below: Any, table: pd.DataFrame) -> None:
    """A vertical line where a stage begins, and its name on top."""
    begins = table.index[table.stage != table.stage.shift()]
    ends = [*begins[1:], len(table)]
    for begin, end in zip(begins, ends, strict=True):
        for axis in (above, below):
            axis.axvline(begin - 0.5, color="#dddddd", lw=0.8, zorder=0)
        if end - begin >= len(table) / 25:  # a narrow stage has no room for a name
            place = {"xycoords": ("data", "axes fraction"), "ha": "center", "va": "bottom", "fontsize": 9}
            above.annotate(table.stage[begin], ((begin + end - 1) / 2, 1.0), **place)
    above.grid(alpha=0.3, axis="y")
    below.grid(alpha=0.3, axis="y")


def _row(call: Call, stage: str, output: Any) -> dict[str, Any]:
    values = keras.ops.convert_to_numpy(keras.ops.cast(output, "float32"))
    finite = values[np.isfinite(values)].astype("float64")
    kind = _activation(call.layer)
    everywhere = tuple(range(values.ndim - 1))
    return {
        "layer": call.name,
        "type": kind or type(call.layer).__name__,
        "stage": stage,
        "mean": finite.mean() if finite.size else np.nan,
        "std": finite.std() if finite.size else np.nan,
        "dead": (values <= 0).all(everywhere).mean() if kind in _RECTIFIERS else np.nan,
        "zeros": (values == 0).mean(),
        "saturated": _saturated(finite, *_BOUNDS[kind]) if kind in _BOUNDS else np.nan,
        "nonfinite": 1 - finite.size / values.size,
    }


def _saturated(values: np.ndarray, low: float, high: float) -> float:
    margin = 0.01 * (high - low)
    return float(((values < low + margin) | (values > high - margin)).mean())


def _activation(layer: Any) -> str | None:
    """The name of the activation that a layer ends with; None where it has none."""
    if isinstance(layer, keras.layers.ReLU):
        return "relu"
    function = getattr(layer, "activation", None)
    name = getattr(function, "__name__", None)
    return None if name == "linear" else name


def _batch(model: keras.Model, images: np.ndarray) -> np.ndarray:
    images = np.asarray(images)
    expected = tuple(model.input_shape[1:])
    fits = images.ndim == 4 and all(e in (None, n) for e, n in zip(expected, images.shape[1:], strict=True))
    if not fits or len(images) == 0:
        raise ModelError(f"{model.name} takes images (N, {', '.join(map(str, expected))}); got {images.shape}")
    return images.astype("float32")
