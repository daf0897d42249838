"""The augmentation of a recipe as a function of a batch, called in the input pipeline or in the training step."""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import tensorflow as tf

from cnnrecipes._support.graphs import Graphs
from cnnrecipes.augment.apply import augment, mix
from cnnrecipes.augment.operation import CropWhileDecoding, Operation, parse_list
from cnnrecipes.data.standardize import Statistics
from cnnrecipes.recipe import schema


@dataclass(frozen=True)
class Augmentation:
    """A recipe's augmentation, as a function of a batch; bit-identical in the pipeline and in the training step.

    Attributes:
        ops, seed: as in the recipe.
        mean: fill color, (C,), 0..255.
        in_step: True: called in the training step; False: in the input pipeline.
        graphs: what input pipelines have traced; tracing takes 0.1 s, so pipelines of the same data share it.
    """

    ops: tuple[Operation, ...]
    seed: int
    mean: tuple[float, ...]
    in_step: bool = False
    graphs: dict[Hashable, Graphs] = field(default_factory=dict, repr=False, compare=False)

    @classmethod
    def of(cls, whole: schema.Recipe, statistics: Statistics, **more: Any) -> Augmentation:
        """Create the augmentation of a recipe; `statistics` of the training split give the fill color."""
        return cls(tuple(parse_list(whole.augment.ops)), whole.train.seed, statistics.mean, **more)

    @property
    def random_crop(self) -> CropWhileDecoding | None:
        """The random crop, applied while images are decoded; None if the recipe has no random crop."""
        return self.ops[0] if self.ops and isinstance(self.ops[0], CropWhileDecoding) else None

    @property
    def alternates(self) -> bool:
        """True if the result depends on how often an example was shown before."""
        return any(op.alternates for op in self.ops)

    def __call__(self, images: tf.Tensor, labels: tf.Tensor, keys: tf.Tensor, epochs: tf.Tensor):
        """Return the augmented images and labels of a batch.

        Args:
            images: (N, H, W, C), uint8 0..255.
            labels: (N, classes), float32, one-hot.
            keys: (N, 3) int64: RNG key, index of the example, and how often the example was shown before.
            epochs: (N,) int64, all equal.

        Returns:
            images (N, H, W, C) uint8 and labels (N, classes) float32, soft if the batch was mixed.
        """
        return _augmented(self.ops, self.mean, self.seed, images, labels, keys, epochs)

    def in_pipeline(self, images: tf.Tensor, labels: tf.Tensor, keys: tf.Tensor, epochs: tf.Tensor):
        """As a call, by a graph of `graphs`."""
        key = tuple((type(op), repr(op)) for op in self.ops), self.mean
        if key not in self.graphs:
            self.graphs[key] = Graphs(partial(_augmented, self.ops, self.mean))
        return self.graphs[key](tf.constant(self.seed, tf.int64), images, labels, keys, epochs)


def _augmented(ops, mean, seed, images, labels, keys, epochs) -> tuple[tf.Tensor, tf.Tensor]:
    index, example, showing = tf.unstack(keys, axis=1)
    what = {"seed": seed, "epoch": epochs[0], "index": index}
    images = augment(images, ops, mean=mean, example=example, showing=showing, **what)
    return mix(images, labels, ops, **what)


def runs_in_training_step(device: str) -> bool:
    """Return True if augmentation runs in the training step: device "accelerator", or "auto" with a GPU."""
    return device == "accelerator" or (device == "auto" and bool(tf.config.list_physical_devices("GPU")))
