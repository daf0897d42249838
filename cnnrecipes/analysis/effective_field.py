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

from cnnrecipes._support.figures import Picture, drawable, save
from cnnrecipes.analysis.graph import Call, run
from cnnrecipes.analysis.grouping import is_map
from cnnrecipes.analysis.receptive_field import geometry, read
from cnnrecipes.errors import ModelError, UnknownNameError

# A pixel belongs to the effective field above 1 - 95.45 % of the peak: two deviations, as Luo et al. 2016 count.
EFFECTIVE = 1 - 0.9545


def effective_receptive_field(
    model: keras.Model, layer: str | None = None, images: np.ndarray | None = None
) -> np.ndarray:
    """Compute the effective receptive field of the centre unit of a feature map (Luo et al. 2016, arXiv:1701.04128).

    The gradient of the centre unit, summed over channels, with respect to the images, in inference mode; its
    absolute value averaged over images and channels. Norms whose scales are all 0 count with scales of 1: in a fresh
    residual net each block ends in one, and until it is trained the net would seem to see through its shortcuts alone.

    Args:
        layer: name of the layer, its last call counts; None: the last feature map before the head.
        images: (N, H, W, C), on the scale that the model takes; None: 8 of uniform noise, 0..255.

    Returns:
        (H, W), float32, the largest value 1; all zeros if the unit reacts to nothing.

    Raises:
        ModelError: as `receptive_field`, or a layer without a feature map, or images of another shape.
        UnknownNameError: no such layer.
    """
    import tensorflow as tf

    found = read(model)
    target = _target(found, layer)
    images = tf.convert_to_tensor(_images(model, images), dtype="float32")
    row, column = ((n - 1) // 2 for n in found[target].output_shape[1:3])
    with _awake(model), tf.GradientTape() as tape:
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
    """The effective field of the centre unit of a layer, and the box of its theoretical one.

    Args:
        layer, images: as `effective_receptive_field` has them.
        path: also write it there, as .png, .svg or .pdf.

    Raises:
        ModelError: as `effective_receptive_field`, or a bad suffix.
        WriteError: a path that cannot be written.
        UnknownNameError: no such layer.
    """
    path = path and drawable(path)
    found, spans = geometry(model)
    target = _target(found, layer)
    field = effective_receptive_field(model, layer, images)
    centre = [(n - 1) // 2 for n in found[target].output_shape[1:3]]
    corner = [i * span.stride + span.first for i, span in zip(centre, spans[target], strict=True)]
    size = [span.size for span in spans[target]]
    figure = Picture(figsize=(6.4, 6.2), layout="constrained")
    axes = figure.add_subplot()
    image = axes.imshow(field, cmap="magma", vmin=0, vmax=1)
    # Half a pixel out: the middle of pixel (0, 0) is at (0, 0).
    axes.add_patch(Rectangle((corner[1] - 0.5, corner[0] - 0.5), size[1], size[0], fill=False, lw=2, ec="#1696d2"))
    # The box is shown whole; what stands beside the image is padding.
    axes.set_facecolor("#d9d9d9")
    axes.set_xlim(*_limits(corner[1], size[1], field.shape[1]))
    axes.set_ylim(*reversed(_limits(corner[0], size[0], field.shape[0])))
    axes.set(xlabel="pixel (gray: padding)", ylabel="pixel")
    axes.set_title(_title(model, found[target], field, size), fontsize=11)
    figure.colorbar(image, shrink=0.8, label="gradient, relative to its peak")
    if path:
        save(figure, path)
    return figure


def effective_size(field: np.ndarray) -> float:
    """The edge, in pixels, of a square as large as the part of an effective field above 4.55 % of its peak."""
    return float(np.sqrt(np.count_nonzero(field > EFFECTIVE * field.max())))


@contextlib.contextmanager
def _awake(model: keras.Model) -> Iterator[None]:
    """Scales that are all 0 are 1 in here."""
    scales = [w for w in model.weights if w.name == "gamma" or (w.name == "kernel" and len(w.shape) == 1)]
    asleep = [w for w in scales if not np.any(keras.ops.convert_to_numpy(w))]
    for scale in asleep:
        scale.assign(keras.ops.ones_like(scale))
    try:
        yield
    finally:
        for scale in asleep:
            scale.assign(keras.ops.zeros_like(scale))


def _limits(corner: float, size: float, pixels: int) -> tuple[float, float]:
    """An axis that holds image and box, with a rim."""
    first, last = min(corner, 0), max(corner + size, pixels)
    rim = 0.03 * (last - first)
    return first - 0.5 - rim, last - 0.5 + rim


def _title(model: keras.Model, call: Call, field: np.ndarray, size: Sequence[float]) -> str:
    effective, (height, width) = effective_size(field), field.shape
    return (
        f"{model.name}, centre unit of {call.name}\n"
        f"sees {size[0]}x{size[1]} px in theory (box) of an image of {height}x{width},\n"
        f"and reacts to about {effective:.0f}x{effective:.0f} px"
    )


def _target(found: Sequence[Call], layer: str | None) -> int:
    """The place of a layer's last call, or of the last feature map."""
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
        raise ModelError(f"{model.name} takes images {(None, *shape)}, got {np.shape(images)}")
    return np.asarray(images)
