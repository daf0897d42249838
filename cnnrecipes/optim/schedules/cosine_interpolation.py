"""Cosine interpolation, shared by several schedules."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from cnnrecipes._support.lazy import lazy_module

if TYPE_CHECKING:
    import keras
    import tensorflow as tf
else:
    keras = lazy_module("keras")


def half_cosine(start: float, end: float, share: tf.Tensor) -> tf.Tensor:
    """Interpolate from `start` (share 0) to `end` (share 1) along half a cosine; constant outside of 0..1."""
    share = keras.ops.clip(share, 0.0, 1.0)
    return end + (start - end) * (1 + keras.ops.cos(math.pi * share)) / 2
