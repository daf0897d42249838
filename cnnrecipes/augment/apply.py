"""Batched, stateless augmentation: applies a recipe's operations with random draws per image.

All draws are made in this module; an operation is a deterministic function of its images and draws.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from cnnrecipes._support.lazy import lazy_module
from cnnrecipes.augment import crop_flip_fusion, mixing
from cnnrecipes.augment.operation import CropWhileDecoding, Mix, Operation
from cnnrecipes.augment.threefry import streams

if TYPE_CHECKING:
    import tensorflow as tf
else:
    tf = lazy_module("tensorflow")

# Mixing is the last operation; its stream lies beyond those of any list of operations.
_MIX_STREAM = 2**16


def augment(
    images: tf.Tensor, ops: Sequence[Operation], *, seed, epoch, index, mean, example=None, showing=None
) -> tf.Tensor:
    """Apply the operations in order; each result depends only on the image and its (seed, epoch, index).

    Crops while decoding (`data/images/random_crop.py`) and mixing (`mix`) are skipped here.

    Args:
        images: (N, H, W, C), uint8, 0..255; C is 1 or 3.
        ops: the parsed `augment.ops` of a recipe; the stream of an operation's draws is its place in this list.
        seed, epoch: integer scalars.
        index: (N,) integers that key the draws; distinct for each repetition of an example within an epoch.
        example, showing: (N,) index of the example, and number of its earlier occurrences, for alternating flips.
            None: `index` and `epoch`, that is, one occurrence per epoch.
        mean: (C,) fill color for pixels outside of an image, 0..255.

    Returns:
        (N, H, W, C), uint8.
    """
    todo = [(stream, op) for stream, op in enumerate(ops) if not isinstance(op, (CropWhileDecoding, Mix))]
    counts = {stream: op.draws for stream, op in todo if not op.alternates}
    draws = streams(seed, epoch, index, counts) if counts else {}
    once = {stream: op.draws for stream, op in todo if op.alternates}
    if once:
        odd = (epoch if showing is None else showing) % 2 == 1
        draws |= _alternating_draws(seed, tf.zeros_like(epoch), index if example is None else example, odd, once)
    while todo:
        count = crop_flip_fusion.run_length([op for _, op in todo])
        if count > 1:
            run = todo[:count]
            images = crop_flip_fusion.move(images, [op for _, op in run], [draws[stream] for stream, _ in run], mean)
        else:
            stream, op = todo[0]
            images = op.apply(images, draws[stream], mean)
        todo = todo[max(count, 1) :]
    return images


def _alternating_draws(seed, epoch, example, odd, counts: dict[int, int]) -> dict[int, tf.Tensor]:
    """Return uniform draws per example that are the same in all epochs, mirrored to 1 - draw where `odd`.

    For alternating flips, `odd` (N,) is true for an example that was shown an odd number of times before.
    """
    odd = tf.reshape(odd, (-1, 1))
    draws = streams(seed, epoch, example, counts)
    return {stream: tf.where(odd, 1 - draw - 2.0**-24, draw) for stream, draw in draws.items()}


def mix(images: tf.Tensor, labels: tf.Tensor, ops: Sequence[Operation], *, seed, epoch, index):
    """Apply MixUp or CutMix to neighbors of a batch (0 and 1, 2 and 3, ...) and to their labels.

    The last three images of a batch of odd size are mixed cyclically; a single image is returned unchanged. Only
    neighbors are mixed, so that a batch sharded evenly over several devices gives the same result.

    Args:
        images: (N, H, W, C), uint8.
        labels: (N, classes), float32.
        ops: the parsed `augment.ops` of a recipe; operations other than mixes are ignored.
        seed, epoch: integer scalars.
        index: (N,) integers that key the draws.

    Returns:
        images and soft labels of the same shapes; the sum of the labels is unchanged.
    """
    mixes = [op for op in ops if isinstance(op, Mix)]
    if not mixes:
        return images, labels
    draws = streams(seed, epoch, index, {_MIX_STREAM: mixing.DRAWS})[_MIX_STREAM]
    return mixing.mix(images, labels, draws, mixes)
