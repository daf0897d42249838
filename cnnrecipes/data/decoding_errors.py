"""Conversion of TensorFlow's decoding errors into errors that name the unreadable file."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import tensorflow as tf

from cnnrecipes.data.images.decode import decode, reason
from cnnrecipes.data.images.image_store import ArrayImages
from cnnrecipes.data.sources.random_access_dataset import Source, Split
from cnnrecipes.errors import DataError
from cnnrecipes.recipe import schema


@contextlib.contextmanager
def naming_unreadable(source: Source, spec: schema.Data) -> Iterator[None]:
    """Convert a TensorFlow decoding error in the `with` block into a DataError that names the unreadable file."""
    try:
        yield
    except tf.errors.OpError as error:
        found = (
            unreadable_image(source.split(name), spec) for name in ("train", "validation") if name in source.splits
        )
        raise next(filter(None, found), error) from None


def unreadable_image(split: Split, spec: schema.Data) -> DataError | None:
    """Return a DataError that names the first unreadable image of a split; None if all images are readable."""
    if isinstance(split.images, ArrayImages):
        return None
    for position in split.positions.tolist():
        try:
            decode(split.images.read(position), spec.channels or split.images.channels)
        except (OSError, tf.errors.OpError) as error:
            name = split.images.label(position)
            return DataError(f"cannot read {name} ({split.name}): {reason(error)}; repair or remove the file")
    return None
