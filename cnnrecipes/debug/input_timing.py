"""Timing of the input pipeline alone, and how its work divides into reading, decoding and augmentation."""

from __future__ import annotations

import math
import time
from collections.abc import Iterable, Sequence

from cnnrecipes.data import batching
from cnnrecipes.data.augmentation import Augmentation
from cnnrecipes.data.images.image_store import ArrayImages
from cnnrecipes.data.input_pipeline import InputPipeline
from cnnrecipes.transfer.feature_pipeline import FeaturePipeline

_BATCHES, _ROUNDS = 3, 2  # of a pipeline with one thread
_FILES = 64  # that are read to time the reading


def input_seconds(pipeline: InputPipeline, steps: int) -> float:
    """Return the mean seconds of a training batch from the input pipeline alone, as in epochs after the first.

    The batches are made twice, of which the second time counts: data.cache has them then. The first ones of it, which
    fill the pipeline, are not timed.
    """
    warm_up = max(steps // 4, 2)
    if pipeline.recipe.data.cache != "none":
        _consume(pipeline.training_batches(0, warm_up + steps))
    batches = iter(pipeline.training_batches(0, warm_up + steps))
    for _ in range(warm_up):
        next(batches)
    start = time.perf_counter()
    _consume(batches)
    return (time.perf_counter() - start) / steps


def input_shares(pipeline: InputPipeline) -> dict[str, float]:
    """Return the shares of reading, decoding and augmentation, where there are such, of the input's work on one thread.

    Decoding has random crops and resizing. Cached images are read, not decoded; images of an array, and features, are
    only read, and resized. An augmentation in the training step is no part of it.
    """
    if isinstance(pipeline, FeaturePipeline):
        return {"read": 1.0}
    crop = pipeline.augmentation.random_crop
    plain_augmentation = Augmentation((crop,) if crop else (), pipeline.recipe.train.seed, pipeline.statistics.mean)
    has_host_ops = not pipeline.augmentation.in_step and pipeline.augmentation.ops != plain_augmentation.ops
    full = plain = math.inf
    for _ in range(_ROUNDS):  # alternately, and the fastest: other programs only slow it down
        full = min(full, _one_thread(pipeline, pipeline.augmentation))
        plain = min(plain, _one_thread(pipeline, plain_augmentation)) if has_host_ops else full
    plain = min(plain, full)
    decodes = not isinstance(pipeline.train.images, ArrayImages) and pipeline.recipe.data.cache == "none"
    parts = {"read": min(_reading(pipeline), plain) if decodes else plain}
    if decodes:
        parts["decode"] = plain - parts["read"]
    if has_host_ops:
        parts["augmentation"] = full - plain
    return {name: seconds / full for name, seconds in parts.items()}


def _one_thread(pipeline: InputPipeline, augmentation: Augmentation) -> float:
    """Return the mean seconds of a batch from a pipeline with one thread; cached images are in the cache."""
    seconds: list[float] = []
    for _ in range(1 if pipeline.recipe.data.cache == "none" else 2):
        batches = iter(
            batching.training_batches(
                pipeline.train,
                pipeline.recipe,
                pipeline.statistics,
                len(pipeline.class_names),
                last_step=_BATCHES + 1,
                augmentation=augmentation,
                threads=1,
            )
        )
        next(batches)
        start = time.perf_counter()
        _consume(batches)
        seconds.append((time.perf_counter() - start) / _BATCHES)
    return seconds[-1]


def _reading(pipeline: InputPipeline) -> float:
    """Return the seconds in which the encoded images of a batch are read, on one thread."""
    places: Sequence[int] = range(min(_FILES, len(pipeline.train)))
    for place in places:  # as in later epochs, when the operating system caches files
        pipeline.train.read(place)
    start = time.perf_counter()
    for place in places:
        pipeline.train.read(place)
    return (time.perf_counter() - start) / len(places) * pipeline.images_per_step


def _consume(batches: Iterable) -> None:
    for _ in batches:
        pass
