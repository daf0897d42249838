"""Channel statistics of a training split, computed once for unchanged files."""

from __future__ import annotations

import contextlib
from pathlib import Path

from cnnrecipes._support import user_cache
from cnnrecipes._support.progress import watch
from cnnrecipes.data.batching import EVALUATION_BATCH, arrays
from cnnrecipes.data.image_shape import image_shape
from cnnrecipes.data.sources.source import Split
from cnnrecipes.data.standardize import Statistics, statistics
from cnnrecipes.recipe import schema


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
    if found is None:
        steps = -(-len(split) // EVALUATION_BATCH)
        what = f"computing mean and standard deviation of {len(split):,} images"
        batches = watch(arrays(split, spec, 1), what, steps, progress)
        found = statistics(images[weights > 0] for images, _, weights in batches)
        if kept:
            with contextlib.suppress(OSError):
                found.save(kept)
    return found


def _kept_statistics(split: Split, spec: schema.Data) -> Path | None:
    """Return the path of a split's cached statistics; None if the images are not files, or not accessible."""
    files = split.files()
    if files is None:
        return None
    shown = repr((image_shape(split, spec), spec.resize, spec.short_side))
    with contextlib.suppress(OSError):
        return user_cache.folder() / "statistics" / f"{user_cache.fingerprint(files, shown)}.json"
    return None
