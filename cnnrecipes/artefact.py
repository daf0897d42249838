"""The artefact `model.keras`: weights, class names, preprocessing and recipe in one file that predicts alone.

It is a Keras file with one entry more, cnnrecipes.json. Its layers are Keras' own, so that Keras without cnnrecipes
opens it too; only blurred pooling is a layer of ours, and needs `import cnnrecipes`.
"""

from __future__ import annotations

import json
import zipfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from cnnrecipes.data.arrays import as_images
from cnnrecipes.data.images import EXTENSIONS, decode, reason, resize
from cnnrecipes.data.pipeline import EVALUATION_BATCH
from cnnrecipes.errors import CNNRecipesError, DataError, RunError
from cnnrecipes.files import write_whole
from cnnrecipes.layers import with_fast_norms, with_keras_norms
from cnnrecipes.recipe import Recipe
from cnnrecipes.tta import scorer as tta_scorer

ENTRY = "cnnrecipes.json"


@dataclass(frozen=True)
class Prediction:
    """One image's prediction: the most probable class, its probability, and all of them, most probable first."""

    name: str
    probability: float
    probabilities: dict[str, float]

    def __str__(self) -> str:
        return "  ".join(f"{name} {p:.1%}" for name, p in list(self.probabilities.items())[:3])


class Artefact:
    """A trained model that knows its class names and its preprocessing."""

    def __init__(self, model: keras.Model, recipe: Recipe, class_names: Sequence[str]):
        self.model, self.recipe, self.class_names = model, recipe, tuple(class_names)
        self.input_shape: tuple[int, int, int] = tuple(model.input_shape[1:])

    @cached_property
    def _forward(self) -> Callable[[tf.Tensor], tf.Tensor]:
        """A batch (16, H, W, C), uint8, to logits: one graph, as there is one shape."""
        forward = tf.function(lambda images: self.model(images, training=False), autograph=False)
        return forward.get_concrete_function(tf.TensorSpec((EVALUATION_BATCH, *self.input_shape), tf.uint8))

    def save(self, path: Path) -> None:
        """Write the file, whole or not at all."""
        about = {"format": 1, "class_names": self.class_names, "recipe": self.recipe.to_dict()}

        def write(beside: Path) -> None:
            with_keras_norms(self.model).save(beside)
            with zipfile.ZipFile(beside, "a") as archive:
                archive.writestr(ENTRY, json.dumps(about, indent=2))

        write_whole(path, write)

    @classmethod
    def load(cls, path: Path) -> Artefact:
        """Read the file. Raises RunError where it is missing, damaged, or another program's."""
        try:
            with zipfile.ZipFile(path) as archive:
                if (bad := archive.testzip()) is not None:
                    raise zipfile.BadZipFile(f"its part {bad} is damaged")
                about = json.loads(archive.read(ENTRY))
            model = with_fast_norms(keras.saving.load_model(path, compile=False))
            return cls(model, Recipe.from_dict(about["recipe"], str(path)), about["class_names"])
        except FileNotFoundError:
            raise RunError(
                f"no model at {str(path)!r}; give the folder of a finished run, or its model.keras"
            ) from None
        except CNNRecipesError:
            raise
        except Exception as error:  # a damaged file fails in zipfile, json, h5py or Keras, each in its own way
            what = f"{type(error).__name__}: {error}".partition("\n")[0]
            raise RunError(
                f"{str(path)!r} is not a whole model of cnnrecipes ({what}); take another copy, or train again"
            ) from error

    def logits(self, images: np.ndarray) -> np.ndarray:
        """(N, H, W, C) uint8 of the model's size -> (N, classes) float32, batched as in validation."""
        pieces = []
        for start in range(0, len(images), EVALUATION_BATCH):
            batch = images[start : start + EVALUATION_BATCH]
            filled = np.pad(batch, [(0, EVALUATION_BATCH - len(batch)), (0, 0), (0, 0), (0, 0)])
            pieces.append(self._forward(tf.constant(filled)).numpy()[: len(batch)])
        return np.concatenate(pieces) if pieces else np.empty((0, len(self.class_names)), np.float32)

    def probabilities(self, inputs: Any) -> np.ndarray:
        """(N, classes) for what `predict` takes."""
        return softmax(self.logits(self._fitted(self._read(inputs)[0])))

    def predict(
        self, inputs: Any, tta: str | Sequence[str] | None = None, average: str = "probabilities"
    ) -> Prediction | list[Prediction]:
        """Class names and probabilities; no preprocessing to remember.

        Args:
            inputs: a path; an array (H, W, C) or, gray, (H, W), with values 0..255; or a list of such, or an array
                (N, H, W, C). Images of another size are brought to the model's as the validation images were.
            tta: views to average over, as "flip_lr" or ["ten_crop(short_side=256)"]; None: the plain image.
            average: what of the views is averaged, "probabilities" or "logits".

        Returns:
            a Prediction, or a list of them for a list or an array of four dimensions.

        Raises:
            DataError: a file that cannot be read, a wrong rank, values out of range, channels that do not match.
            RecipeError, ModelError: an unknown view, or one that the model cannot look at.
        """
        images, single = self._read(inputs)
        scorer = tta_scorer(self, tta, average)
        if scorer:
            predictions = [self._name(np.exp(row)) for row in scorer.scores(images)]
        else:
            predictions = [self._name(p) for p in softmax(self.logits(self._fitted(images)))]
        return predictions[0] if single else predictions

    def _name(self, probabilities: np.ndarray) -> Prediction:
        order = np.argsort(-probabilities, kind="stable")
        named = {self.class_names[i]: float(probabilities[i]) for i in order}
        return Prediction(next(iter(named)), next(iter(named.values())), named)

    def _read(self, inputs: Any) -> tuple[list[np.ndarray], bool]:
        """Images (H, W, C) of any size, and whether there was a single one."""
        if isinstance(inputs, (str, Path)):
            return [self._read_file(Path(inputs))], True
        if isinstance(inputs, (list, tuple)):
            return [image for item in inputs for image in self._read(item)[0]], False
        array = np.asarray(inputs)
        if array.ndim not in (2, 3, 4) or (array.ndim == 4 and len(array) == 0):
            raise DataError(f"an image has shape {array.shape}; give (H, W, C), (H, W) for gray, or (N, H, W, C)")
        single = array.ndim < 4
        if array.ndim == 3 and array.shape[-1] not in (1, 3):
            raise DataError(
                f"an array of shape {array.shape} is read as one image (H, W, C) of 1 or 3 channels; "
                "give gray images (N, H, W) as images[..., None]"
            )
        images = as_images(array[None] if single else array, "the images")
        if images.shape[-1] != self.input_shape[-1]:
            raise DataError(
                f"the images have {images.shape[-1]} channel(s), the model was trained on {self.input_shape[-1]}; "
                "convert them"
            )
        return list(images), single

    def _read_file(self, path: Path) -> np.ndarray:
        if not path.is_file():
            what = "is a folder; give the images in it" if path.is_dir() else "does not exist"
            raise DataError(f"the image {str(path)!r} {what}")
        try:
            return decode(path.read_bytes(), self.input_shape[-1]).numpy()
        except (OSError, tf.errors.OpError) as error:
            raise DataError(
                f"cannot read {str(path)!r} as an image ({', '.join(EXTENSIONS)}): {reason(error)}"
            ) from None

    def _fitted(self, images: list[np.ndarray]) -> np.ndarray:
        """(N, H, W, C) of the model's size."""
        return np.stack([self._fit(i) for i in images]) if images else np.empty((0, *self.input_shape), np.uint8)

    def _fit(self, images: np.ndarray) -> np.ndarray:
        """The size of the model, by the recipe's own resizing."""
        height, width, _ = self.input_shape
        if images.shape[-3:-1] == (height, width) and not self.recipe.data.short_side:
            return images
        if height != width:
            raise DataError(f"images are {images.shape[-3:-1]}, the model wants ({height}, {width}); resize them")
        return resize(tf.constant(images), height, self.recipe.data.resize, self.recipe.data.short_side).numpy()


def softmax(logits: np.ndarray) -> np.ndarray:
    """(N, classes) probabilities, float32, rounded from float64: the same for a row whatever the rows around it."""
    powers = np.exp(logits.astype(np.float64) - logits.max(axis=1, keepdims=True))
    return (powers / powers.sum(axis=1, keepdims=True)).astype(np.float32)
