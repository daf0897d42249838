"""Focal loss."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import Field

from cnnrecipes._support.lazy import lazy_module
from cnnrecipes.optim.loss_registry import Loss, loss

if TYPE_CHECKING:
    import tensorflow as tf
else:
    tf = lazy_module("tensorflow")


@loss("focal")
class Focal(Loss):
    """Cross entropy in which a class of probability p has the weight (1 - p)^gamma (Lin et al. 2017, eq. 4)."""

    gamma: float = Field(default=2.0, ge=0)

    def values(self, labels: tf.Tensor, logits: tf.Tensor) -> tf.Tensor:
        logs = tf.nn.log_softmax(logits)
        # 1 - p from log p is accurate for p near 1; the bound keeps the gradient of the power finite for gamma < 1.
        rest = tf.maximum(-tf.math.expm1(logs), 1e-12)
        return -tf.reduce_sum(labels * tf.pow(rest, self.gamma) * logs, axis=-1)
