"""Plots of convolution filters and of feature maps."""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
from matplotlib.figure import Figure

from cnnrecipes.analysis import map_sheet
from cnnrecipes.analysis.batch_validation import batch_for, numbers
from cnnrecipes.analysis.grayscale_mosaic import mosaic, shades, signed
from cnnrecipes.errors import DataError, ModelError, UnknownNameError, nearest
from cnnrecipes.figures import Picture, drawable, written
from cnnrecipes.models.graph import Call, calls, run
from cnnrecipes.models.stage_grouping import is_map, stages

L = keras.layers

# With more kernels or maps than this, they are too small on a page.
_MOST_KERNELS = 256
_MOST_MAPS = 400
_COLUMNS = 16


def plot_filters(model: keras.Model, layer: str | None = None, path: str | os.PathLike | None = None) -> Figure:
    """Plot the kernels of a convolution as small images, each scaled to its own largest weight; mid-gray is 0.

    Kernels over 3 channels are in color (red, green, blue); kernels over 1 channel and depthwise kernels are gray. For
    other kernels each row shows the channels of one kernel: at most 16 channels of 16 kernels.

    Args:
        model: functional or sequential.
        layer: name of a 2D convolution; None: the first one.
        path: file to write the figure to (.png, .svg or .pdf); None: not written.

    Raises:
        UnknownNameError: no such layer.
        ModelError: the layer is not a 2D convolution, or the model has none or no graph; an unsupported suffix.
        WriteError: the path cannot be written.
    """
    path = path and drawable(path)
    call = _convolution(model, layer)
    tiles, columns, what = _kernel_tiles(call)
    image = mosaic(tiles, columns)
    width = min(7.0, 0.9 * columns)
    height = width * image.shape[0] / image.shape[1]
    figure = Picture(figsize=(7.4, height + 1.1), layout="constrained")
    axes = figure.add_subplot()
    axes.imshow(image, interpolation="nearest")
    axes.set_axis_off()
    figure.suptitle(f"{model.name}, {call.name}\n{what}\neach kernel scaled to its largest weight; gray is 0", size=10)
    return written(figure, path)


def plot_feature_maps(
    model: keras.Model,
    image: Any,
    layers: str | Sequence[str] | None = None,
    channels: int = 16,
    path: str | os.PathLike | None = None,
    *,
    about: str = "",
) -> Figure:
    """Plot feature maps of one image in inference mode: the channels of each layer with the highest mean response.

    Channels are in descending order of their mean, with their numbers. Each map is scaled from its smallest value
    (dark) to its largest (bright); a constant map is dark.

    Args:
        model: functional or sequential.
        image: (H, W, C) in the model's input range, usually 0..255.
        layers: names of layers with feature maps; the last call of each is used. None: the last map of each stage with
            more than one pixel.
        channels: maximum number of channels per layer.
        path: file to write the figure to (.png, .svg or .pdf); None: not written.
        about: description of the image, for its heading.

    Raises:
        DataError: an image of another shape.
        UnknownNameError: no such layer.
        ModelError: a layer without feature maps, a model without a graph, no or too many maps; an unsupported suffix.
        WriteError: the path cannot be written.
    """
    path = path and drawable(path)
    found, image = calls(model), numbers(image)
    if image.ndim != 3:
        raise DataError(f"expected one image (H, W, C), got the shape {image.shape}; give one without a batch axis")
    batch = batch_for(model, image[None])
    places = _last_maps(found) if layers is None else [_place(found, name) for name in _listed(layers)]
    _check_number(len(places), channels)
    title = (
        f"{model.name}: the channels of each stage that answer most",
        "the highest mean first, below its number; each from its smallest value, dark, to its largest, bright",
    )
    heading = ("image {}x{}x{}".format(*image.shape), about)
    figure = map_sheet.draw(title, heading, shades(batch[0]), _labeled_maps(found, places, batch), channels)
    return written(figure, path)


def _check_number(layers: int, channels: int) -> None:
    if not layers or channels < 1 or layers * channels > _MOST_MAPS:
        raise ModelError(
            f"{layers} layers, {channels} channels of each; give at least one of both, and at most "
            f"{_MOST_MAPS} maps in all"
        )


def _labeled_maps(found: Sequence[Call], places: Sequence[int], batch: np.ndarray) -> list[tuple[str, np.ndarray]]:
    """Return a pair for each call at `places`: its label and its feature maps (H, W, C) of the first image of a batch.

    A label is, for example, "stage2 16x16x32".
    """
    maps = {}
    for place, (_, value) in enumerate(run(found[: max(places) + 1], batch)):
        if place in places:
            maps[place] = keras.ops.convert_to_numpy(value)[0].astype("float32")
    labels = stages(found)
    return [(_label(labels[place], found[place].name, maps[place]), maps[place]) for place in places]


def _convolution(model: keras.Model, name: str | None) -> Call:
    found = calls(model)
    convolutions = {c.name: c for c in found if isinstance(c.layer, (L.Conv2D, L.DepthwiseConv2D))}
    if name is None:
        if not convolutions:
            raise ModelError(f"{model.name} has no 2D convolution and so no filters; give a convolutional model")
        return next(iter(convolutions.values()))
    if name not in convolutions:
        kind = type(found[_place(found, name, maps=False)].layer).__name__
        raise ModelError(f"layer {name!r} is a {kind}, not a 2D convolution{nearest(name, convolutions)}")
    return convolutions[name]


def _kernel_tiles(call: Call) -> tuple[np.ndarray, int, str]:
    """Return the brightness (K, H, W, 1 or 3) of a convolution's tiles, the number of columns and a description."""
    kernels = np.moveaxis(keras.ops.convert_to_numpy(call.layer.kernel).astype("float32"), -1, 0)
    what = "{} kernels of {}x{}x{}".format(*kernels.shape)
    if isinstance(call.layer, L.DepthwiseConv2D):  # (multiplier, H, W, C): a kernel sees one channel
        kernels = np.moveaxis(kernels, -1, 0).reshape(-1, *kernels.shape[1:3], 1)
        what = "{} kernels of {}x{}, each over one channel".format(*kernels.shape)
    tiles = signed(kernels)
    count, height, width, depth = tiles.shape
    if depth in (1, 3):
        tiles = tiles[:_MOST_KERNELS]
        columns = math.ceil(math.sqrt(len(tiles)))
        return tiles, columns, what if len(tiles) == count else f"{what}, the first {len(tiles)}"
    tiles = tiles[:_COLUMNS, ..., :_COLUMNS]
    rows, columns = len(tiles), tiles.shape[-1]
    what += f"\nrows: {_of(rows, count)} kernels; columns: {_of(columns, depth)} channels"
    return np.moveaxis(tiles, -1, 1).reshape(-1, height, width, 1), columns, what


def _of(shown: int, there: int) -> str:
    return f"all {there}" if shown == there else f"the first {shown}"


def _listed(layers: str | Sequence[str]) -> Sequence[str]:
    return (layers,) if isinstance(layers, str) else layers


def _place(found: Sequence[Call], name: str, *, maps: bool = True) -> int:
    """Return the index of a layer's last call. With `maps`, raise ModelError if its output is not feature maps."""
    places = [i for i, call in enumerate(found) if call.name == name]
    if not places:
        raise UnknownNameError("layer", name, {call.name for call in found})
    call = found[places[-1]]
    if maps and len(call.output_shape) != 4:
        kind = type(call.layer).__name__
        raise ModelError(
            f"layer {name!r} is a {kind} with output {call.output_shape}; give one with feature maps (None, H, W, C)"
        )
    return places[-1]


def _last_maps(found: Sequence[Call]) -> list[int]:
    """Return the indices of the last feature map of each stage; outputs of preprocessing and padding do not count."""
    none = (L.InputLayer, L.Normalization, L.Rescaling, L.ZeroPadding2D)
    last = {
        stage: i
        for i, (call, stage) in enumerate(zip(found, stages(found), strict=True))
        if call.sources and is_map(call.output_shape) and not isinstance(call.layer, none)
    }
    return sorted(last.values())


def _label(stage: str, name: str, maps: np.ndarray) -> str:
    sizes = "x".join(map(str, maps.shape))
    return f"{sizes if sizes.startswith(stage) else f'{stage} {sizes}'}   {name}"
