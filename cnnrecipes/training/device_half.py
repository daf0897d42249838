"""Augmentation inside the training step, on the device that computes it."""

from __future__ import annotations

import keras
import tensorflow as tf

from cnnrecipes.data.augment import Augmentation


def in_training_step(device: str) -> bool:
    """Whether `augment.device` means the training step: "auto" does where there is a GPU, which has time to spare."""
    return device == "accelerator" or (device == "auto" and bool(tf.config.list_physical_devices("GPU")))


@keras.saving.register_keras_serializable(package="cnnrecipes")
class AugmentingModel(keras.Model):
    """A model whose training step augments its batch first: ((images, keys, epochs), labels), as the pipeline has them.

    Everything else, the weight files too, is the model's own.
    """

    def __init__(self, model: keras.Model, augmentation: Augmentation):
        super().__init__(name=model.name)
        self.inner, self.augmentation = model, augmentation

    def call(self, inputs, training=False):
        images = inputs[0] if isinstance(inputs, (tuple, list)) else inputs
        return self.inner(images, training=training)

    def train_step(self, data):
        (images, keys, epochs), labels = data
        return super().train_step(self.augmentation(images, labels, keys, epochs))

    def save_weights(self, *args, **kwargs):
        self.inner.save_weights(*args, **kwargs)

    def load_weights(self, *args, **kwargs):
        self.inner.load_weights(*args, **kwargs)
