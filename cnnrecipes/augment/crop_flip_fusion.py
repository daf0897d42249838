"""Fusion of consecutive crops, flips and cutouts into a single gather.

Each of these reads every output pixel from another pixel or from a fill color, so a sequence of them is one index
table. Small images gain most, since their pixels are copied once instead of three times.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from cnnrecipes._support.lazy import lazy_module
from cnnrecipes.augment.boxes import box_mask
from cnnrecipes.augment.gather_and_select import fill_color, take
from cnnrecipes.augment.operation import Fill, Operation

if TYPE_CHECKING:
    import tensorflow as tf
else:
    tf = lazy_module("tensorflow")

OUTSIDE = -(2**30)  # position of a pixel without a source; stays below 0 whatever is added to it


class PixelMove(Operation):
    """Base class of operations that copy each output row and column from an input row and column, or fill it."""

    @property
    def outside(self) -> Fill | None:
        """Fill value of pixels without a source; None if every pixel has a source."""
        return None

    def move(self, rows: tf.Tensor, columns: tf.Tensor, draws: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """Return the source positions of rows (N, H) and columns (N, W), int32, after this operation.

        Args:
            rows, columns: the source positions before this operation; below 0 where a pixel has no source.
            draws: (N, `self.draws`), float32, uniform in [0, 1).
        """
        raise NotImplementedError(f"{type(self).__name__} must define move()")


class BoxFill(Operation):
    """Base class of operations that fill a box in each image."""

    @property
    def box_fill(self) -> Fill | None:
        """Fill value of the boxes; None if it is not a constant, for example noise."""
        raise NotImplementedError(f"{type(self).__name__} must define the property box_fill")

    def box(self, draws: tf.Tensor, height: int, width: int) -> tuple[tf.Tensor, ...]:
        """Return top, left, bottom and right (N,) int32 of the boxes, which may extend outside of the image."""
        raise NotImplementedError(f"{type(self).__name__} must define box()")


def run_length(ops: Sequence[Operation]) -> int:
    """Return the number of leading operations that one gather can apply: moves with one fill value, then boxes."""
    fills, filled = set(), False
    for count, op in enumerate(ops):
        if isinstance(op, PixelMove) and not filled:
            fills |= {op.outside} - {None}
        elif isinstance(op, BoxFill) and op.box_fill is not None:
            filled = True
        else:
            return count
        if len(fills) > 1:
            return count
    return len(ops)


def move(images: tf.Tensor, ops: Sequence[Operation], draws: Sequence[tf.Tensor], mean) -> tf.Tensor:
    """Apply a run of operations in one gather, bit-exact with applying them one after another.

    Args:
        images: (N, H, W, C), uint8.
        ops: operations that `run_length` accepts as one run.
        draws: for each operation, uniform draws (N, k).
        mean: (C,), mean color of the training split, 0..255.

    Returns:
        (N, H, W, C), uint8.
    """
    n = tf.shape(images)[0]
    height, width, channels = images.shape[1:]
    rows, columns = (tf.tile(tf.range(length)[None], (n, 1)) for length in (height, width))
    moves = [(op, draw) for op, draw in zip(ops, draws, strict=True) if isinstance(op, PixelMove)]
    boxes = [
        (op, draw, op.box_fill)
        for op, draw in zip(ops, draws, strict=True)
        if isinstance(op, BoxFill) and op.box_fill is not None
    ]
    for shift, draw in moves:
        rows, columns = shift.move(rows, columns, draw)
    # The fill colors precede the pixels in the gathered table: index 0 for the moves, 1, 2, ... for the boxes.
    fills = [next((op.outside for op, _ in moves if op.outside is not None), 0), *(fill for _, _, fill in boxes)]
    first = len(fills) + tf.range(n)[:, None] * (height * width)
    starts = tf.where(rows >= 0, first + rows * width, OUTSIDE)
    places = tf.maximum(starts[:, :, None] + columns[:, None, :], 0)
    for number, (box_op, draw, _) in enumerate(boxes, 1):
        mask = box_mask(height, width, *box_op.box(draw, height, width))[..., 0]
        places = tf.where(mask, number, places)
    colors = tf.stack([tf.broadcast_to(fill_color(fill, mean), [channels]) for fill in fills])
    pixels = tf.concat([colors, tf.reshape(images, (-1, channels))], 0)
    return tf.reshape(take(pixels, places), tf.shape(images))
