"""Model cost: parameters, multiply-adds and activation memory of every layer, for one image."""

from __future__ import annotations

import math
import re
import warnings
from collections.abc import Callable
from typing import Any

import keras
import pandas as pd

from cnnrecipes.errors import UnknownNameError
from cnnrecipes.models.graph import Call, calls, parameters
from cnnrecipes.models.stage_grouping import require_sizes, stages

COUNTS = ("parameters", "multiply_adds", "activation_bytes")

_CONVS = (keras.layers.Conv1D, keras.layers.Conv2D, keras.layers.Conv3D)
_TRANSPOSED = (keras.layers.Conv1DTranspose, keras.layers.Conv2DTranspose, keras.layers.Conv3DTranspose)
_DEPTHWISE = (keras.layers.DepthwiseConv1D, keras.layers.DepthwiseConv2D)
_SEPARABLE = (keras.layers.SeparableConv1D, keras.layers.SeparableConv2D)
_PRODUCTS = ("Dot", "Einsum", "Matmul", "Tensordot")


def cost(model: keras.Model, by: str = "layer") -> pd.DataFrame:
    """Return the cost of a functional or sequential model for one image; nested models are included.

    Multiply-adds are counted as in torchvision and fvcore: the products of convolutions and dense layers; biases,
    normalizations, activations, pooling and additions count 0. Parameters are trainable weights, frozen or not, without
    moving statistics, as in published counts; shared ones count at their first call. Activation bytes are the size of
    each call's output in its dtype; their sum approximates the memory of a training step per image.

    Args:
        model: functional or sequential, with a fixed input shape.
        by: "layer" for one row per layer call, or "stage" for one row per stage and a row "total".

    Returns:
        by layer: layer, type, stage, output_shape (None, H, W, C), parameters, multiply_adds, activation_bytes.
        By stage, with the stage as index: number of layers, output_shape of the last one, and the three counts.
        `.attrs` has the three totals.

    Raises:
        UnknownNameError: another `by`.
        ModelError: a model without a graph, or without a fixed input shape.

    Warns:
        UserWarning: layers whose products are not counted, for example attention.
    """
    if by not in ("layer", "stage"):
        raise UnknownNameError("grouping of costs", by, ("layer", "stage"))
    found = calls(model)
    require_sizes(model, found)
    uncounted = sorted({call.name for call in found if _counter(call.layer) is None and _multiplies(call.layer)})
    if uncounted:
        warnings.warn(f"{model.name}: multiply-adds of {', '.join(uncounted)} are not counted", stacklevel=2)
    seen: set[int] = set()
    table = pd.DataFrame([_row(call, stage, seen) for call, stage in zip(found, stages(found), strict=True)])
    totals = {name: int(table[name].sum()) for name in COUNTS}
    if by == "stage":
        table = _by_stage(table, totals)
    table.attrs = totals
    return table


def multiply_adds(call: Call) -> int:
    """Return the multiply-adds of a call for one image; 0 except for convolutions and dense layers."""
    counter = _counter(call.layer)
    return counter(call) if counter else 0


def _row(call: Call, stage: str, seen: set[int]) -> dict[str, Any]:
    weights = [w for w in parameters(call.layer) if id(w) not in seen]
    seen |= {id(w) for w in weights}
    outputs = call.node.output_tensors
    return {
        "layer": call.name,
        "type": type(call.layer).__name__,
        "stage": stage,
        "output_shape": call.output_shape,
        "parameters": sum(math.prod(w.shape) for w in weights),
        "multiply_adds": multiply_adds(call),
        "activation_bytes": sum(math.prod(t.shape[1:]) * _bytes(t.dtype) for t in outputs),
    }


def _by_stage(table: pd.DataFrame, totals: dict[str, int]) -> pd.DataFrame:
    grouped = table.groupby("stage", sort=False)
    stages = grouped.agg(layers=("layer", "size"), output_shape=("output_shape", "last"))
    stages = stages.join(grouped[list(COUNTS)].sum())
    total = {"layers": len(table), "output_shape": table["output_shape"].iloc[-1], **totals}
    stages.loc["total"] = pd.Series(total, dtype=object)
    return stages.astype(dict.fromkeys(("layers", *COUNTS), "int64"))


def _counter(layer: Any) -> Callable[[Call], int] | None:
    """Return a function that counts a layer's multiply-adds for a call; None if the layer has none to count.

    Each kernel weight is used once per position.
    """
    if isinstance(layer, _SEPARABLE):
        kernels = (layer.depthwise_kernel, layer.pointwise_kernel)
        return lambda call: _positions(call.output_shape, layer) * sum(math.prod(k.shape) for k in kernels)
    if isinstance(layer, _TRANSPOSED):  # each input pixel is multiplied by the whole kernel
        return lambda call: _positions(call.input_shapes[0], layer) * math.prod(layer.kernel.shape)
    if isinstance(layer, (*_CONVS, *_DEPTHWISE)):  # the kernel of a grouped convolution has Cin / groups channels
        return lambda call: _positions(call.output_shape, layer) * math.prod(layer.kernel.shape)
    if isinstance(layer, keras.layers.Dense):
        return lambda call: math.prod(call.output_shape[1:-1]) * math.prod(layer.kernel.shape)
    return None


def _positions(shape: tuple[int, ...], layer: Any) -> int:
    """Return the number of positions of a feature map in the layer's data format."""
    return math.prod(shape[1:-1] if layer.data_format == "channels_last" else shape[2:])


def _multiplies(layer: Any) -> bool:
    """Return True if a layer without a counter probably multiplies matrices."""
    if isinstance(layer, keras.layers.Embedding):
        return False
    return type(layer).__name__ in _PRODUCTS or any(len(w.shape) > 1 for w in getattr(layer, "weights", ()))


def _bytes(dtype: str) -> int:
    """Return the bytes per value of a dtype, including bfloat16, which NumPy lacks; a bool takes one byte."""
    bits = re.search(r"\d+", dtype)
    return int(bits[0]) // 8 if bits else 1
