"""The artifact `model.keras`: weights, class names, preprocessing and recipe in one self-contained file.

A Keras file with one additional entry, cnnrecipes.json. All layers are built-in Keras layers, so Keras without
cnnrecipes loads it as well; only blur pooling is a custom layer and needs `import cnnrecipes`.
"""

from __future__ import annotations

import itertools
import json
import warnings
import zipfile
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple, cast

import keras
import numpy as np
import tensorflow as tf
from scipy import special

from cnnrecipes._support import keras_settings
from cnnrecipes._support.atomic_files import write_whole
from cnnrecipes._support.plugins import import_plugins
from cnnrecipes.data.batching import EVALUATION_BATCH
from cnnrecipes.data.images.decode import EXTENSIONS, decode, reason, resize
from cnnrecipes.data.images.pixel_values import as_images, say_or_warn
from cnnrecipes.data.sources.image_paths import image_paths
from cnnrecipes.errors import CNNRecipesError, CNNRecipesWarning, DataError, RunError
from cnnrecipes.layers import with_fast_norms, with_keras_norms
from cnnrecipes.recipe import schema as recipes
from cnnrecipes.recipe.schema import Recipe
from cnnrecipes.runs.predictor import scorer as tta_scorer

ENTRY = "cnnrecipes.json"
# Maximum size of that entry in bytes; 1,000 class names and a recipe take about 30 KiB.
MAX_ENTRY = 16 * 2**20


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


class _Found(NamedTuple):
    """An input to predict; `named` is False for files that come from a folder or a glob pattern."""

    item: Any
    named: bool


def _with_folders(inputs: Any) -> list[_Found] | None:
    """Return the inputs with folders and glob patterns expanded; None if they contain neither.

    Raises:
        DataError: a folder or a pattern matches no images.
    """
    some = list(inputs) if isinstance(inputs, (list, tuple)) else [inputs]
    paths = [image_paths(item) if isinstance(item, (str, Path)) else None for item in some]
    if all(one is None for one in paths):
        return None
    return [
        found
        for item, files in zip(some, paths, strict=True)
        for found in ([_Found(item, True)] if files is None else [_Found(file, False) for file in files])
    ]


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
        """Write the artifact file atomically. Raises WriteError."""
        about = {"format": 1, "class_names": self.class_names, "recipe": self.recipe.to_dict()}

        def write(beside: Path) -> None:
            with_keras_norms(self.model).save(beside)
            with zipfile.ZipFile(beside, "a") as archive:
                archive.writestr(ENTRY, json.dumps(about, indent=2))

        write_whole(path, write)

    @classmethod
    def load(cls, path: Path) -> Artifact:
        """Load an artifact file.

        Raises:
            RunError: the file is missing, damaged, or not an artifact of cnnrecipes.
            RegistrationError: a plugin cannot be imported.
        """
        try:
            with zipfile.ZipFile(path) as archive:
                about = _about(archive)
                if (bad := archive.testzip()) is not None:
                    raise zipfile.BadZipFile(f"its part {bad} is damaged")
            import_plugins()  # they may register layers of the model with Keras
            recipe = Recipe.recorded(about["recipe"], str(path))
            with keras_settings.float32():
                model = with_fast_norms(keras.saving.load_model(path, compile=False))
            _check_model(model, about["class_names"])
            return cls(model, recipe, about["class_names"])
        except FileNotFoundError:
            raise RunError(
                f"no model at {str(path)!r}; give the folder of a finished run, or its model.keras"
            ) from None
        except CNNRecipesError:
            raise
        except Exception as error:  # damaged files raise different exceptions in zipfile, json, h5py and Keras
            what = f"{type(error).__name__}: {error}".partition("\n")[0]
            raise RunError(
                f"{str(path)!r} is not a valid model of cnnrecipes ({what}); restore it from a copy, or train again"
            ) from error

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
        return softmax(self.logits(self._fitted(self._read(inputs)[0])))

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
        if (found := _with_folders(inputs)) is not None:
            return self._predict_found(found, tta, average)
        images, single = self._read(inputs)
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

    def _predict_found(self, found: list[_Found], tta: str | Sequence[str] | None, average: str) -> list[Prediction]:
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
                return self._read_file(Path(path))
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

    def _read(self, inputs: Any) -> tuple[list[np.ndarray], bool]:
        """Return images (H, W, C) of any size, and True if the input was a single image."""
        if isinstance(inputs, (str, Path)):
            return [self._read_file(Path(inputs))], True
        if isinstance(inputs, (list, tuple)):
            return [image for item in inputs for image in self._read(item)[0]], False
        array, single = _stack(inputs, self.input_shape[-1])
        images = as_images(array, "the images", say_or_warn)
        if images.shape[-1] != self.input_shape[-1]:
            kinds = {1: "gray, 1 channel(s)", 3: "RGB, 3 channel(s)"}
            raise DataError(
                f"the images are {kinds[images.shape[-1]]}, the model was trained on {self.input_shape[-1]}; convert "
                "them, for example by images.mean(-1, keepdims=True) to gray, images.repeat(3, -1) to RGB"
            )
        return list(images), single

    def _read_file(self, path: Path) -> np.ndarray:
        if not path.is_file():
            what = "is a folder; give the images in it" if path.is_dir() else "does not exist; check the path"
            raise DataError(f"the image {str(path)!r} {what}")
        try:
            return decode(path.read_bytes(), self.input_shape[-1]).numpy()
        except (OSError, tf.errors.OpError) as error:
            raise DataError(
                f"cannot read {str(path)!r} as an image ({', '.join(EXTENSIONS)}): {reason(error)}; repair or "
                "replace the file"
            ) from None

    def _fitted(self, images: Sequence[np.ndarray]) -> np.ndarray:
        """Return the images, resized to the model's size, as (N, H, W, C) uint8."""
        return np.stack([self._fit(i) for i in images]) if images else np.empty((0, *self.input_shape), np.uint8)

    def _fit(self, images: np.ndarray) -> np.ndarray:
        """Resize images (..., H, W, C) to the model's input size with the recipe's resize method."""
        size, spec = self.input_shape[:2], self.recipe.data
        if images.shape[-3:-1] == size and not spec.short_side:
            return images
        return resize(tf.constant(images), size, spec.resize, spec.short_side).numpy()


def _stack(inputs: Any, channels: int) -> tuple[np.ndarray, bool]:
    """Return a batch (N, H, W, C) of an image (H, W, C) or (H, W) or a batch (N, H, W, C) or (N, H, W).

    An array of rank 3 is one image if its last axis has 1 to 4 entries, and a batch of grayscale images otherwise. The
    second value is True for a single image. Raises DataError.
    """
    array = np.asarray(inputs)
    if array.ndim not in (2, 3, 4) or (array.ndim == 4 and len(array) == 0):
        raise DataError(f"an image has shape {array.shape}; give (H, W, C), (H, W) for gray, or (N, H, W, C)")
    if array.ndim == 4:
        return array, False
    if array.ndim == 2:
        return array[None, ..., None], True
    if array.shape[-1] in (1, 2, 3, 4):
        return array[None], True
    if channels == 3:
        first = array.shape[0] == 3
        remedy = (
            "for an image with channels first, give image.transpose(1, 2, 0)"
            if first
            else ("for gray images, give images[..., None].repeat(3, -1)")
        )
        raise DataError(
            f"an array of shape {array.shape} is a stack of gray images (N, H, W), and the model was trained on RGB; "
            f"{remedy}"
        )
    return array[..., None], False


def _about(archive: zipfile.ZipFile) -> dict[str, Any]:
    """Return the content of an artifact's cnnrecipes.json. Raises ValueError if it is too large or not valid."""
    declared = archive.getinfo(ENTRY).file_size
    if declared > MAX_ENTRY:
        raise ValueError(f"its {ENTRY} has {declared:,} bytes, at most {MAX_ENTRY:,} are allowed")
    with archive.open(ENTRY) as entry:
        content = entry.read(MAX_ENTRY + 1)  # the declared size may be wrong
    if len(content) > MAX_ENTRY:
        raise ValueError(f"its {ENTRY} has more than {MAX_ENTRY:,} bytes")
    about = json.loads(content)
    if not isinstance(about, dict) or not {"class_names", "recipe"} <= about.keys():
        raise ValueError(f"its {ENTRY} lacks class_names or recipe")
    names = about["class_names"]
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise ValueError(f"the class_names in its {ENTRY} are not a list of strings")
    if len(set(names)) != len(names):
        raise ValueError(f"the class_names in its {ENTRY} repeat a name")
    if not isinstance(about["recipe"], dict):
        raise ValueError(f"the recipe in its {ENTRY} is not a table")
    return about


def _check_model(model: keras.Model, names: Sequence[str]) -> None:
    """Raise ValueError unless the model takes images of one size and returns one logit per class name."""
    if len(model.inputs) != 1 or len(model.input_shape) != 4 or None in model.input_shape[1:]:
        raise ValueError(f"its model takes {model.input_shape}, not images (N, H, W, C) of one size")
    if model.output_shape != (None, len(names)):
        raise ValueError(
            f"it has {len(names)} class names, and its model gives {model.output_shape}, not one logit each"
        )


def softmax(logits: np.ndarray) -> np.ndarray:
    """Return the softmax of logits (N, classes), float32; computed in float64, so that no row depends on others."""
    return special.softmax(logits.astype(np.float64), axis=1).astype(np.float32)
