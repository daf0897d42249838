"""Test-time augmentation: what a model says of several views of an image, averaged."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

import keras
import numpy as np
import tensorflow as tf

from cnnrecipes import recipe, views
from cnnrecipes.data.images import resize, scaled_shape, to_uint8
from cnnrecipes.data.pipeline import EVALUATION_BATCH
from cnnrecipes.errors import ModelError, RecipeError
from cnnrecipes.layers import with_fast_norms
from cnnrecipes.operations import Operation

AVERAGES = ("probabilities", "logits")


class Scorer:
    """Averages what a model says of the views of an image.

    Args:
        artefact: the trained model with its preprocessing.
        texts: a view or several, as "flip_lr" or ["ten_crop", "centre(short_side=288)"]; see `cnnrecipes.views`.
        average: of "probabilities", or of "logits".

    Raises:
        RecipeError: an unknown view, or one that does not fit the model's size.
        ModelError: a whole image is to go through a model that takes one size only.
    """

    def __init__(self, artefact, texts: str | Sequence[str], average: str = "probabilities"):
        if average not in AVERAGES:
            raise RecipeError(f"average is {average!r}; allowed: {', '.join(AVERAGES)}")
        self.artefact, self.average = artefact, average
        self.views = views.parse_views(texts)
        size = min(artefact.input_shape[:2])
        for view in self.views:
            side = getattr(view, "short_side", None)
            if side is not None and side < size:
                raise RecipeError(f"the view's short_side {side} is below the model's size {size}")
            if isinstance(view, views.Shift) and view.pixels >= size:
                raise RecipeError(f"a shift by {view.pixels} pixels leaves nothing of an image of {size}")
        whole = any(isinstance(view, views.MultiScale) for view in self.views)
        self._whole = fully_convolutional(artefact.model) if whole else None

    def scores(self, images: Iterable[np.ndarray]) -> Iterator[np.ndarray]:
        """For each image (H, W, C), uint8, of any size: its log probabilities (classes,), float64, over all views."""
        chunk: list[np.ndarray] = []
        for image in images:
            chunk.append(image)
            if len(chunk) == EVALUATION_BATCH:
                yield from self._of(chunk)
                chunk = []
        if chunk:
            yield from self._of(chunk)

    def _of(self, images: list[np.ndarray]) -> np.ndarray:
        said = []  # of each view (N, classes)
        for view in self.views:
            if isinstance(view, views.MultiScale):
                said += [self._at(images, side) for side in view.short_sides]
            else:
                shown = [look(image, view, self.artefact.input_shape, self.artefact.recipe.data) for image in images]
                said += [self.artefact.logits(np.stack(some)) for some in zip(*shown, strict=True)]
        logits = np.asarray(said, np.float64)
        if self.average == "logits":
            return log_softmax(logits.mean(0))
        return np.log(np.exp(log_softmax(logits)).mean(0))

    def _at(self, images: list[np.ndarray], short_side: int) -> np.ndarray:
        rows = []
        for image in images:
            size = scaled_shape(tf.constant(image.shape[:2]), short_side)
            scaled = to_uint8(tf.image.resize(image, size, antialias=True)) if tuple(size) != image.shape[:2] else image
            rows.append(self._whole(tf.constant(scaled)[None]).numpy()[0])
        return np.stack(rows)


def look(image: np.ndarray, view: Operation, shape: tuple[int, int, int], spec: recipe.Data) -> list[np.ndarray]:
    """The views of one image (H, W, C), each of the model's shape; the first is the plain one where there is one."""
    height, width = shape[:2]
    if isinstance(view, views.FiveCrop):
        side = view.short_side or round(min(height, width) * 8 / 7)
        square = resize(tf.constant(image), side, "crop").numpy()
        bottom, right = side - height, side - width
        corners = [(0, 0), (0, right), (bottom, 0), (bottom, right), (bottom // 2, right // 2)]
        crops = [square[top : top + height, left : left + width] for top, left in corners]
        return crops + [crop[:, ::-1] for crop in crops] if isinstance(view, views.TenCrop) else crops
    short_side = getattr(view, "short_side", None) or spec.short_side
    plain = image
    if image.shape[:2] != (height, width) or short_side:
        how = "crop" if getattr(view, "short_side", None) else spec.resize
        plain = resize(tf.constant(image), height, how, short_side).numpy()
    if isinstance(view, views.FlipLR):
        return [plain, plain[:, ::-1]]
    if isinstance(view, views.Shift):
        n = view.pixels
        padded = np.pad(plain, [(n, n), (n, n), (0, 0)], "reflect")
        return [plain, padded[2 * n :, 2 * n :], padded[:height, :width]]
    return [plain]


def fully_convolutional(model: keras.Model) -> tf.Module:
    """A function of images (N, H, W, C) of any size to logits, with the model's weights.

    Raises:
        ModelError: its head takes one size only.
    """
    try:
        anyhow = keras.Input((None, None, model.input_shape[-1]), dtype=model.inputs[0].dtype)
        twin = keras.models.clone_model(model, input_tensors=anyhow)
        twin.set_weights(model.get_weights())
    except (ValueError, TypeError) as error:
        why = str(error).partition("\n")[0]
        raise ModelError(
            f"{model.name} takes images of one size only, so that it cannot look at whole ones ({why}); "
            'use views of its size, or a model with head = "average"'
        ) from None
    twin = with_fast_norms(twin)
    signature = tf.TensorSpec((None, None, None, model.input_shape[-1]), tf.uint8)
    return tf.function(lambda images: twin(images, training=False), input_signature=[signature], autograph=False)


def log_softmax(logits: np.ndarray) -> np.ndarray:
    """Log probabilities over the last axis."""
    shifted = logits - logits.max(axis=-1, keepdims=True)
    return shifted - np.log(np.exp(shifted).sum(axis=-1, keepdims=True))
