"""`Artifact`: a trained model with its class names, preprocessing and recipe, which predicts images."""

from __future__ import annotations

import itertools
import warnings
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any, cast

import keras
import numpy as np
import tensorflow as tf
from scipy import special

from cnnrecipes.data.batching import EVALUATION_BATCH
from cnnrecipes.data.images.decode import resize
from cnnrecipes.data.sources.image_paths import image_paths
from cnnrecipes.errors import CNNRecipesWarning, DataError
from cnnrecipes.recipe import schema as recipes
from cnnrecipes.recipe.schema import Recipe
from cnnrecipes.runs import model_file
from cnnrecipes.runs.prediction_inputs import Found, read_file, read_images, with_folders
from cnnrecipes.runs.tta import scorer as tta_scorer


@dataclass(frozen=True)
class Prediction:
    """The prediction for one image.

    Attributes:
        name: the most probable class.
        probability: its probability, 0..1.
        probabilities: class name to probability, most probable first.
        file: the path of the image if it was read from a file, else None.
    """

    name: str
    probability: float
    probabilities: dict[str, float]
    file: str | None = field(default=None, compare=False)

    def __str__(self) -> str:
        return "  ".join(f"{name} {p:.1%}" for name, p in list(self.probabilities.items())[:3])


class Artifact:
    """A trained model with its class names, preprocessing and recipe."""

    def __init__(self, model: keras.Model, recipe: Recipe, class_names: Sequence[str]):
        self.model, self.recipe, self.class_names = model, recipe, tuple(class_names)
        self.input_shape: tuple[int, int, int] = tuple(model.input_shape[1:])

    @cached_property
    def _forward(self) -> Callable[[tf.Tensor], tf.Tensor]:
        """The forward pass as one concrete function: (16, H, W, C) uint8 to logits (16, classes)."""
        forward = tf.function(lambda images: self.model(images, training=False), autograph=False)
        return forward.get_concrete_function(tf.TensorSpec((EVALUATION_BATCH, *self.input_shape), tf.uint8))

    def save(self, path: Path) -> None:
        """Write the file atomically. Raises WriteError."""
        model_file.write(path, model_file.Content(self.model, self.recipe, self.class_names))

    @classmethod
    def load(cls, path: Path) -> Artifact:
        """Load the file. Raises RunError if it is missing, damaged, or not an artifact of cnnrecipes."""
        return cls(*model_file.read(path))

    @property
    def spec(self) -> recipes.Data:
        """The recipe's `data` table with `image_size` and `channels` set to the model's input shape."""
        height, width, channels = self.input_shape
        size = height if height == width else (height, width)
        return self.recipe.data.model_copy(update={"image_size": size, "channels": channels})

    def logits(self, images: np.ndarray) -> np.ndarray:
        """Return logits (N, classes) float32 of images (N, H, W, C) uint8 of the model's size.

        Batches have the size that validation uses, the last one padded, so results do not depend on N.
        """
        pieces = []
        for start in range(0, len(images), EVALUATION_BATCH):
            batch = images[start : start + EVALUATION_BATCH]
            filled = np.pad(batch, [(0, EVALUATION_BATCH - len(batch)), (0, 0), (0, 0), (0, 0)])
            pieces.append(self._forward(tf.constant(filled)).numpy()[: len(batch)])
        return np.concatenate(pieces) if pieces else np.empty((0, len(self.class_names)), np.float32)

    def probabilities(self, inputs: Any) -> np.ndarray:
        """Return probabilities (N, classes) float32 of the inputs that `predict` accepts."""
        return softmax(self.logits(self._fitted(read_images(inputs, self.input_shape[-1])[0])))

    def predict(
        self, inputs: Any, tta: str | Sequence[str] | None = None, average: str = "probabilities"
    ) -> Prediction | list[Prediction]:
        """Return class names and probabilities; preprocessing is applied.

        Args:
            inputs: the path of an image; a folder of images, or a glob pattern, for example "photos/*.jpg"; an array
                (H, W, C) or, grayscale, (H, W); a list of any of these; or an array (N, H, W, C) or, grayscale,
                (N, H, W). Values are 0..255, or floats 0..1. Images of another size are resized as in validation.
            tta: views to average over, for example "flip_lr" or ["ten_crop(short_side=256)"]; None: no test-time
                augmentation.
            average: the quantity that is averaged over the views, "probabilities" or "logits".

        Returns:
            a Prediction; for a folder, a pattern, a list or a batch of images a list of them. Predictions of files
            have the path in `.file`. Unreadable files of a folder or a pattern are skipped with a warning; an
            unreadable file that was given by its path raises DataError.

        Raises:
            DataError: an unreadable file, a wrong rank, values out of range, or a wrong number of channels.
            RecipeError: an unknown view, or one that does not fit the image size of the model.
            ModelError: the view needs a fully convolutional model, or larger images.
        """
        if (found := with_folders(inputs)) is not None:
            return self._predict_found(found, tta, average)
        images, single = read_images(inputs, self.input_shape[-1])
        predictions = [self._name(row) for row in self.softmax(images, tta_scorer(self, tta, average))]
        files = [inputs] if single else inputs if isinstance(inputs, (list, tuple)) else []
        if len(files) == len(predictions):
            named = [str(file) if isinstance(file, (str, Path)) else None for file in files]
            predictions = [replace(one, file=file) for one, file in zip(predictions, named, strict=True)]
        return predictions[0] if single else predictions

    def predict_files(
        self, paths: Sequence[str | Path], tta: str | Sequence[str] | None = None, average: str = "probabilities"
    ) -> tuple[list[Prediction], dict[str, str]]:
        """Predict any number of image files, decoded one batch at a time.

        Args:
            paths: image files, folders of them, and glob patterns, for example "photos/*.jpg".
            tta: as in `predict`.
            average: as in `predict`.

        Returns:
            the predictions of the readable files in order, and a dict of unreadable file to reason.

        Raises:
            DataError: a folder or a pattern matches no images.
            RecipeError, ModelError: as in `predict`.
        """
        scorer = tta_scorer(self, tta, average)
        predictions: list[Prediction] = []
        unreadable: dict[str, str] = {}
        expanded = [file for path in paths for file in image_paths(path) or [str(path)]]
        for files, images in self._chunks(expanded, unreadable):
            rows = self.softmax(images, scorer)
            predictions += [replace(self._name(row), file=file) for file, row in zip(files, rows, strict=True)]
        return predictions, unreadable

    def _predict_found(self, found: list[Found], tta: str | Sequence[str] | None, average: str) -> list[Prediction]:
        """Predict files and arrays; warn about unreadable files of folders and patterns, raise DataError for others."""
        predictions: list[Prediction] = []
        unreadable: dict[str, str] = {}
        files = 0
        for are_files, group in itertools.groupby(found, key=lambda one: isinstance(one.item, (str, Path))):
            some = list(group)
            if not are_files:
                of_list = self.predict([one.item for one in some], tta, average)
                predictions += cast("list[Prediction]", of_list)
                continue
            more, bad = self.predict_files([one.item for one in some], tta, average)
            named = [why for one in some if one.named and (why := bad.get(str(one.item)))]
            if named:
                raise DataError(named[0])
            predictions, unreadable, files = predictions + more, unreadable | bad, files + len(some)
        if unreadable:
            first, why = next(iter(unreadable.items()))
            warnings.warn(
                f"{len(unreadable)} of {files} images cannot be read and are left out, for example {first!r}: {why}",
                CNNRecipesWarning,
                stacklevel=3,
            )
        return predictions

    def _chunks(self, paths: list[str], unreadable: dict[str, str]) -> Iterator[tuple[list[str], list[np.ndarray]]]:
        """Yield batches of readable files and their images; add unreadable files to `unreadable`, with the reason."""

        def read(path: str) -> np.ndarray | str:
            try:
                return read_file(Path(path), self.input_shape[-1])
            except DataError as error:
                return str(error)

        with ThreadPoolExecutor() as pool:
            for start in range(0, len(paths), EVALUATION_BATCH):
                some = paths[start : start + EVALUATION_BATCH]
                found = dict(zip(some, pool.map(read, some), strict=True))
                unreadable |= {path: why for path, why in found.items() if isinstance(why, str)}
                readable = [(path, image) for path in some if not isinstance(image := found[path], str)]
                if readable:
                    yield [path for path, _ in readable], [image for _, image in readable]

    def softmax(self, images: Sequence[np.ndarray], scorer) -> np.ndarray:
        """Return probabilities (N, classes) of images of any size, averaged over views if `scorer` is not None."""
        if scorer:
            return np.asarray([np.exp(row) for row in scorer.scores(images)])
        return softmax(self.logits(self._fitted(images)))

    def _name(self, probabilities: np.ndarray) -> Prediction:
        order = np.argsort(-probabilities, kind="stable")
        named = {self.class_names[i]: float(probabilities[i]) for i in order}
        return Prediction(next(iter(named)), next(iter(named.values())), named)

    def _fitted(self, images: Sequence[np.ndarray]) -> np.ndarray:
        """Return the images, resized to the model's size, as (N, H, W, C) uint8."""
        return np.stack([self._fit(i) for i in images]) if images else np.empty((0, *self.input_shape), np.uint8)

    def _fit(self, images: np.ndarray) -> np.ndarray:
        """Resize images (..., H, W, C) to the model's input size with the recipe's resize method."""
        size, spec = self.input_shape[:2], self.recipe.data
        if images.shape[-3:-1] == size and not spec.short_side:
            return images
        return resize(tf.constant(images), size, spec.resize, spec.short_side).numpy()


def softmax(logits: np.ndarray) -> np.ndarray:
    """Return the softmax of logits (N, classes), float32.

    Computed in float64, so that the rounding of a row does not depend on the other rows of the batch.
    """
    return special.softmax(logits.astype(np.float64), axis=1).astype(np.float32)
