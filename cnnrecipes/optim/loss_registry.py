"""Losses: base class and registry; `"focal(gamma=2.0)"` in a recipe is a call of a registered class.

A loss is one class, in any module: its fields are the parameters that a recipe may give.

    @loss("brier")
    class Brier(Loss):
        '''Squared error of the probabilities (Brier 1950).'''

        def values(self, labels, logits):
            return tf.reduce_sum(tf.square(tf.nn.softmax(logits) - labels), axis=-1)

Label smoothing and class weights are applied to every class. The modules of `losses/` are imported when a name is first
looked up. A module outside of the package registers its losses when it is imported; the environment variable
CNNRECIPES_PLUGINS lists modules for the command line.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from cnnrecipes.syntax.call_syntax import Call
from cnnrecipes.syntax.registry import Registry

if TYPE_CHECKING:
    import tensorflow as tf


class Loss(Call):
    """Base class of losses of logits against one-hot or soft labels. `RecipeLoss` wraps one as a Keras loss."""

    def values(self, labels: tf.Tensor, logits: tf.Tensor) -> tf.Tensor:
        """Return the loss of each example.

        Args:
            labels: (N, classes), float32, 0..1, after label smoothing.
            logits: (N, classes), float32.

        Returns:
            (N,), float32.
        """
        raise NotImplementedError(f"{type(self).__name__} must define values()")

    def targets(self, labels: tf.Tensor) -> tf.Tensor:
        """Convert the labels to the targets of this loss, for example to 0 and 1; by default the labels themselves.

        Called before label smoothing, whose result `values` receives.

        Args:
            labels: (N, classes), float32, 0..1, one-hot or soft.

        Returns:
            (N, classes), float32.
        """
        return labels


LOSSES: Registry[Loss] = Registry("loss", Loss, f"{__package__}.losses")
loss = LOSSES.register
