"""The augmentation of a recipe, as a function of a batch: in the input pipeline or in the training step."""

from __future__ import annotations

from dataclasses import dataclass

import tensorflow as tf

from cnnrecipes.augment import operations
from cnnrecipes.augment.apply import augment, mix
from cnnrecipes.data.standardize import Statistics
from cnnrecipes.recipe import schema


@dataclass(frozen=True)
class Augmentation:
    """A recipe's augmentation, as a function of a batch; the same values wherever it is called."""

    ops: tuple[operations.Operation, ...]
    seed: int
    mean: tuple[float, ...]
    in_step: bool = False  # or ahead of it, in the pipeline

    @classmethod
    def of(cls, whole: schema.Recipe, statistics: Statistics, *, in_step: bool = False) -> Augmentation:
        """As a recipe has it; statistics of the training split, for its mean colour."""
        ops = tuple(operations.parse_list(whole.augment.ops))
        return cls(ops, whole.train.seed, statistics.mean, in_step)

    @property
    def framing(self) -> operations.Framing | None:
        """The operation that is done while images are read."""
        return self.ops[0] if self.ops and isinstance(self.ops[0], operations.Framing) else None

    @property
    def alternates(self) -> bool:
        """Whether the result depends on how often an example was shown before."""
        return any(isinstance(op, operations.AlternatingFlipLR) for op in self.ops)

    def __call__(self, images: tf.Tensor, labels: tf.Tensor, keys: tf.Tensor, epochs: tf.Tensor):
        """Augmented images and labels of a batch.

        Args:
            keys: (N, 3) int64: what the draws depend on, the example, and how often that was shown before.
            epochs: (N,), all alike.
        """
        index, example, showing = tf.unstack(keys, axis=1)
        what = {"seed": self.seed, "epoch": epochs[0], "index": index}
        images = augment(images, self.ops, mean=self.mean, example=example, showing=showing, **what)
        return mix(images, labels, self.ops, **what)
