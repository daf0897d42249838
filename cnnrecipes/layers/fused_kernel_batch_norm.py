"""Batch normalization on TensorFlow's fused kernel; Keras 3's own layer computes moments and gradients op by op."""

from __future__ import annotations

import keras

from cnnrecipes.layers.xla_detection import compiled_by_xla


@keras.saving.register_keras_serializable(package="cnnrecipes")
class BatchNormalization(keras.layers.BatchNormalization):
    """`keras.layers.BatchNormalization`, faster: same arguments, values, gradients, moving statistics and weight files.

    The fused kernel takes float activations of shape (N, H, W, C) normalized over the last axis. Everything else
    (another backend or axis, masks, synchronized statistics, renormalization) runs Keras' own code; so does a step
    that XLA compiles, since XLA expands the kernel to E[x^2] - E[x]^2, which cancels where the mean is large. The
    class has Keras' name because weight files name their groups after classes.

    Attributes:
        frozen_statistics: normalize by the moving statistics in training too, and do not update them; gamma and beta
            are trained if the layer is trainable. Keras has no such state: with `trainable = False` nothing of the
            layer is trained, and a `training=False` in a functional model is overridden by the call of the model. It
            is not saved with the layer.
    """

    frozen_statistics = False

    def call(self, inputs, training=None, mask=None):
        training = training and not self.frozen_statistics
        if mask is not None or not self._kernel_applies(inputs):
            return super().call(inputs, training=training, mask=mask)
        if training and self.trainable:
            return self._normalize_by_batch(inputs)
        return self._normalize_by_moving_statistics(inputs)

    def _kernel_applies(self, inputs) -> bool:
        return (
            keras.backend.backend() == "tensorflow"
            and len(inputs.shape) == 4
            and self.axis in (-1, 3)
            and not self.synchronized
            and not getattr(self, "renorm", False)
            and keras.backend.standardize_dtype(inputs.dtype) in ("float32", "float16", "bfloat16")
            and self.moving_mean.dtype == "float32"
            and not compiled_by_xla()
        )

    def _normalize_by_batch(self, inputs):
        import tensorflow as tf

        outputs, mean, variance = self._kernel(inputs, mean=[], variance=[], is_training=True)
        # The kernel's variance has Bessel's correction, n / (n - 1); Keras' moving variance is the biased one.
        n = tf.cast(tf.size(inputs) / inputs.shape[-1], "float32")
        variance *= (n - 1.0) / n
        for moving, batch in ((self.moving_mean, mean), (self.moving_variance, variance)):
            moving.assign(moving * self.momentum + batch * (1.0 - self.momentum))
        return outputs

    def _normalize_by_moving_statistics(self, inputs):
        mean, variance = self.moving_mean.value, self.moving_variance.value
        return self._kernel(inputs, mean=mean, variance=variance, is_training=False)[0]

    def _kernel(self, inputs, *, mean, variance, is_training):
        import tensorflow as tf

        channels = inputs.shape[-1]
        result = tf.raw_ops.FusedBatchNormV3(
            x=inputs,
            scale=self.gamma.value if self.scale else tf.ones([channels]),
            offset=self.beta.value if self.center else tf.zeros([channels]),
            mean=mean,
            variance=variance,
            epsilon=self.epsilon,
            is_training=is_training,
        )
        return keras.ops.cast(result.y, self.compute_dtype), result.batch_mean, result.batch_variance


FusedBatchNormalization = BatchNormalization
