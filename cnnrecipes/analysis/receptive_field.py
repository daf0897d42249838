"""Theoretical receptive field of each layer, from kernel sizes, strides and padding."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import keras
import pandas as pd

from cnnrecipes.analysis.graph import Call, calls
from cnnrecipes.analysis.grouping import require_sizes
from cnnrecipes.errors import ModelError

_CONVS = (keras.layers.Conv2D, keras.layers.DepthwiseConv2D, keras.layers.SeparableConv2D)
_POOLS = (keras.layers.MaxPooling2D, keras.layers.AveragePooling2D)
_MARGINS = (keras.layers.ZeroPadding2D, keras.layers.Cropping2D)


class Span(NamedTuple):
    """Along one axis, unit i sees the pixels from i * stride + first to i * stride + last, both included."""

    stride: float
    first: float
    last: float

    @property
    def size(self) -> float:
        """Pixels, those of the padding too."""
        return _plain(self.last - self.first + 1)


def receptive_field(model: keras.Model) -> pd.DataFrame:
    """The theoretical receptive field of every layer call (Araujo et al. 2019, "Computing receptive fields of CNNs").

    Where branches meet, the field spans all of them. Pooling or flattening the whole map sees the whole image, and
    so does everything behind it. Normalizations count as pointwise, though layer, instance and group normalization,
    and batch normalization in training, look at all pixels through their statistics.

    Returns:
        columns layer, type, output_shape (None, H, W, C); and in pixels, each (vertical, horizontal): size, which
        can exceed the image, since units see padding; stride, the step of the field between neighbouring units, 0
        where every unit sees the same; centre, of the field of unit (0, 0), where pixel (0, 0) has its own at 0.0.

    Raises:
        ModelError: a model without a graph, with more than one input, or without a fixed input shape; or a layer
            that changes the size of its map in a way that is not known here (upsampling, say).
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
                "centre": tuple((span.first + span.last) / 2 for span in both),
            }
        )
    return pd.DataFrame(rows)


def read(model: keras.Model) -> list[Call]:
    """The calls of a model of one input of images with known sizes, or ModelError."""
    found = calls(model)
    require_sizes(model, found)
    inputs = [call for call in found if not call.sources]
    if len(inputs) != 1 or len(inputs[0].output_shape) != 4:
        shapes = ", ".join(f"{call.name} {call.output_shape}" for call in inputs)
        raise ModelError(f"{model.name} takes {shapes}; a receptive field needs one input of images (None, H, W, C)")
    return found


def geometry(model: keras.Model) -> tuple[list[Call], list[tuple[Span, Span]]]:
    """The calls of a model and, for each, its span down and across the image."""
    found = read(model)
    image = found[0].output_shape
    spans: list[tuple[Span, Span]] = []
    for call in found:
        if not call.sources:
            spans.append((Span(1, 0, 0), Span(1, 0, 0)))
            continue
        sources = [spans[place] for place in call.sources]
        spans.append(tuple(_span(call, axis, [both[axis] for both in sources], image[axis + 1]) for axis in (0, 1)))
    return found, spans


def _span(call: Call, axis: int, sources: list[Span], pixels: int) -> Span:
    """The span of a call's output along an axis (0 down, 1 across), from those of its inputs."""
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
        f"layer {call.name!r} ({type(layer).__name__}) makes {call.output_shape} of {call.input_shapes[0]}; what its "
        "units see of the image is not known; end the model before it: keras.Model(model.input, <an earlier output>)"
    )


def _window(layer: Any, axis: int) -> tuple[int, int]:
    """The pixels from the first to the last that a window takes, dilation included, and its stride."""
    if isinstance(layer, _POOLS):
        return layer.pool_size[axis], layer.strides[axis]
    return (layer.kernel_size[axis] - 1) * layer.dilation_rate[axis] + 1, layer.strides[axis]


def _through_window(span: Span, window: int, stride: int, size: int, padding: str) -> Span:
    """The recurrence of Araujo et al. 2019, with TensorFlow's "same", which pads the odd pixel behind."""
    before = 0
    if padding == "same":
        before = max((math.ceil(size / stride) - 1) * stride + window - size, 0) // 2
    first = span.first - before * span.stride
    return Span(span.stride * stride, first, span.last + (window - 1 - before) * span.stride)


def _through_margin(span: Span, layer: Any, axis: int) -> Span:
    """Zeros before move the field back, a crop moves it on."""
    pad = isinstance(layer, keras.layers.ZeroPadding2D)
    margins = layer.padding if pad else layer.cropping
    # In (N, H, W, C), what a "channels first" layer pads is W and C: `layers.shortcuts.pad_shortcut` does so.
    place = axis if layer.data_format == "channels_last" else axis - 1
    before = margins[place][0] if place >= 0 else 0
    shift = (-before if pad else before) * span.stride
    return Span(span.stride, span.first + shift, span.last + shift)


def _join(n: int, spans: list[Span]) -> Span:
    """The smallest span over `n` units that holds all of `spans`, with the largest stride of theirs."""
    stride = max(span.stride for span in spans)
    # Linear in i, so the first and the last unit decide.
    ends = [i * (span.stride - stride) for i in (0, n - 1) for span in spans]
    first = min(end + span.first for end, span in zip(ends, spans * 2, strict=True))
    last = max(end + span.last for end, span in zip(ends, spans * 2, strict=True))
    return Span(stride, first, last)


def _require_channels_last(layer: Any) -> None:
    if layer.data_format != "channels_last":
        raise ModelError(f"layer {layer.name!r} has data_format='channels_first'; build it for images (N, H, W, C)")


def _plain(number: float) -> float:
    """A whole number as an int, for reading."""
    return int(number) if number == int(number) else number
