"""Fusion of consecutive crops, flips and cutouts into a single gather.

Each of these reads every output pixel from another pixel or from a fill colour, so a sequence of them is one index
table. Small images gain most, since their pixels are copied once instead of three times.
"""

from __future__ import annotations

from collections.abc import Sequence

import tensorflow as tf

from cnnrecipes.augment import operations as spec
from cnnrecipes.augment.erase import box_mask, cutout_box
from cnnrecipes.augment.geometry import crop_offsets, fill_colour, mirrored, reflect, take, within

_FLIPS = (spec.FlipLR, spec.FlipUD, spec.AlternatingFlipLR)
_OUTSIDE = -(2**30)  # stays below 0 whatever is added to it


def run_length(ops: Sequence[spec.Operation]) -> int:
    """Return the number of leading operations that one gather can do: crops of one fill and flips, then cutouts."""
    fills, covering = set(), False
    for count, op in enumerate(ops):
        covering |= isinstance(op, spec.Cutout)
        fills |= {op.fill} - {"reflect"} if isinstance(op, spec.PadCrop) else set()
        movable = isinstance(op, (spec.PadCrop, *_FLIPS)) and not covering
        if not (movable or (isinstance(op, spec.Cutout) and op.fill != "noise")) or len(fills) > 1:
            return count
    return len(ops)


def move(images: tf.Tensor, ops: Sequence[spec.Operation], draws: Sequence[tf.Tensor], mean) -> tf.Tensor:
    """Apply a run of operations in one gather, bit-exact with applying them one after another.

    Args:
        images: (N, H, W, C), uint8.
        ops: operations that `run_length` accepts as one run.
        draws: for each operation, uniform draws (N, k).
        mean: (C,), mean colour of the training split, 0..255.

    Returns:
        (N, H, W, C), uint8.
    """
    n = tf.shape(images)[0]
    height, width, channels = images.shape[1:]
    rows, columns = (tf.tile(tf.range(length)[None], (n, 1)) for length in (height, width))
    for op, draw in zip(ops, draws, strict=True):
        if isinstance(op, spec.PadCrop):
            offsets = crop_offsets(draw, op)
            rows = _shift(rows, offsets[:, :1], op.fill)
            columns = _shift(columns, offsets[:, 1:], op.fill)
        elif isinstance(op, spec.FlipUD):
            rows = tf.where(mirrored(draw, op)[:, None], rows[:, ::-1], rows)
        elif isinstance(op, _FLIPS):
            columns = tf.where(mirrored(draw, op)[:, None], columns[:, ::-1], columns)
    # The fill colours precede the pixels in the gathered table: index 0 for the crops, 1, 2, ... for the cutouts.
    fills = [next((op.fill for op in ops if isinstance(op, spec.PadCrop) and op.fill != "reflect"), 0)]
    fills += [op.fill for op in ops if isinstance(op, spec.Cutout)]
    first = len(fills) + tf.range(n)[:, None] * (height * width)
    starts = tf.where(rows >= 0, first + rows * width, _OUTSIDE)
    places = tf.maximum(starts[:, :, None] + columns[:, None, :], 0)
    cutouts = [(op, draw) for op, draw in zip(ops, draws, strict=True) if isinstance(op, spec.Cutout)]
    for number, (op, draw) in enumerate(cutouts, 1):
        mask = box_mask(height, width, *cutout_box(draw, op, height, width))[..., 0]
        places = tf.where(mask, number, places)
    colours = tf.stack([tf.broadcast_to(fill_colour(fill, mean), [channels]) for fill in fills])
    pixels = tf.concat([colours, tf.reshape(images, (-1, channels))], 0)
    return tf.reshape(take(pixels, places), tf.shape(images))


def _shift(positions, offsets, fill):
    """Return the source positions (N, L) after a crop, `_OUTSIDE` for pixels outside of the image."""
    length = positions.shape[1]
    moved = offsets + tf.range(length)
    if fill == "reflect":
        return tf.gather(positions, reflect(moved, length), batch_dims=1)
    inside = tf.gather(positions, tf.clip_by_value(moved, 0, length - 1), batch_dims=1)
    return tf.where(within(moved, 0, length), inside, _OUTSIDE)
