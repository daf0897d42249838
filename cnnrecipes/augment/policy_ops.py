"""Transformations of the augmentation policies, with a different one for each image of a batch.

The images are partitioned by transformation and stitched back in order, so that each transformation runs only on its
own images.
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
# kind -> partition: 0 identity, 1 horizontal shifts, 2 vertical shifts, 3 rotation, then one for each colour operation
_GROUPS = [0, 1, 2, 1, 2, 3, *range(4, 4 + len(_VALUES))]


@dataclass(frozen=True)
class Space:
    """The magnitude range of a policy: the magnitude of each transformation at level 1."""

    shear: float  # slope
    translate: float  # pixels, or a share of the width and height where `relative`
    rotate: float  # degrees
    colour: float  # added to or subtracted from the factor 1 of brightness, saturation, contrast, sharpness
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
    """Apply to each image its own transformation.

    Args:
        images: (N, H, W, C), uint8.
        kinds: (N,) int32, indices into KINDS.
        magnitudes: (N,) float32, in the transformation's own unit.
        fill: uint8, (C,) or a scalar; fill colour for pixels outside of the image.

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
    """Return the shifts (N, length) in pixels of each row (axis "x") or column ("y") for shear and translation."""
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
