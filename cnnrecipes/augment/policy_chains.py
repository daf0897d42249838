"""Chains of transformations for AugMix, with one interpolation for consecutive geometric transformations."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cnnrecipes._support.lazy import lazy_module
from cnnrecipes.augment.affine import affine, affine_along_axis, composed, is_along_axis
from cnnrecipes.augment.policy_ops import GEOMETRIC, KINDS, affine_maps, transform

if TYPE_CHECKING:
    import tensorflow as tf
else:
    tf = lazy_module("tensorflow")

_END, _PIXELS, _MOVE = range(3)  # what the next step of a chain is: none, of pixel values, geometric


def transform_in_chains(
    images: tf.Tensor, kinds: tf.Tensor, magnitudes: tf.Tensor, fill: tf.Tensor, among: tuple[str, ...] = KINDS
) -> tf.Tensor:
    """Apply to each image its own chain of transformations.

    Consecutive geometric transformations are composed into one affine map. In each step the images are partitioned by
    what their next transformation is, so that an image is copied only where its pixels change or its chain ends.

    Args:
        images: (N, H, W, C), uint8.
        kinds: (N, depth) int32, indices into `policy_ops.KINDS`; a chain ends at its first "identity", or after all.
        magnitudes: (N, depth) float32, as `policy_ops.transform` takes them.
        fill: uint8, (C,) or a scalar; fill color for pixels outside of the image.
        among: all kinds that occur in `kinds`, apart from "identity".

    Returns:
        (N, H, W, C), uint8.
    """
    of_pixels = tuple(kind for kind in among if kind not in GEOMETRIC)
    geometric = tf.reduce_any(kinds[..., None] == [KINDS.index(kind) for kind in GEOMETRIC], -1)
    following = tf.where(geometric, _MOVE, tf.where(kinds == 0, _END, _PIXELS))
    places = tf.range(tf.shape(images)[0])
    still = affine_maps(tf.zeros_like(places), tf.zeros_like(magnitudes[:, 0]))
    # Of each image its place in the batch and its pixels so far; `moving` images also have a map yet to be applied.
    settled, moving, ended = (places, images), (places[:0], images[:0], still[:0]), []
    for step in range(kinds.shape[1]):
        moving, *arrived = _arrive(moving, tf.gather(following[:, step], moving[0]) == _MOVE, fill)
        settled = _joined(settled, *arrived)
        end, (at, pixels), begun = _split(settled, tf.gather(following[:, step], settled[0]), 3)
        ended.append(end)
        kind, magnitude = tf.gather(kinds[:, step], at), tf.gather(magnitudes[:, step], at)
        settled = at, transform(pixels, kind, magnitude, fill, of_pixels)
        at, pixels, maps = _joined(moving, (*begun, tf.gather(still, begun[0])))
        added = affine_maps(tf.gather(kinds[:, step], at), tf.gather(magnitudes[:, step], at))
        moving = at, pixels, composed(maps, added)
    _, *arrived = _arrive(moving, tf.zeros_like(moving[0], tf.bool), fill)
    ended += [settled, *arrived]
    return tf.ensure_shape(tf.dynamic_stitch(*zip(*ended, strict=True)), images.shape)


def _arrive(moving: tuple, goes_on: tf.Tensor, fill: tf.Tensor) -> tuple[tuple, ...]:
    """Apply the affine maps of images whose next transformation is not geometric; the others wait.

    Args:
        moving: places in the batch (N,), images (N, H, W, C) and their affine maps, not yet applied.
        goes_on: (N,), True if the next transformation is geometric too.
        fill: fill color.

    Returns:
        the waiting images as in `moving`, and (places, images) of those with maps along an axis, and of the rest.
    """
    groups = tf.where(goes_on, 0, tf.where(is_along_axis(moving[2]), 1, 2))
    on, (places, images, maps), (other_places, other_images, other_maps) = _split(moving, groups, 3)
    return (
        on,
        (places, affine_along_axis(images, maps, fill)),
        (other_places, affine(other_images, other_maps, fill)),
    )


def _split(tensors: tuple, groups: tf.Tensor, count: int) -> list[tuple]:
    """Split tensors along their first axis into `count` groups."""
    return list(zip(*(tf.dynamic_partition(each, groups, count) for each in tensors), strict=True))


def _joined(*parts: tuple) -> tuple:
    return tuple(tf.concat(tensors, 0) for tensors in zip(*parts, strict=True))
