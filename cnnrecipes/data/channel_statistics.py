"""Channel statistics of a training split, computed once for unchanged files."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from cnnrecipes._support import user_cache
from cnnrecipes._support.progress import watch
from cnnrecipes.data.batching import EVALUATION_BATCH, arrays
from cnnrecipes.data.image_shape import image_shape
from cnnrecipes.data.images.image_store import ArrayImages
from cnnrecipes.data.sources.random_access_dataset import Split
from cnnrecipes.data.standardize import Statistics, statistics
from cnnrecipes.recipe import schema

_CHUNK = 1024  # images of an array at once


def split_statistics(split: Split, spec: schema.Data, *, progress: bool = False) -> Statistics:
    """Return the statistics that `data.standardize` names, or compute them over the resized images of a split.

    Statistics of unchanged files are cached in the user's cache folder.

    Raises:
        DataError: a file that cannot be read.
    """
    if spec.standardize != "train":
        return Statistics.named(spec.standardize, image_shape(split, spec)[2])
    kept = _kept_statistics(split, spec)
    found = Statistics.load(kept) if kept else None
    if kept and found:
        user_cache.mark_used(kept)
    if found is None:
        found = statistics(_batches(split, spec, progress))
        if kept:
            with contextlib.suppress(OSError):
                found.save(kept)
    return found


def _batches(split: Split, spec: schema.Data, progress: bool) -> Iterator[np.ndarray]:
    """Yield all images of a split, resized as in evaluation, in batches (N, H, W, C) uint8."""
    images = split.images
    if isinstance(images, ArrayImages) and image_shape(split, spec) == images.shape and not spec.short_side:
        for start in range(0, len(split), _CHUNK):  # in memory at their size: seconds less than by a pipeline
            yield images.array[split.positions[start : start + _CHUNK]]
        return
    steps = -(-len(split) // EVALUATION_BATCH)
    what = f"computing mean and standard deviation of {len(split):,} images"
    for batch, _, weights in watch(arrays(split, spec, 1), what, steps, progress):
        yield batch[weights > 0]


def _kept_statistics(split: Split, spec: schema.Data) -> Path | None:
    """Return the path of a split's cached statistics; None if the images are not files, or not accessible."""
    files = split.files()
    if files is None:
        return None
    shown = repr((image_shape(split, spec), spec.resize, spec.short_side))
    with contextlib.suppress(OSError):
        return user_cache.folder() / "statistics" / f"{user_cache.fingerprint(files, shown)}.json"
    return None
