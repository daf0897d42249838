"""Random crops: of a padded image, and crops that are applied while an image is decoded."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field, model_validator

from cnnrecipes._support.lazy import lazy_module
from cnnrecipes.augment import boxes
from cnnrecipes.augment.crop_flip_fusion import OUTSIDE, PixelMove
from cnnrecipes.augment.gather_and_select import fill_color, reflect, take, within
from cnnrecipes.augment.operation import CropWhileDecoding, Fill, FractionRange, Range, operation

if TYPE_CHECKING:
    import tensorflow as tf
else:
    tf = lazy_module("tensorflow")


@operation("random_resized_crop")
class RandomResizedCrop(CropWhileDecoding):
    """Crop a box of random area and aspect ratio, and resize the crop (Szegedy et al. 2014, section 6)."""

    draws = boxes.DRAWS
    scale: FractionRange = Field(default=(0.08, 1.0), description="area of the box as a fraction of the image's")
    ratio: Range = Field(default=(3 / 4, 4 / 3), description="aspect ratio of the box, width / height")

    def box(self, draws, height, width):
        *box, _ = boxes.choose_box(draws[None], height, width, self.scale, self.ratio)
        return tuple(number[0] for number in box)


@operation("random_crop")
class RandomCrop(CropWhileDecoding):
    """Resize the short side to a fixed or random length, and crop at random (Simonyan & Zisserman 2014, 3.1)."""

    draws = 3
    short_side: Annotated[tuple[int, int], Field(strict=False)] | int | None = Field(
        default=None, description="in pixels; None: 8/7 of the size, for example 256 for 224"
    )

    @model_validator(mode="after")
    def _large_enough(self):
        if self.short_side is not None:
            low, high = self.short_side if isinstance(self.short_side, tuple) else (self.short_side,) * 2
            if not max(self.size or 1, 1) <= low <= high:
                raise ValueError(f"short_side {self.short_side} is below the size, or not in increasing order")
        return self

    def choose_short_side(self, draw: tf.Tensor, size: int):
        """Return the short side in pixels for a crop of `size`: fixed, or drawn from the inclusive range."""
        if self.short_side is None:
            return round(size * 8 / 7)
        if isinstance(self.short_side, int):
            return self.short_side
        low, high = self.short_side
        return low + tf.minimum(tf.cast(draw * (high - low + 1), tf.int32), high - low)


@operation("pad_crop")
class PadCrop(PixelMove):
    """Pad every side by `padding` pixels and crop the original size at random (He et al. 2015, section 4.2)."""

    draws = 2
    padding: int = Field(default=4, ge=0)
    fill: Fill | Literal["reflect"] = "mean"

    def apply(self, images, draws, mean):
        height, width = images.shape[1:3]
        offsets = self._offsets(draws)
        rows = offsets[:, :1] + tf.range(height)
        columns = offsets[:, 1:] + tf.range(width)
        if self.fill == "reflect":
            return _gather(images, reflect(rows, height), reflect(columns, width))
        cropped = _gather(images, tf.clip_by_value(rows, 0, height - 1), tf.clip_by_value(columns, 0, width - 1))
        inside = within(rows, 0, height)[:, :, None] & within(columns, 0, width)[:, None, :]
        return tf.where(inside[..., None], cropped, fill_color(self.fill, mean))

    @property
    def outside(self):
        return None if self.fill == "reflect" else self.fill

    def move(self, rows, columns, draws):
        offsets = self._offsets(draws)
        return self._shift(rows, offsets[:, :1]), self._shift(columns, offsets[:, 1:])

    def _offsets(self, draws: tf.Tensor) -> tf.Tensor:
        """Return the offsets (N, 2) of the crops in rows and columns, integers from -padding to padding."""
        return tf.cast(draws * (2 * self.padding + 1), tf.int32) - self.padding

    def _shift(self, positions: tf.Tensor, offsets: tf.Tensor) -> tf.Tensor:
        """Return the source positions (N, L) after the crop, `OUTSIDE` for pixels outside of the image."""
        length = positions.shape[1]
        moved = offsets + tf.range(length)
        if self.fill == "reflect":
            return tf.gather(positions, reflect(moved, length), batch_dims=1)
        inside = tf.gather(positions, tf.clip_by_value(moved, 0, length - 1), batch_dims=1)
        return tf.where(within(moved, 0, length), inside, OUTSIDE)


def _gather(images: tf.Tensor, rows: tf.Tensor, columns: tf.Tensor) -> tf.Tensor:
    """Gather the rows (N, h) and columns (N, w) of each image."""
    height, width, channels = images.shape[1:]
    starts = (tf.range(tf.shape(images)[0])[:, None] * height + rows) * width
    return take(tf.reshape(images, (-1, channels)), starts[:, :, None] + columns[:, None, :])
