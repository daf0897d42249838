"""Effective receptive field, from gradients, and its plot."""

from __future__ import annotations

import contextlib
import itertools
import os
from collections.abc import Iterator, Sequence

import keras
import numpy as np
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from cnnrecipes.analysis.receptive_field import geometry, read
from cnnrecipes.errors import ModelError, UnknownNameError
from cnnrecipes.figures import Picture, drawable, written
from cnnrecipes.models.graph import Call, run
from cnnrecipes.models.stage_grouping import is_map

# Threshold relative to the peak: 1 - 95.45 %, two standard deviations (Luo et al. 2016).
EFFECTIVE = 1 - 0.9545


def effective_receptive_field(
    model: keras.Model, layer: str | None = None, images: np.ndarray | None = None
) -> np.ndarray:
    """Compute the effective receptive field of the center unit of a feature map (Luo et al. 2016, arXiv:1701.04128).

    The field is the absolute gradient of the center unit, summed over channels, with respect to the images, in
    inference mode, averaged over images and image channels. Normalization scales that are all 0 are set to 1 meanwhile:
    each block of an untrained residual network ends in one, and only its shortcuts would be visible.

    Args:
        model: functional or sequential, with a fixed input shape.
        layer: name of a layer, of which the last call is used; None: the last feature map before the head.
        images: (N, H, W, C) in the model's input range; None: 8 images of uniform noise, 0..255.

    Returns:
        (H, W), float32, with maximum 1; all zeros if the gradient is 0.

    Raises:
        ModelError: see `receptive_field`; or a layer without a feature map, or images of another shape.
        UnknownNameError: no such layer.
    """
    import tensorflow as tf

    found = read(model)
    target = _target(found, layer)
    images = tf.convert_to_tensor(_images(model, images), dtype="float32")
    row, column = ((n - 1) // 2 for n in found[target].output_shape[1:3])
    with _unit_scales(model), tf.GradientTape() as tape:
        tape.watch(images)
        _, value = next(itertools.islice(run(found, images), target, None))
        unit = tf.reduce_sum(tf.cast(value[:, row, column, :], "float32"))
    gradient = np.abs(tape.gradient(unit, images)).mean(axis=(0, 3), dtype="float64")
    return (gradient / (gradient.max() or 1.0)).astype("float32")


def plot_receptive_field(
    model: keras.Model,
    layer: str | None = None,
    images: np.ndarray | None = None,
    path: str | os.PathLike | None = None,
) -> Figure:
    """Plot the effective receptive field of the center unit of a layer, with a box for the theoretical one.

    Args:
        model, layer, images: see `effective_receptive_field`.
        path: file to write the figure to (.png, .svg or .pdf); None: not written.

    Raises:
        ModelError: see `effective_receptive_field`; or an unsupported suffix.
        WriteError: the path cannot be written.
        UnknownNameError: no such layer.
    """
    path = path and drawable(path)
    found, spans = geometry(model)
    target = _target(found, layer)
    field = effective_receptive_field(model, layer, images)
    center = [(n - 1) // 2 for n in found[target].output_shape[1:3]]
    corner = [i * span.stride + span.first for i, span in zip(center, spans[target], strict=True)]
    size = [span.size for span in spans[target]]
    figure = Picture(figsize=(6.4, 6.2), layout="constrained")
    axes = figure.add_subplot()
    image = axes.imshow(field, cmap="magma", vmin=0, vmax=1)
    # Offset by half a pixel: imshow places the center of pixel (0, 0) at (0, 0).
    axes.add_patch(Rectangle((corner[1] - 0.5, corner[0] - 0.5), size[1], size[0], fill=False, lw=2, ec="#1696d2"))
    # The axes include the whole box; the area outside of the image is padding.
    axes.set_facecolor("#d9d9d9")
    axes.set_xlim(*_limits(corner[1], size[1], field.shape[1]))
    axes.set_ylim(*reversed(_limits(corner[0], size[0], field.shape[0])))
    axes.set(xlabel="pixel (gray: padding)", ylabel="pixel")
    axes.set_title(_title(model, found[target], field, size), fontsize=11)
    figure.colorbar(image, shrink=0.8, label="gradient, relative to its peak")
    return written(figure, path)


def effective_size(field: np.ndarray) -> float:
    """Return the side, in pixels, of a square with the area of the field above 4.55 % of its peak."""
    return float(np.sqrt(np.count_nonzero(field > EFFECTIVE * field.max())))


@contextlib.contextmanager
def _unit_scales(model: keras.Model) -> Iterator[None]:
    """Set normalization scales that are all 0 to 1, and restore them on exit."""
    scales = [w for w in model.weights if w.name == "gamma" or (w.name == "kernel" and len(w.shape) == 1)]
    zero = [w for w in scales if not np.any(keras.ops.convert_to_numpy(w))]
    for scale in zero:
        scale.assign(keras.ops.ones_like(scale))
    try:
        yield
    finally:
        for scale in zero:
            scale.assign(keras.ops.zeros_like(scale))


def _limits(corner: float, size: float, pixels: int) -> tuple[float, float]:
    """Return axis limits that contain the image and the box, with a margin."""
    first, last = min(corner, 0), max(corner + size, pixels)
    rim = 0.03 * (last - first)
    return first - 0.5 - rim, last - 0.5 + rim


def _title(model: keras.Model, call: Call, field: np.ndarray, size: Sequence[float]) -> str:
    effective, (height, width) = effective_size(field), field.shape
    return (
        f"{model.name}, center unit of {call.name}\n"
        f"sees {size[0]}x{size[1]} px in theory (box) of an image of {height}x{width},\n"
        f"and reacts to about {effective:.0f}x{effective:.0f} px"
    )


def _target(found: Sequence[Call], layer: str | None) -> int:
    """Return the index of the last call of `layer`, or of the last feature map if `layer` is None."""
    if layer is None:
        maps = [i for i, call in enumerate(found) if call.sources and is_map(call.output_shape)]
        if not maps:
            raise ModelError("no layer has a feature map (N, H, W, C) of more than one pixel; name a layer")
        return maps[-1]
    places = [i for i, call in enumerate(found) if call.name == layer]
    if not places:
        raise UnknownNameError("layer", layer, {call.name for call in found})
    if len(found[places[-1]].output_shape) != 4:
        shape = found[places[-1]].output_shape
        raise ModelError(f"layer {layer!r} gives {shape}; name one with a feature map (None, H, W, C)")
    return places[-1]


def _images(model: keras.Model, images: np.ndarray | None) -> np.ndarray:
    shape = tuple(model.input_shape[1:])
    if images is None:
        return np.random.default_rng(0).uniform(0, 255, (8, *shape)).astype("float32")
    if np.ndim(images) != 4 or np.shape(images)[1:] != shape or not len(images):
        raise ModelError(
            f"{model.name} takes images {(None, *shape)}, got {np.shape(images)}; give at least one of that shape"
        )
    return np.asarray(images)
