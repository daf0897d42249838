"""A model in two parts that share its layers: the part before a tensor, and the part after it."""

from __future__ import annotations

from dataclasses import dataclass

import keras

from cnnrecipes.errors import ModelError

POOL, LOGITS = "pool", "logits"  # layers of the heads "average", "max" and "mlp"


@dataclass(frozen=True, eq=False)
class SplitModel:
    """A model and its two parts, which share its layers.

    Attributes:
        whole: images (N, H, W, C), 0..255 -> logits (N, classes).
        frozen: images -> features (N, ...).
        trained: features -> logits.
    """

    whole: keras.Model
    frozen: keras.Model
    trained: keras.Model

    @classmethod
    def at(cls, whole: keras.Model, features: keras.KerasTensor) -> SplitModel:
        """Return a model divided at a tensor of it that all paths to the logits go through."""
        frozen = keras.Model(whole.input, features, name=f"{whole.name}_frozen")
        trained = keras.Model(features, whole.output, name=whole.name)
        return cls(whole, frozen, trained)

    @classmethod
    def before_head(cls, whole: keras.Model) -> SplitModel:
        """Return a model divided after its global pooling: features (N, C).

        Raises:
            ModelError: a head without global pooling.
        """
        names = {layer.name for layer in whole.layers}
        if not {POOL, LOGITS} <= names:
            raise ModelError(
                f"{whole.name} has a head without the layers {POOL!r} and {LOGITS!r}; transfer learning needs "
                "model.head = 'average', 'max' or 'mlp'"
            )
        return cls.at(whole, whole.get_layer(POOL).output)
