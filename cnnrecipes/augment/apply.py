"""Augmentation of whole batches: the operations of `augment/operations.py`, each image by its own draws.

An operation is a function of images (N, H, W, C) uint8, draws (N, k) from [0, 1), its parameters and the training
split's mean colour (C,), 0..255; it gives images of the same shape. The draws are made here, in one place.
"""

from __future__ import annotations

from collections.abc import Sequence

import tensorflow as tf

from cnnrecipes.augment import colour, erase, filters, geometry, mixing, pixel_moves, policies
from cnnrecipes.augment import operations as spec
from cnnrecipes.augment.threefry import streams

# operation -> (what it does, how many draws it takes for each image)
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
# Mixing stands last; its draws are apart from those of any list of operations.
_MIX_STREAM = 2**16


def augment(
    images: tf.Tensor, ops: Sequence[spec.Operation], *, seed, epoch, index, mean, example=None, showing=None
) -> tf.Tensor:
    """Apply the operations in order; the result is a function of an image and its numbers here alone.

    Framing is done where images are read (`data/images/random_crop.py`) and mixing by `mix`: both are passed over here.

    Args:
        images: (N, H, W, C), uint8, 0..255; C is 1 or 3.
        seed, epoch: integer scalars.
        index: (N,) integers that the draws depend on, another one for each showing in an epoch.
        example, showing: (N,) the example's number, and how often it was shown before, for flips that alternate.
            None: the index, and the epoch: shown once in every epoch.
        mean: (C,) colour of what an image does not give, 0..255.

    Returns:
        (N, H, W, C), uint8.
    """
    todo = {stream: op for stream, op in enumerate(ops) if type(op) in _APPLY}
    fixed = {stream: 1 for stream, op in todo.items() if isinstance(op, spec.AlternatingFlipLR)}
    counts = {stream: _count(op) for stream, op in todo.items() if stream not in fixed}
    draws = streams(seed, epoch, index, counts) if counts else {}
    if fixed:
        # Drawn once an example for the whole training; its showings take turns.
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
    """Mix neighbours of a batch, 0 with 1, 2 with 3 and so on, and their labels; in odd ones the last 3 in a circle.

    Neighbours, so that a batch that is cut into even parts for many devices is mixed just the same. A batch of one
    image stays as it is.

    Args:
        images: (N, H, W, C), uint8.
        labels: (N, classes), float32.

    Returns:
        images and labels of the same shapes; labels are soft and add up to what they did.
    """
    kinds = [op for op in ops if isinstance(op, spec.Mix)]
    if not kinds:
        return images, labels
    draws = streams(seed, epoch, index, {_MIX_STREAM: 4})[_MIX_STREAM]
    return mixing.mix(images, labels, draws, kinds)


def _count(op: spec.Operation) -> int:
    count = _APPLY[type(op)][1]
    return count(op) if callable(count) else count
