"""Batched, stateless augmentation: applies the operations of `augment/operations.py` with random draws per image.

An operation is a function of images (N, H, W, C) uint8, uniform draws (N, k) in [0, 1), its parameters and the mean
colour (C,) of the training split, 0..255; it returns images of the same shape. All draws are made in this module.
"""

from __future__ import annotations

from collections.abc import Sequence

import tensorflow as tf

from cnnrecipes.augment import colour, erase, filters, geometry, mixing, pixel_moves, policies
from cnnrecipes.augment import operations as spec
from cnnrecipes.augment.threefry import streams

# operation class -> (function on a batch, number of draws per image)
_APPLY = {
    spec.PadCrop: (geometry.pad_crop, 2),
    spec.FlipLR: (geometry.flip_lr, 1),
    spec.FlipUD: (geometry.flip_ud, 1),
    spec.AlternatingFlipLR: (geometry.alternating_flip_lr, 1),
    spec.Rotate: (geometry.rotate, 1),
    spec.Translate: (geometry.translate, 2),
    spec.Shear: (geometry.shear, 2),
    spec.ColourJitter: (colour.colour_jitter, 4),
    spec.Grayscale: (colour.grayscale, 1),
    spec.Solarize: (colour.solarize, 1),
    spec.Posterize: (colour.posterize, 1),
    spec.Autocontrast: (colour.autocontrast, 1),
    spec.Equalize: (colour.equalize, 1),
    spec.Sharpness: (filters.sharpness, 1),
    spec.Blur: (filters.blur, 2),
    spec.Noise: (filters.noise, 2),
    spec.Cutout: (erase.cutout, 4),
    spec.RandomErasing: (erase.random_erasing, 25),
    spec.RandAugment: (policies.rand_augment, policies.rand_augment_draws),
    spec.TrivialAugment: (policies.trivial_augment, 3),
    spec.AutoAugment: (policies.auto_augment, 5),
    spec.AugMix: (policies.aug_mix, policies.aug_mix_draws),
}
# Mixing is the last operation; its stream lies beyond those of any list of operations.
_MIX_STREAM = 2**16


def augment(
    images: tf.Tensor, ops: Sequence[spec.Operation], *, seed, epoch, index, mean, example=None, showing=None
) -> tf.Tensor:
    """Apply the operations in order; each result depends only on the image and its (seed, epoch, index).

    Random crops while decoding (`data/images/random_crop.py`) and mixing (`mix`) are skipped here.

    Args:
        images: (N, H, W, C), uint8, 0..255; C is 1 or 3.
        ops: the parsed `augment.ops` of a recipe.
        seed, epoch: integer scalars.
        index: (N,) integers that key the draws; distinct for each repetition of an example within an epoch.
        example, showing: (N,) index of the example, and number of its earlier occurrences, for alternating flips.
            None: `index` and `epoch`, that is, one occurrence per epoch.
        mean: (C,) fill colour for pixels outside of an image, 0..255.

    Returns:
        (N, H, W, C), uint8.
    """
    todo = {stream: op for stream, op in enumerate(ops) if type(op) in _APPLY}
    fixed = {stream: 1 for stream, op in todo.items() if isinstance(op, spec.AlternatingFlipLR)}
    counts = {stream: _count(op) for stream, op in todo.items() if stream not in fixed}
    draws = streams(seed, epoch, index, counts) if counts else {}
    if fixed:
        # Drawn once per example for the whole training run; its occurrences alternate.
        once = streams(seed, tf.zeros_like(epoch), index if example is None else example, fixed)
        odd = tf.reshape((epoch if showing is None else showing) % 2 == 1, (-1, 1))
        draws |= {stream: tf.where(odd, 1 - draw - 2.0**-24, draw) for stream, draw in once.items()}
    todo = list(todo.items())
    while todo:
        count = pixel_moves.run_length([op for _, op in todo])
        if count > 1:
            run = todo[:count]
            images = pixel_moves.move(images, [op for _, op in run], [draws[stream] for stream, _ in run], mean)
        else:
            stream, op = todo[0]
            images = _APPLY[type(op)][0](images, draws[stream], op, mean)
        todo = todo[max(count, 1) :]
    return images


def mix(images: tf.Tensor, labels: tf.Tensor, ops: Sequence[spec.Operation], *, seed, epoch, index):
    """Apply MixUp or CutMix to neighbours of a batch (0 and 1, 2 and 3, ...) and to their labels.

    The last three images of a batch of odd size are mixed cyclically; a single image is returned unchanged. Only
    neighbours are mixed, so that a batch sharded evenly over several devices gives the same result.

    Args:
        images: (N, H, W, C), uint8.
        labels: (N, classes), float32.
        ops: the parsed `augment.ops` of a recipe; operations other than mixes are ignored.
        seed, epoch: integer scalars.
        index: (N,) integers that key the draws.

    Returns:
        images and soft labels of the same shapes; the sum of the labels is unchanged.
    """
    kinds = [op for op in ops if isinstance(op, spec.Mix)]
    if not kinds:
        return images, labels
    draws = streams(seed, epoch, index, {_MIX_STREAM: 4})[_MIX_STREAM]
    return mixing.mix(images, labels, draws, kinds)


def _count(op: spec.Operation) -> int:
    count = _APPLY[type(op)][1]
    return count(op) if callable(count) else count
