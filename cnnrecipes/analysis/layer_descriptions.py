"""Short text descriptions of layers for diagrams: "3x3 conv 64 /2", "norm", "relu"."""

from __future__ import annotations

import re
from typing import Any

import keras

from cnnrecipes.models.graph import Call
from cnnrecipes.models.layer_kinds import activation, is_norm, is_scale

L = keras.layers

_CONVS = {
    L.Conv2D: "conv",
    L.DepthwiseConv2D: "depthwise conv",
    L.SeparableConv2D: "separable conv",
    L.Conv2DTranspose: "transposed conv",
}
_POOLS = {L.MaxPooling2D: "max pool", L.AveragePooling2D: "average pool"}
_NAMES = {
    L.InputLayer: "image",
    L.Normalization: "standardize",
    L.Rescaling: "rescale",
    L.GlobalAveragePooling2D: "global average pool",
    L.GlobalMaxPooling2D: "global max pool",
}


def words(call: Call) -> str:
    """Describe a layer call, for example "3x3 conv 64 /2"; "" for padding, identities and reshapes."""
    layer = call.layer
    for table, say in ((_CONVS, _conv), (_POOLS, _pool), (_NAMES, lambda layer, name: name)):
        kind = next((name for cls, name in table.items() if isinstance(layer, cls)), None)
        if kind:
            return say(layer, kind)
    if isinstance(layer, L.ZeroPadding2D):
        # Channels are padded in shortcuts (`layers.shortcuts.pad_shortcut`); padding of pixels belongs to a layer.
        return "zeros as new channels" if call.input_shapes[0][-1] != call.output_shape[-1] else ""
    if isinstance(layer, (L.Identity, L.Reshape)):
        return ""
    if isinstance(layer, L.Dense):
        return f"dense {layer.units}{_activation(layer)}"
    if isinstance(layer, L.Dropout):
        # One value per image: stochastic depth, whose rate differs between blocks.
        return "drop path" if layer.noise_shape else f"dropout {layer.rate:g}"
    if is_norm(call):
        return _norm(call)
    if is_scale(call):
        return "scale"
    name = activation(call)
    return {"": _split(type(layer).__name__), "linear": ""}.get(name, name)


def opens_line(call: Call) -> bool:
    """Return True if a call starts a line of text; norms, activations and dropout continue the line."""
    return not (
        is_norm(call)
        or is_scale(call)
        or activation(call)
        or isinstance(call.layer, (L.Dropout, L.Identity, L.Reshape))
    )


def _conv(layer: Any, kind: str) -> str:
    groups = layer.groups if isinstance(layer, L.Conv2D) else 1
    if groups == getattr(layer, "filters", 0) > 1:
        kind, groups = "depthwise conv", 1
    text = f"{_by(layer.kernel_size)} {kind}"
    if not isinstance(layer, L.DepthwiseConv2D):
        text += f" {layer.filters}"
    text += _stride(layer.strides)
    if max(layer.dilation_rate) > 1:
        text += f", dilation {_one(layer.dilation_rate)}"
    if groups > 1:
        text += f", {groups} groups"
    return text + _activation(layer)


def _pool(layer: Any, kind: str) -> str:
    if max(layer.pool_size) == 1:
        return f"every {_one(layer.strides)}nd pixel" if _one(layer.strides) == "2" else f"subsample{layer.strides}"
    text = f"{_by(layer.pool_size)} {kind}"
    return text if layer.strides == layer.pool_size else text + (_stride(layer.strides) or " /1")


def _norm(call: Call) -> str:
    if isinstance(call.layer, L.GroupNormalization):
        # Keras replaces groups = -1 by the number of channels.
        return {1: "layer norm", call.input_shapes[0][-1]: "instance norm"}.get(call.layer.groups, "group norm")
    return "norm" if isinstance(call.layer, L.BatchNormalization) else "channel norm"


def _activation(layer: Any) -> str:
    name = layer.activation.__name__
    return "" if name == "linear" else f", {name}"


def _stride(strides: tuple[int, ...]) -> str:
    return f" /{_one(strides)}" if max(strides) > 1 else ""


def _by(sizes: tuple[int, ...]) -> str:
    return "x".join(map(str, sizes))


def _one(sizes: tuple[int, ...]) -> str:
    """Return "2" for (2, 2) and "1x2" for (1, 2)."""
    return str(sizes[0]) if len(set(sizes)) == 1 else _by(sizes)


def _split(name: str) -> str:
    return re.sub(r"(?<=[a-z])(?=[A-Z])", " ", name).lower()
