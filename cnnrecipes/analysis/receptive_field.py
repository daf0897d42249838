"""Theoretical receptive field of each layer, from kernel sizes, strides and padding."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import keras
import pandas as pd

from cnnrecipes.errors import ModelError
from cnnrecipes.models.graph import Call, calls
from cnnrecipes.models.stage_grouping import require_sizes

_CONVS = (keras.layers.Conv2D, keras.layers.DepthwiseConv2D, keras.layers.SeparableConv2D)
_POOLS = (keras.layers.MaxPooling2D, keras.layers.AveragePooling2D)
_MARGINS = (keras.layers.ZeroPadding2D, keras.layers.Cropping2D)


class Span(NamedTuple):
    """Receptive field along one axis: unit i sees pixels i * stride + first to i * stride + last, inclusive."""

    stride: float
    first: float
    last: float

    @property
    def size(self) -> float:
        """Number of pixels, including padding."""
        return _plain(self.last - self.first + 1)


def receptive_field(model: keras.Model) -> pd.DataFrame:
    """Compute the theoretical receptive field of every layer call (Araujo et al. 2019).

    After a merge the field covers all branches. Global pooling and flattening see the whole image, as does every later
    layer. Normalizations are treated as pointwise, although the statistics of layer, instance and group normalization,
    and of batch normalization in training, depend on all pixels.

    Returns:
        columns layer, type, output_shape (None, H, W, C); and in pixels, each (vertical, horizontal): size, which can
        exceed the image because of padding; stride, the distance of the fields of adjacent units, 0 if all units see
        the same; center, of the field of unit (0, 0), in coordinates in which pixel (0, 0) has its center at 0.0.

    Raises:
        ModelError: a model without a graph, with several inputs, or without a fixed input shape; or a layer that
            changes the size of its map in an unsupported way, for example by upsampling.
    """
    found, spans = geometry(model)
    rows = []
    for call, both in zip(found, spans, strict=True):
        rows.append(
            {
                "layer": call.name,
                "type": type(call.layer).__name__,
                "output_shape": call.output_shape,
                "size": tuple(span.size for span in both),
                "stride": tuple(_plain(span.stride) for span in both),
                "center": tuple((span.first + span.last) / 2 for span in both),
            }
        )
    return pd.DataFrame(rows)


def read(model: keras.Model) -> list[Call]:
    """Return the layer calls of a model. Raise ModelError unless its one input is images of fixed height and width."""
    found = calls(model)
    require_sizes(model, found)
    inputs = [call for call in found if not call.sources]
    if len(inputs) != 1 or len(inputs[0].output_shape) != 4:
        shapes = ", ".join(f"{call.name} {call.output_shape}" for call in inputs)
        raise ModelError(f"{model.name} takes {shapes}; a receptive field needs one input of images (None, H, W, C)")
    return found


def geometry(model: keras.Model) -> tuple[list[Call], list[tuple[Span, Span]]]:
    """Return the layer calls of a model, and the vertical and horizontal receptive field (`Span`) of each."""
    found = read(model)
    image = found[0].output_shape
    spans: list[tuple[Span, Span]] = []
    for call in found:
        if not call.sources:
            spans.append((Span(1, 0, 0), Span(1, 0, 0)))
            continue
        sources = [spans[place] for place in call.sources]
        vertical, horizontal = (_span(call, i, [both[i] for both in sources], image[i + 1]) for i in (0, 1))
        spans.append((vertical, horizontal))
    return found, spans


def _span(call: Call, axis: int, sources: list[Span], pixels: int) -> Span:
    """Return the receptive field of a call along an axis (0: vertical, 1: horizontal) from those of its inputs."""
    whole = Span(0, 0, pixels - 1)
    if len(call.output_shape) < 4 or whole in sources:
        return whole
    layer = call.layer
    if isinstance(layer, (*_CONVS, *_POOLS)):
        _require_channels_last(layer)
        return _through_window(sources[0], *_window(layer, axis), call.input_shapes[0][axis + 1], layer.padding)
    if isinstance(layer, _MARGINS):
        return _through_margin(sources[0], layer, axis)
    n = call.output_shape[axis + 1]
    sizes = [shape[axis + 1] if len(shape) >= 4 else None for shape in call.input_shapes]
    if set(sizes) <= {n, 1} and n in sizes:
        return _join(n, [Span(0, *s[1:]) if size < n else s for s, size in zip(sources, sizes, strict=True)])
    if n == 1:
        return whole
    raise ModelError(
        f"layer {call.name!r} ({type(layer).__name__}) maps {call.input_shapes[0]} to {call.output_shape} in an "
        "unsupported way; end the model before it: keras.Model(model.input, <an earlier output>)"
    )


def _window(layer: Any, axis: int) -> tuple[int, int]:
    """Return the extent of a layer's window along an axis in pixels, including dilation, and the stride."""
    if isinstance(layer, _POOLS):
        return layer.pool_size[axis], layer.strides[axis]
    return (layer.kernel_size[axis] - 1) * layer.dilation_rate[axis] + 1, layer.strides[axis]


def _through_window(span: Span, window: int, stride: int, size: int, padding: str) -> Span:
    """Return the receptive field after a window, with TensorFlow's "same" (odd pixel padded at the end).

    The recurrence is that of Araujo et al. 2019.
    """
    before = 0
    if padding == "same":
        before = max((math.ceil(size / stride) - 1) * stride + window - size, 0) // 2
    first = span.first - before * span.stride
    return Span(span.stride * stride, first, span.last + (window - 1 - before) * span.stride)


def _through_margin(span: Span, layer: Any, axis: int) -> Span:
    """Return the receptive field after zero padding (shifted backward) or cropping (forward)."""
    pad = isinstance(layer, keras.layers.ZeroPadding2D)
    margins = layer.padding if pad else layer.cropping
    # A "channels_first" layer pads W and C of (N, H, W, C): `layers.shortcuts.pad_shortcut` uses this.
    place = axis if layer.data_format == "channels_last" else axis - 1
    before = margins[place][0] if place >= 0 else 0
    shift = (-before if pad else before) * span.stride
    return Span(span.stride, span.first + shift, span.last + shift)


def _join(n: int, spans: list[Span]) -> Span:
    """Return the smallest receptive field that covers all `spans` for `n` units, with their largest stride."""
    stride = max(span.stride for span in spans)
    # The bounds are linear in i, so the first and the last unit are sufficient.
    ends = [i * (span.stride - stride) for i in (0, n - 1) for span in spans]
    first = min(end + span.first for end, span in zip(ends, spans * 2, strict=True))
    last = max(end + span.last for end, span in zip(ends, spans * 2, strict=True))
    return Span(stride, first, last)


def _require_channels_last(layer: Any) -> None:
    if layer.data_format != "channels_last":
        raise ModelError(f"layer {layer.name!r} has data_format='channels_first'; build it for images (N, H, W, C)")


def _plain(number: float) -> float:
    """Return a whole number as an int, any other unchanged, for display."""
    return int(number) if number == int(number) else number
