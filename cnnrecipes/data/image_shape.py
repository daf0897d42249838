"""The shape that images have in a batch."""

from __future__ import annotations

from cnnrecipes.data.images.image_store import ArrayImages
from cnnrecipes.data.sources.random_access_dataset import Split
from cnnrecipes.errors import DataError
from cnnrecipes.recipe import schema


def image_shape(split: Split, spec: schema.Data) -> tuple[int, int, int]:
    """Return the shape (H, W, C) of the images in a batch. Raises DataError if images and recipe do not match."""
    if isinstance(split.images, ArrayImages):
        height, width, channels = split.images.shape
        if spec.channels not in (None, channels):
            raise DataError(
                f"the images have {channels} channel(s), the recipe has data.channels = {spec.channels}; "
                f"set data.channels={channels}"
            )
        if spec.short_side and not spec.size and not height == width <= spec.short_side:
            raise DataError(
                f"the images are {height}x{width}, the recipe has data.short_side = {spec.short_side} and no "
                "data.image_size to crop after it; set both, or remove data.short_side"
            )
        return (*(spec.size or (height, width)), channels)
    if spec.size is None:
        raise DataError("image files differ in size; set data.image_size, for example data.image_size=64")
    return (*spec.size, spec.channels or split.images.channels)
