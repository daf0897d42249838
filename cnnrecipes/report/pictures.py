"""Pictures of a report: images of the data as small data URIs, within a budget of bytes."""

from __future__ import annotations

import base64
import contextlib
import io
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import tensorflow as tf
from PIL import Image

from cnnrecipes.data.images.decode import decode, reason, resize
from cnnrecipes.data.sources.random_access_dataset import Source
from cnnrecipes.data.train_subset import with_train_images
from cnnrecipes.data.unreadable_files import open_readable
from cnnrecipes.errors import CNNRecipesError
from cnnrecipes.recipe.schema import Data
from cnnrecipes.runs.run import Run

BUDGET = 3_500_000  # bytes of all pictures of a report, as text; the other parts take the rest of 5 MB
SIDE = 224  # pixels of the longer side of a picture
_EXACT = 64  # pixels up to which a picture is kept without loss, and drawn with visible pixels


class Pictures:
    """Encodes pictures until the budget is spent.

    Attributes:
        left: remaining bytes.
        refused: number of pictures left out because the budget is spent.
    """

    def __init__(self, budget: int = BUDGET):
        self.left, self.refused = budget, 0

    def uri(self, image: np.ndarray, side: int = SIDE) -> str:
        """Return an image (H, W, 1 or 3), 0..255, as a data URI; "" if the budget is spent."""
        picture = as_picture(image)
        exact = max(picture.size) <= _EXACT
        if not exact:
            picture.thumbnail((side, side))
        return self.encoded(picture, exact=exact)

    def encoded(self, picture: Image.Image, *, exact: bool, subsampling: str = "4:2:0") -> str:
        """Return a picture as a data URI, without loss or as JPEG; "" if the budget is spent."""
        buffer = io.BytesIO()
        if exact:
            picture.save(buffer, "PNG", optimize=True)
        else:
            picture.save(buffer, "JPEG", quality=72, subsampling=subsampling)
        text = f"data:image/{'png' if exact else 'jpeg'};base64,{base64.b64encode(buffer.getvalue()).decode()}"
        if len(text) > self.left:
            self.refused += 1
            return ""
        self.left -= len(text)
        return text


def as_picture(image: np.ndarray) -> Image.Image:
    """Return an image (H, W, 1 or 3), 0..255, as a picture in RGB."""
    pixels = np.clip(np.round(image), 0, 255).astype(np.uint8)
    return Image.fromarray(pixels.repeat(3, axis=-1) if pixels.shape[-1] == 1 else pixels[..., :3])


def network_input(source: Source, split: str, position: int, spec: Data) -> np.ndarray:
    """Return an image of a split as the network receives it at inference, (H, W, C) uint8.

    Args:
        source: the data.
        split: name of the split.
        position: of the image in its store, as in `Predictions.positions`.
        spec: the recipe's `data` table with the size and the channels of the model.

    Raises:
        OSError: the file is missing or cannot be decoded.
    """
    content = source.split(split).images.read(int(position))
    channels = spec.channels or 3
    try:
        image = decode(content, channels).numpy() if isinstance(content, bytes) else np.asarray(content)
        if spec.size is None or (image.shape[:2] == spec.size and not spec.short_side):
            return image
        return resize(tf.constant(image), spec.size, spec.resize, spec.short_side).numpy()
    except (ValueError, tf.errors.OpError) as error:
        raise OSError(reason(error)) from None


@contextlib.contextmanager
def opened_data(run: Run, data: Any, class_names: Sequence[str]) -> Iterator[tuple[Source | None, str]]:
    """Yield the data of a run, open, and the reason for which it is None: it was moved, or has other classes.

    Args:
        run: the run.
        data: as in `fit`; None: the data set of the recipe.
        class_names: of the run; () if they are unknown.
    """
    try:
        source, _ = open_readable(data, run.recipe.data)
        source = with_train_images(source, run.recipe)
    except (CNNRecipesError, OSError) as error:
        yield None, str(error)
        return
    with source:
        try:
            if class_names:
                source.check_class_names(class_names)
        except CNNRecipesError as error:
            yield None, str(error)
            return
        yield source, ""
