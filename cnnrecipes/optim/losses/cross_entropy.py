"""Cross entropies of the softmax and of each class."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import Field

from cnnrecipes._support.lazy import lazy_module
from cnnrecipes.optim.loss_registry import Loss, loss

if TYPE_CHECKING:
    import tensorflow as tf
else:
    tf = lazy_module("tensorflow")


@loss("cross_entropy")
class CrossEntropy(Loss):
    """Cross entropy of the softmax, in nats."""

    def values(self, labels: tf.Tensor, logits: tf.Tensor) -> tf.Tensor:
        return tf.nn.softmax_cross_entropy_with_logits(labels, logits)


@loss("binary_cross_entropy")
class BinaryCrossEntropy(Loss):
    """Mean over the classes of each class's binary cross entropy, for mixed labels (Wightman et al. 2021, section 3).

    As timm's BinaryCrossEntropy with its default reduction.
    """

    threshold: float | None = Field(
        default=None, ge=0, lt=1, description="labels above it become 1, all others 0; none: soft labels"
    )

    def targets(self, labels: tf.Tensor) -> tf.Tensor:
        return labels if self.threshold is None else tf.cast(labels > self.threshold, tf.float32)

    def values(self, labels: tf.Tensor, logits: tf.Tensor) -> tf.Tensor:
        return tf.reduce_mean(tf.nn.sigmoid_cross_entropy_with_logits(labels, logits), axis=-1)
