"""Muon for convolutional nets."""

from __future__ import annotations

import functools

import keras
import tensorflow as tf

from cnnrecipes.training.optimizers import RecipeOptimizer


@functools.cache
def muon_class() -> type:
    """The class, made when it is asked for: older versions of Keras have no Muon to derive it from."""

    class Muon(RecipeOptimizer, keras.optimizers.Muon):
        """Keras' Muon, which leaves convolutions to AdamW, with their kernels as matrices (Jordan et al. 2024).

        A kernel (height, width, channels, filters) is a matrix (height * width * channels, filters). `auxiliary` are
        the paths of matrices that AdamW updates all the same: the first layer's, and the classifier's.
        """

        def __init__(self, learning_rate=0.02, *, steps: int = 5, auxiliary_rate: float = 1.0, **options):
            beta_1, beta_2 = options.pop("beta_1", 0.9), options.pop("beta_2", 0.999)
            super().__init__(
                learning_rate,
                adam_beta_1=beta_1,
                adam_beta_2=beta_2,
                adam_lr_ratio=auxiliary_rate,
                ns_steps=steps,
                adam_weight_decay=None,
                **options,
            )
            self.auxiliary: set[str] = set()

        def _should_use_adamw(self, variable):
            return len(variable.shape) < 2 or variable.path in self.auxiliary

        def _muon_update_step(self, gradient, variable, lr, m):
            self.assign(m, m * self.momentum + gradient)
            direction = gradient + self.momentum * m if self.nesterov else tf.convert_to_tensor(m)
            matrix = tf.reshape(direction, (-1, direction.shape[-1]))
            update = self.lr_adjust(self.zeropower_via_newtonschulz5(matrix, self.ns_steps))
            self.assign_sub(variable, tf.cast(lr, variable.dtype) * tf.reshape(update, variable.shape))

    return Muon
