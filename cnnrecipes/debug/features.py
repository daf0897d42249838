"""What a network looks for and what it finds: the first kernels, and the feature maps of one image."""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from itertools import groupby
from typing import Any

import keras
import numpy as np
from matplotlib.figure import Figure

from cnnrecipes.debug.drawing import drawable, save
from cnnrecipes.debug.graph import Call, calls, run
from cnnrecipes.debug.grouping import is_map, stages
from cnnrecipes.errors import ModelError, UnknownNameError

MOST_KERNELS = 256


def plot_filters(model: keras.Model, layer: str | None = None, path: str | os.PathLike | None = None) -> Figure:
    """The kernels of a convolution as small pictures: gray is 0, each kernel scaled by its largest weight.

    Kernels over 3 channels are drawn in colour; others by the mean over their input channels. Of more than 256 the
    first 256 are drawn.

    Args:
        layer: name of a convolution; None: the first.
        path: also write it there, as .png, .svg or .pdf.

    Raises:
        UnknownNameError: no such layer.
        ModelError: a layer that is no convolution, a model without one, or a path that cannot be written.
    """
    path = path and drawable(path)
    call = _convolution(calls(model), layer, model.name)
    kernels = np.moveaxis(keras.ops.convert_to_numpy(call.layer.kernel), -1, 0)[:MOST_KERNELS]  # (K, h, w, C)
    if kernels.shape[-1] != 3:
        kernels = kernels.mean(-1, keepdims=True)
    largest = np.abs(kernels).max((1, 2, 3), keepdims=True)
    pictures = 0.5 + 0.5 * kernels / np.where(largest > 0, largest, 1)
    columns = min(16, len(pictures))
    rows = math.ceil(len(pictures) / columns)
    figure = Figure(figsize=(max(6.0, 0.55 * columns), 0.9 + 0.58 * rows), dpi=120, layout="constrained")
    for axis, picture in zip(np.ravel(figure.subplots(rows, columns)), pictures, strict=False):
        axis.imshow(picture.squeeze(), cmap="gray", vmin=0, vmax=1)
    for axis in figure.axes:
        axis.axis("off")
    height, width, channels, count = call.layer.kernel.shape
    figure.suptitle(f"{call.name}: {count} kernels of {height}x{width}x{channels}; gray is 0", fontsize=11)
    if path:
        save(figure, path)
    return figure


def plot_feature_maps(
    model: keras.Model,
    image: np.ndarray,
    layers: Sequence[str] | None = None,
    channels: int = 12,
    path: str | os.PathLike | None = None,
) -> Figure:
    """What an image gives in some layers: a row a layer, its channels with the largest mean first.

    Each map is scaled from its own smallest to its largest value.

    Args:
        image: (H, W, C), on the scale that the model takes, 0..255 for ours.
        layers: names of layers; None: the last feature map of every stage.
        channels: maps in a row.
        path: also write it there, as .png, .svg or .pdf.

    Raises:
        UnknownNameError: no such layer.
        ModelError: a layer without feature maps, an image of another shape, or a path that cannot be written.
    """
    path = path and drawable(path)
    image = np.asarray(image)
    expected = tuple(model.input_shape[1:])
    if image.ndim != 3 or any(e not in (None, n) for e, n in zip(expected, image.shape, strict=True)):
        raise ModelError(f"{model.name} takes an image ({', '.join(map(str, expected))}); got {image.shape}")
    found = calls(model)
    chosen = _chosen(found, layers)
    maps = {
        call.name: keras.ops.convert_to_numpy(keras.ops.cast(value, "float32"))[0]
        for call, value in run(found, image[None].astype("float32"))
        if call.name in chosen
    }
    figure = Figure(figsize=(1.5 + 0.95 * channels, 1.15 + 1.12 * len(maps)), dpi=110, layout="constrained")
    grid = figure.add_gridspec(len(maps) + 1, channels + 1, width_ratios=[1.4] + [1] * channels)
    _show(figure.add_subplot(grid[0, 1]), image)
    _label(figure.add_subplot(grid[0, 0]), "image", image.shape)
    for row, name in enumerate(chosen, start=1):
        _label(figure.add_subplot(grid[row, 0]), name, maps[name].shape)
        strongest = np.argsort(-maps[name].mean((0, 1)), kind="stable")[:channels]
        for column, channel in enumerate(strongest, start=1):
            axis = figure.add_subplot(grid[row, column])
            axis.imshow(maps[name][..., channel], cmap="viridis")
            axis.set_title(str(channel), fontsize=7, pad=2)
            axis.axis("off")
    if path:
        save(figure, path)
    return figure


def _show(axis: Any, image: np.ndarray) -> None:
    """An image of 1 or 3 channels in its own colours, scaled to what it spans if that is not 0..255."""
    low, high = float(image.min()), float(image.max())
    if low < 0 or high > 255 or high <= 1:
        image = (image - low) / ((high - low) or 1) * 255
    picture = image if image.shape[-1] == 3 else image.mean(-1)
    axis.imshow(picture.astype("uint8"), cmap="gray", vmin=0, vmax=255)
    axis.axis("off")


def _label(axis: Any, name: str, shape: tuple[int, ...]) -> None:
    lines = [name.rpartition("/")[2].replace("_", " "), "x".join(map(str, shape))]
    axis.text(1, 0.5, "\n".join(lines), ha="right", va="center", fontsize=8, transform=axis.transAxes)
    axis.axis("off")


def _convolution(found: Sequence[Call], name: str | None, model: str) -> Call:
    convolutions = [call for call in found if isinstance(call.layer, keras.layers.Conv2D)]
    if name is None:
        if not convolutions:
            raise ModelError(f"{model} has no convolution")
        return convolutions[0]
    call = _call(found, name)
    if call not in convolutions:
        known = ", ".join(c.name for c in convolutions[:3])
        raise ModelError(f"{name} is a {type(call.layer).__name__}, no convolution; take one as {known}")
    return call


def _chosen(found: Sequence[Call], layers: Sequence[str] | None) -> list[str]:
    """The names of the layers to show, in order."""
    if layers is None:
        spatial = [(stage, call) for stage, call in zip(stages(found), found, strict=True) if is_map(call.output_shape)]
        last = [list(group)[-1][1] for _, group in groupby(spatial, key=lambda pair: pair[0])]
        return [call.name for call in last if call.sources]
    for name in layers:
        if not is_map(_call(found, name).output_shape):
            raise ModelError(f"{name} gives {_call(found, name).output_shape}, no feature maps (N, H, W, C)")
    return list(dict.fromkeys(layers))


def _call(found: Sequence[Call], name: str) -> Call:
    for call in found:
        if call.name == name:
            return call
    raise UnknownNameError("layer", name, {call.name for call in found})
