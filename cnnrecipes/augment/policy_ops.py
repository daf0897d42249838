"""Transformations of the augmentation policies, with a different one for each image of a batch.

The images are partitioned by transformation and stitched back in order, so that each transformation runs only on its
own images.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from cnnrecipes._support.lazy import lazy_module
from cnnrecipes.augment import affine, color, filters_and_noise, histogram

if TYPE_CHECKING:
    import tensorflow as tf
else:
    tf = lazy_module("tensorflow")


@dataclass(frozen=True)
class Space:
    """The magnitude range of a policy: the magnitude of each transformation at level 1."""

    shear: float  # slope
    translate: float  # pixels, or a fraction of the width and height where `relative`
    rotate: float  # degrees
    color: float  # added to or subtracted from the factor 1 of brightness, saturation, contrast, sharpness
    bits: tuple[int, int]  # kept by posterize at level 0 and 1
    relative: bool = True

    def magnitudes(self, kinds: tf.Tensor, levels: tf.Tensor, signs: tf.Tensor, height: int, width: int) -> tf.Tensor:
        """Convert levels to the magnitudes that `transform` takes: slope, pixels, degrees, factor, bits or threshold.

        Args:
            kinds: (N,) int32, indices into KINDS.
            levels: (N,), 0..1.
            signs: (N,), 0..1; below 1/2 a signed magnitude is negated.
            height, width: size of the images in pixels.

        Returns:
            (N,), float32.
        """
        sign = tf.where(signs < 0.5, -1.0, 1.0)
        reach = (width, height) if self.relative else (1, 1)
        table = tf.stack([magnitude(self, levels, sign, reach) for magnitude in _MAGNITUDES.values()], 1)
        return tf.gather(table, kinds, batch_dims=1)


def _none(space: Space, levels: tf.Tensor, sign: tf.Tensor, reach: tuple[int, int]) -> tf.Tensor:
    return tf.zeros_like(levels)


def _factor(space: Space, levels: tf.Tensor, sign: tf.Tensor, reach: tuple[int, int]) -> tf.Tensor:
    return 1 + space.color * levels * sign


def _bits(space: Space, levels: tf.Tensor, sign: tf.Tensor, reach: tuple[int, int]) -> tf.Tensor:
    return space.bits[0] - tf.round((space.bits[0] - space.bits[1]) * levels)


# kind -> function of (space, levels (N,), signs (N,) of -1 and 1, pixels of a relative translation in x and y)
_MAGNITUDES: dict[str, Callable] = {
    "identity": _none,
    "shear_x": lambda space, levels, sign, reach: space.shear * levels * sign,
    "shear_y": lambda space, levels, sign, reach: space.shear * levels * sign,
    "translate_x": lambda space, levels, sign, reach: space.translate * reach[0] * levels * sign,
    "translate_y": lambda space, levels, sign, reach: space.translate * reach[1] * levels * sign,
    "rotate": lambda space, levels, sign, reach: space.rotate * levels * sign,
    "brightness": _factor,
    "saturation": _factor,
    "contrast": _factor,
    "sharpness": _factor,
    "posterize": _bits,
    "solarize": lambda space, levels, sign, reach: 255 * (1 - levels),
    "autocontrast": _none,
    "equalize": _none,
    "invert": _none,
}
KINDS = tuple(_MAGNITUDES)
GEOMETRIC = ("shear_x", "shear_y", "translate_x", "translate_y", "rotate")


def transform(
    images: tf.Tensor, kinds: tf.Tensor, magnitudes: tf.Tensor, fill: tf.Tensor, among: tuple[str, ...] = KINDS
) -> tf.Tensor:
    """Apply to each image its own transformation.

    Args:
        images: (N, H, W, C), uint8.
        kinds: (N,) int32, indices into KINDS.
        magnitudes: (N,) float32, in the transformation's own unit.
        fill: uint8, (C,) or a scalar; fill color for pixels outside of the image.
        among: all kinds that occur in `kinds`; others are left out of the graph.

    Returns:
        (N, H, W, C), uint8.
    """
    used = [group for group in _GROUPS if not set(among).isdisjoint(group[0])]
    group_of = {kind: number for number, (members, _) in enumerate(used) for kind in members}
    groups = tf.gather([group_of.get(kind, -1) for kind in KINDS], kinds)
    places, *parts = (
        tf.dynamic_partition(each, groups, len(used))
        for each in (tf.range(tf.shape(images)[0]), images, kinds, magnitudes)
    )
    done = [apply(*part, fill) for (_, apply), *part in zip(used, *parts, strict=True)]
    return tf.ensure_shape(tf.dynamic_stitch(places, done), images.shape)


def affine_maps(kinds: tf.Tensor, magnitudes: tf.Tensor) -> tf.Tensor:
    """Return the maps (N, 2, 3) of geometric transformations, for `affine.affine`; of others the identity."""
    amounts = {kind: tf.where(kinds == KINDS.index(kind), magnitudes, 0.0) for kind in GEOMETRIC}
    # At most one of the three is not the identity, so that sum and product are the same.
    sheared = affine.shearing(amounts["shear_x"], amounts["shear_y"])
    moved = affine.translation(amounts["translate_x"], amounts["translate_y"])
    return sheared + moved + affine.rotation(amounts["rotate"]) - 2 * tf.eye(2, 3)


def _moved_along_axis(images, kinds, magnitudes, fill):
    return affine.affine_along_axis(images, affine_maps(kinds, magnitudes), fill)


def _rotated(images, kinds, magnitudes, fill):
    return affine.affine(images, affine.rotation(magnitudes), fill)


def _with_magnitude(change: Callable) -> Callable:
    return lambda images, kinds, magnitudes, fill: change(images, magnitudes)


def _without_magnitude(change: Callable) -> Callable:
    return lambda images, kinds, magnitudes, fill: change(images)


# Kinds that run together, and their function of (images, kinds, magnitudes, fill).
_GROUPS: tuple[tuple[tuple[str, ...], Callable], ...] = (
    (("identity",), _without_magnitude(lambda images: images)),
    (("shear_x", "shear_y", "translate_x", "translate_y"), _moved_along_axis),
    (("rotate",), _rotated),
    (("brightness",), _with_magnitude(color.brightened)),
    (("saturation",), _with_magnitude(color.saturated)),
    (("contrast",), _with_magnitude(color.contrasted)),
    (("sharpness",), _with_magnitude(filters_and_noise.sharpened)),
    (("posterize",), _with_magnitude(color.posterized)),
    (("solarize",), _with_magnitude(color.solarized)),
    (("autocontrast",), _without_magnitude(histogram.autocontrasted)),
    (("equalize",), _without_magnitude(histogram.equalized)),
    (("invert",), _without_magnitude(color.inverted)),
)
