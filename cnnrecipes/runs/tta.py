"""Test-time augmentation: predictions averaged over several views of an image."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Sequence

import keras
import numpy as np
import tensorflow as tf
from scipy.special import log_softmax

from cnnrecipes.augment.tta_views import View, parse_views
from cnnrecipes.data.batching import EVALUATION_BATCH
from cnnrecipes.data.images.decode import resize, scaled_shape, to_uint8
from cnnrecipes.errors import DataError, ModelError, RecipeError
from cnnrecipes.layers import with_fast_norms
from cnnrecipes.recipe import schema

AVERAGES = ("probabilities", "logits")
# Maximum pixels of a whole image: 16 float32 channels of it take 1 GiB; larger ones are probably a mistake.
MAX_WHOLE = 2**24
# Pixels of a batch of whole images of one shape, which has at least 2 images: on a CPU TensorFlow's
# fused convolution, batch norm and ReLU takes 20 to 50 times as long for 1 image as for 2.
_BATCH_PIXELS = 2**16


class Scorer:
    """Test-time augmentation of a model: averages its predictions over views of an image.

    Args:
        artifact: the trained model with its preprocessing.
        texts: one or several views, for example "flip_lr" or ["ten_crop", "center(short_side=288)"]; see
            `augment/tta_views.py`. Each image of each view counts once, duplicates included.
        average: the quantity that is averaged, "probabilities" or "logits".

    Raises:
        RecipeError: an unknown view, or one that does not fit the image size of the model.
        ModelError: a view of whole images needs a fully convolutional model, or is too small for the model.
    """

    def __init__(self, artifact, texts: str | Sequence[str], average: str = "probabilities"):
        if average not in AVERAGES:
            raise RecipeError(f"average is {average!r}; allowed: {', '.join(AVERAGES)}")
        self.artifact, self.average = artifact, average
        self.views = parse_views(texts)
        for view in self.views:
            view.check(*artifact.input_shape[:2])
        whole = [side for view in self.views for side in self._sides(view)]
        self._whole = fully_convolutional(artifact.model, whole) if whole else None

    def scores(self, images: Iterable[np.ndarray]) -> Iterator[np.ndarray]:
        """Yield log probabilities (classes,) float64 for each image (H, W, C) uint8 of any size, over all views.

        Raises:
            DataError: an image that cannot be resized to the model's size, or is too large for `multi_scale`.
        """
        chunk: list[np.ndarray] = []
        for image in images:
            chunk.append(image)
            if len(chunk) == EVALUATION_BATCH:
                yield from self._of(chunk)
                chunk = []
        if chunk:
            yield from self._of(chunk)

    def _of(self, images: list[np.ndarray]) -> np.ndarray:
        outputs = []  # (N, classes) of each view
        for view in self.views:
            sides = self._sides(view)
            if self._whole is not None and sides:
                outputs += [self._at(self._whole, images, side) for side in sides]
            else:
                shown = [look(image, view, self.artifact.input_shape, self.artifact.recipe.data) for image in images]
                outputs += [self.artifact.logits(np.stack(some)) for some in zip(*shown, strict=True)]
        logits = np.asarray(outputs, np.float64)
        if self.average == "logits":
            return log_softmax(logits.mean(0), axis=-1)
        logs = log_softmax(logits, axis=-1)
        highest = logs.max(0)  # subtracted first, so that a probability of 0 in float64 does not become -inf
        return highest + np.log(np.exp(logs - highest).mean(0))

    def _sides(self, view: View) -> tuple[int, ...]:
        return view.whole_sides(min(self.artifact.input_shape[:2]))

    def _at(self, whole: Callable[[tf.Tensor], tf.Tensor], images: list[np.ndarray], short_side: int) -> np.ndarray:
        """Return logits (N, classes) of whole images resized to this short side, batched by shape.

        All batches of a shape have the same number of rows, the last one padded, so that the result for an image does
        not depend on the others: kernels round differently for other batch sizes.
        """
        sizes = [_scaled(image, short_side) for image in images]
        rows = np.empty((len(images), len(self.artifact.class_names)), np.float32)
        for size in dict.fromkeys(sizes):
            places = [place for place, other in enumerate(sizes) if other == size]
            count = whole_batch(*size)
            for start in range(0, len(places), count):
                some = places[start : start + count]
                shown = [_resized(images[place], size) for place in some]
                filled = np.stack(shown + shown[-1:] * (count - len(some)))
                rows[some] = whole(tf.constant(filled)).numpy()[: len(some)]
        return rows


def whole_batch(height: int, width: int) -> int:
    """Return the batch size for uncropped images of this size: a power of 2 up to 16, smaller for larger images."""
    pixels = height * width
    if 2 * pixels > MAX_WHOLE:
        return 1
    return min(2 ** int(math.log2(max(_BATCH_PIXELS // pixels, 2))), EVALUATION_BATCH)


def _scaled(image: np.ndarray, short_side: int) -> tuple[int, int]:
    """Return the size of an image scaled to `short_side`. Raises DataError above `MAX_WHOLE` pixels."""
    height, width = scaled_shape(tf.constant(image.shape[:2]), short_side).numpy().tolist()
    if height * width > MAX_WHOLE:
        raise DataError(
            f"an image of {_by(image.shape)} pixels would be {_by((height, width))} at short side {short_side}, more "
            f"than {MAX_WHOLE:,} pixels; leave the image out, or use views of the model's size"
        )
    return height, width


def _resized(image: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    return to_uint8(tf.image.resize(image, size, antialias=True)).numpy() if size != image.shape[:2] else image


def scorer(artifact, tta: str | Sequence[str] | None, average: str) -> Scorer | None:
    """Return a Scorer for `tta`; None if `tta` is None. Raises RecipeError for another `average` without views."""
    if tta is not None:
        return Scorer(artifact, tta, average)
    if average != AVERAGES[0]:
        raise RecipeError(f"average is {average!r}, and there are no views to average; give tta, for example 'flip_lr'")
    return None


def look(image: np.ndarray, view: View, shape: tuple[int, int, int], spec: schema.Data) -> list[np.ndarray]:
    """Return the crops (H, W, C) uint8 of a view of one image, in the model's shape; the unchanged image is first."""
    height, width = shape[:2]

    def resized(size: tuple[int, int] | None = None, short_side: int | None = None) -> np.ndarray:
        if size is None and short_side is None:
            if image.shape[:2] == (height, width) and not spec.short_side:
                return image
            return resize(tf.constant(image), (height, width), spec.resize, spec.short_side).numpy()
        return resize(tf.constant(image), size or (height, width), "crop", short_side).numpy()

    return view.crops(resized, height, width)


def fully_convolutional(model: keras.Model, short_sides: Sequence[int] = ()) -> Callable[[tf.Tensor], tf.Tensor]:
    """Return a function from images (N, H, W, C) uint8 of any size to logits (N, classes), with the model's weights.

    Args:
        short_sides: lengths of the short side, in pixels, that the model must accept.

    Raises:
        ModelError: the head is tied to one image size, or pooling reduces an image of such a short side to nothing.
    """
    try:
        any_size = keras.Input((None, None, model.input_shape[-1]), dtype=model.inputs[0].dtype)
        twin = keras.models.clone_model(model, input_tensors=any_size)
        twin.set_weights(model.get_weights())
    except (ValueError, TypeError) as error:
        flat = [layer.name for layer in model.layers if isinstance(layer, keras.layers.Flatten)]
        why = f"after {flat[0]} every position has its own weights" if flat else str(error).partition("\n")[0]
        raise ModelError(
            f"{model.name} takes images of one size only, not whole images of any size ({why}); "
            'use views of its size, or a model with head = "average"'
        ) from None
    for side in sorted(short_sides):
        try:
            twin.compute_output_shape((1, side, side, model.input_shape[-1]))
        except ValueError:
            raise ModelError(
                f"{model.name} reduces an image of short side {side} to nothing by pooling; give a longer short side"
            ) from None
    twin = with_fast_norms(twin)
    signature = tf.TensorSpec((None, None, None, model.input_shape[-1]), tf.uint8)
    forward = tf.function(lambda images: twin(images, training=False), input_signature=[signature], autograph=False)
    return forward.get_concrete_function()


def _by(shape: Sequence[int]) -> str:
    return f"{shape[0]}x{shape[1]}"
