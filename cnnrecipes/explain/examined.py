"""The classifier that is explained: its layer calls, images of its size, and class numbers."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from cnnrecipes.data.images.decode import resize
from cnnrecipes.errors import DataError, ModelError, UnknownNameError
from cnnrecipes.models.graph import Call, calls
from cnnrecipes.recipe import schema
from cnnrecipes.runs.prediction_inputs import read_images
from cnnrecipes.runs.run import Run
from cnnrecipes.runs.trained_model import Artifact

BATCH = 64  # images of a forward or backward pass
_CONVOLUTIONS = (keras.layers.Conv2D, keras.layers.DepthwiseConv2D, keras.layers.SeparableConv2D)


class Examined:
    """A run, an artifact, or a Keras model that takes images (N, H, W, C) in 0..255 and returns logits (N, classes).

    Args:
        subject: images of another size are resized as in validation for a run or an artifact; a Keras model takes
            images of its own size only.

    Attributes:
        model: the model.
        size: (height, width) of its images, in pixels.
    """

    def __init__(self, subject: Run | Artifact | keras.Model):
        found = subject.artifact if isinstance(subject, Run) else subject
        if not isinstance(found, (Artifact, keras.Model)):
            raise ModelError(f"expected a run, an artifact or a keras.Model, got {type(subject).__name__}; give one")
        self._artifact = found if isinstance(found, Artifact) else None
        self.model: keras.Model = found.model if isinstance(found, Artifact) else found
        self.size: tuple[int, int] = tuple(self.model.input_shape[1:3])

    @property
    def spec(self) -> schema.Data | None:
        """The recipe's `data` table with the model's image size and channels; None for a Keras model."""
        return None if self._artifact is None else self._artifact.spec

    @property
    def class_count(self) -> int:
        """Number of classes."""
        return int(self.model.output_shape[-1])

    @cached_property
    def calls(self) -> list[Call]:
        """The layer calls in topological order, of nested models too. Raises ModelError for a subclassed model."""
        return calls(self.model)

    def read(self, images: Any) -> np.ndarray:
        """Return images of one size as (N, H, W, C) uint8, 0..255.

        Args:
            images: as for `Artifact.predict`: paths, arrays, or a list of them; values 0..255, or floats 0..1.

        Raises:
            DataError: an unreadable file, images of different sizes, or a wrong number of channels.
        """
        found, _ = read_images(images, self.model.input_shape[-1])
        if not found:
            raise DataError("there are no images to explain; give at least one")
        if len(sizes := {image.shape[:2] for image in found}) > 1:
            raise DataError(
                f"the images have {len(sizes)} sizes, for example {' and '.join(map(_by, sorted(sizes)[:2]))}; give "
                "images of one size, or one image at a time"
            )
        return np.stack(found)

    def fitted(self, images: np.ndarray) -> np.ndarray:
        """Return images (N, H, W, C) uint8 resized to the model's size as in validation.

        Raises:
            DataError: a Keras model takes another size.
        """
        spec = self.spec
        if images.shape[1:3] == self.size and not (spec and spec.short_side):
            return images
        if spec is None:
            raise DataError(
                f"the images are {_by(images.shape[1:3])} pixels, {self.model.name} takes {_by(self.size)}; resize them"
            )
        return resize(tf.constant(images), self.size, spec.resize, spec.short_side).numpy()

    def logits(self, images: np.ndarray) -> np.ndarray:
        """Return logits (N, classes) float32 of images (N, H, W, C) uint8 of the model's size."""
        if self._artifact is not None:
            return self._artifact.logits(images)
        batches = (images[start : start + BATCH] for start in range(0, len(images), BATCH))
        return np.concatenate([self.model(tf.cast(some, tf.float32), training=False).numpy() for some in batches])

    def class_numbers(self, classes: int | str | Sequence[int | str] | None, n: int) -> np.ndarray:
        """Return the class number (N,) int32 to explain for each image; -1 for the predicted class, of None.

        Raises:
            UnknownNameError: a class name that the model does not have.
            DataError: a number out of range, or another number of classes than images.
        """
        if classes is None:
            return np.full(n, -1, np.int32)
        given = [classes] * n if isinstance(classes, (int, str, np.integer)) else list(classes)
        if len(given) != n:
            raise DataError(f"there are {len(given)} classes for {n} images; give one class, or one for each image")
        return np.asarray([self._number(one) for one in given], np.int32)

    def _number(self, one: int | str) -> int:
        if isinstance(one, str):
            names = self._artifact.class_names if self._artifact else ()
            if one not in names:
                raise UnknownNameError("class", one, names)
            return names.index(one)
        if not 0 <= int(one) < self.class_count:
            raise DataError(f"class {one} is not one of the {self.class_count} classes, which are numbered from 0")
        return int(one)


def last_map(found: Sequence[Call], name: str) -> int:
    """Return the position of the call with the last convolutional map: (N, H, W, C) with more than one position.

    Pooling layers are left out, so that the map has the resolution of the last convolution.

    Args:
        found: the calls of a model.
        name: the model's name, for the error.

    Raises:
        ModelError: there is none.
    """
    place, convolved = None, False
    for index, call in enumerate(found):
        convolved = convolved or isinstance(call.layer, _CONVOLUTIONS)
        shape = call.output_shape
        pools = "Pool" in type(call.layer).__name__
        if convolved and not pools and len(shape) == 4 and shape[1:3] != (1, 1):
            place = index
    if place is None:
        raise ModelError(
            f"{name} has no convolutional map of more than one position, which Grad-CAM needs; use explain.occlusion "
            "instead"
        )
    return place


def _by(shape: Sequence[int]) -> str:
    return f"{shape[0]}x{shape[1]}"
