"""The transformations that the policies choose from, for a batch in which each image has its own.

The images are dealt out to the transformations and put back in order, so that each one is done for its images alone.
"""

from __future__ import annotations

from dataclasses import dataclass

import tensorflow as tf

from cnnrecipes.augment import colour, filters, geometry

KINDS = (
    "identity",
    "shear_x",
    "shear_y",
    "translate_x",
    "translate_y",
    "rotate",
    "brightness",
    "saturation",
    "contrast",
    "sharpness",
    "posterize",
    "solarize",
    "autocontrast",
    "equalize",
    "invert",
)
_VALUES = KINDS[6:]
# kind -> group: 0 is left alone; rows slide, columns slide, rotation; then one for each change of values
_GROUPS = [0, 1, 2, 1, 2, 3, *range(4, 4 + len(_VALUES))]


@dataclass(frozen=True)
class Space:
    """How strong a transformation of level 1 is."""

    shear: float  # slope
    translate: float  # pixels, or a share of the width and height where `relative`
    rotate: float  # degrees
    colour: float  # what the factor 1 gains or loses: brightness, saturation, contrast, sharpness
    bits: tuple[int, int]  # left by posterize at level 0 and 1
    relative: bool = True

    def magnitudes(self, kinds: tf.Tensor, levels: tf.Tensor, signs: tf.Tensor, height: int, width: int) -> tf.Tensor:
        """What `transform` takes: slope, pixels, degrees, factor, bits or threshold, for levels (N,) from 0 to 1.

        Args:
            signs: (N,), below 1/2 to turn the signed ones about.
        """
        sign = tf.where(signs < 0.5, -1.0, 1.0)
        reach = (width, height) if self.relative else (1, 1)
        bits = self.bits[0] - tf.round((self.bits[0] - self.bits[1]) * levels)
        by_kind = {
            "shear_x": self.shear * levels * sign,
            "shear_y": self.shear * levels * sign,
            "translate_x": self.translate * reach[0] * levels * sign,
            "translate_y": self.translate * reach[1] * levels * sign,
            "rotate": self.rotate * levels * sign,
            **dict.fromkeys(("brightness", "saturation", "contrast", "sharpness"), 1 + self.colour * levels * sign),
            "posterize": bits,
            "solarize": 255 * (1 - levels),
        }
        table = tf.stack([by_kind.get(kind, tf.zeros_like(levels)) for kind in KINDS], 1)
        return tf.gather(table, kinds, batch_dims=1)


def transform(images: tf.Tensor, kinds: tf.Tensor, magnitudes: tf.Tensor, fill: tf.Tensor) -> tf.Tensor:
    """Each image through its own transformation.

    Args:
        images: (N, H, W, C), uint8.
        kinds: (N,) int32, positions in KINDS.
        magnitudes: (N,) float32, in the transformation's own unit.
        fill: uint8, (C,) or a scalar: the colour from outside.

    Returns:
        (N, H, W, C), uint8.
    """
    groups = tf.gather(_GROUPS, kinds)
    count = 4 + len(_VALUES)
    parts = tf.dynamic_partition(images, groups, count)
    strengths = tf.dynamic_partition(magnitudes, groups, count)
    places = tf.dynamic_partition(tf.range(tf.shape(images)[0]), groups, count)
    height, width = images.shape[1:3]
    rows = tf.dynamic_partition(_shifts(kinds, magnitudes, height, "x"), groups, count)[1]
    columns = tf.dynamic_partition(_shifts(kinds, magnitudes, width, "y"), groups, count)[2]
    done = [
        parts[0],
        geometry.slide_rows(parts[1], rows, fill),
        geometry.slide_columns(parts[2], columns, fill),
        geometry.affine(parts[3], geometry.rotation(strengths[3]), fill),
    ]
    for kind, part, strength in zip(_VALUES, parts[4:], strengths[4:], strict=True):
        done.append(_change_values(kind, part, strength))
    result = tf.dynamic_stitch(places, done)
    return tf.ensure_shape(result, images.shape)


def _shifts(kinds, magnitudes, length: int, axis: str):
    """How far away (N, length) the content of each row ("x") or column ("y") lies, where it is sheared or moved."""
    sheared = magnitudes[:, None] * (tf.range(length, dtype=tf.float32) - (length - 1) / 2)
    return tf.where((kinds == KINDS.index(f"shear_{axis}"))[:, None], sheared, -magnitudes[:, None])


def _change_values(kind: str, images, magnitudes):
    with_factor = {
        "brightness": colour.brightened,
        "saturation": colour.saturated,
        "contrast": colour.contrasted,
        "sharpness": filters.sharpened,
        "posterize": colour.posterized,
        "solarize": colour.solarized,
    }
    alone = {"autocontrast": colour.autocontrasted, "equalize": colour.equalized, "invert": colour.inverted}
    return with_factor[kind](images, magnitudes) if kind in with_factor else alone[kind](images)
