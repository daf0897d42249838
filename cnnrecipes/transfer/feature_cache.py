"""Features of a split: the outputs of a frozen part of a model, computed once and kept in the user's cache folder."""

from __future__ import annotations

import contextlib
import hashlib
import math
import os
import shutil
import weakref
from collections.abc import Callable, Iterator
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf
from filelock import FileLock, Timeout

from cnnrecipes._support import cache_pruning, user_cache
from cnnrecipes._support.locks import marked_in_use
from cnnrecipes._support.progress import watch
from cnnrecipes.data import batching
from cnnrecipes.data.input_pipeline import InputPipeline
from cnnrecipes.data.tf_data_defaults import mapped
from cnnrecipes.errors import NonFinite, TrainingError
from cnnrecipes.recipe.schema import Recipe
from cnnrecipes.runs import checkpoint

_RESERVE = 0.5 * 2**30  # bytes that stay free on the disk
_REMEDY = (
    "free some space, for example by `cnnrecipes cache --clear`, set CNNRECIPES_CACHE to another folder, or "
    "transfer.features_dtype=float16"
)


class Forward:
    """A model in inference mode as one graph for batches of evaluation, traced at its first call.

    Args:
        model: images (N, H, W, C), 0..255 -> features (N, ...).
    """

    def __init__(self, model: keras.Model):
        self.model = model
        self._graph: Callable[[tf.Tensor], tf.Tensor] | None = None

    def __call__(self, images: tf.Tensor) -> np.ndarray:
        """Return the outputs for a batch of images, uint8, always of the same shape."""
        if self._graph is None:
            function = tf.function(lambda inputs: self.model(inputs, training=False), autograph=False)
            self._graph = function.get_concrete_function(tf.TensorSpec(images.shape, images.dtype))
        return self._graph(images).numpy()


def features(model: keras.Model | Forward, pipeline: InputPipeline, split: str, view: int | None = None) -> np.ndarray:
    """Return the outputs of a model for all images of a split, in order, in inference mode.

    Features of unchanged files are computed once; they are memory-mapped from the user's cache folder, where they are
    kept by the model's weights, the files, their preparation and the augmentation of a view. New ones take the place
    of the least recently used ones there, within the limit of `cache_pruning`.

    Args:
        model: part of a model: images (N, H, W, C), 0..255 -> features (N, ...). A Forward is traced once for several
            splits.
        pipeline: the data; its recipe gives `transfer.features_dtype`, and the augmentation.
        split: "train", "validation" or "test".
        view: None: the images as in evaluation; a number: augmented as in this epoch of a training.

    Returns:
        (N, ...) of dtype `transfer.features_dtype`; read-only if it is memory-mapped.

    Raises:
        CacheError: CNNRECIPES_CACHE_LIMIT is not a size.
        DataError: an image cannot be decoded.
        NonFinite: features that are NaN or infinite.
        TrainingError: the disk is too full.
    """
    cache_pruning.chosen_limit()  # an error before the computation
    forward = model if isinstance(model, Forward) else Forward(model)
    path = _path(forward.model, pipeline, split, view)
    shape = (len(pipeline.source.split(split)), *forward.model.output_shape[1:])
    dtype = np.dtype(pipeline.recipe.transfer.features_dtype)
    if path is None or not _usable(path.parent):
        in_memory = np.empty(shape, dtype)
        _compute(forward, pipeline, split, view, in_memory)
        return in_memory
    if (found := _cached(path)) is not None:
        return found
    with _held(path):
        if (found := _cached(path)) is not None:  # computed by the process that was waited for
            return found
        with _created(path, shape, dtype) as file:
            _compute(forward, pipeline, split, view, file)
        written = _mapped(path)
        cache_pruning.prune_features(path)
        return written


def _compute(forward: Forward, pipeline: InputPipeline, split: str, view: int | None, out: np.ndarray) -> None:
    """Write the outputs of the model for all images of a split into `out`.

    Args:
        forward: the model.
        pipeline: the data.
        split: name of the split.
        view: number of the augmented view of the images (`transfer.views`); None: the images without augmentation.
        out: (N, ...), a row for each image.
    """
    data, classes = pipeline.source.split(split), len(pipeline.class_names)
    if view is None:
        batches = mapped(
            batching.evaluation_batches(data, pipeline.recipe.data, classes), lambda images, *others: images
        )
    else:
        batches = batching.view_batches(data, pipeline.recipe, pipeline.statistics, classes, view)
    steps, size = batching.evaluation_steps(data), batching.EVALUATION_BATCH
    what = f"computing features of {len(data):,} {split} images" + ("" if view is None else f", view {view + 1}")
    with pipeline.naming_unreadable():
        for step, images in enumerate(watch(batches, what, steps, pipeline.progress)):
            rows = out[step * size : (step + 1) * size]
            with np.errstate(over="ignore"):  # of float16
                rows[:] = forward(images)[: len(rows)]
            if not np.isfinite(rows).all():
                raise NonFinite(
                    f"the features of {split} images {step * size + 1:,} to {step * size + len(rows):,} have values "
                    f"that are NaN or infinite as {out.dtype}; check the weights of the backbone, or set "
                    "transfer.features_dtype=float32"
                )


def settings_of_features(recipe: Recipe) -> tuple[tuple, tuple]:
    """Return the settings that the features of given images by a given model depend on, and those of their views."""
    of_images = recipe.data.resize, recipe.data.short_side, recipe.transfer.features_dtype
    return of_images, (recipe.augment.ops, recipe.train.seed)


def _path(model: keras.Model, pipeline: InputPipeline, split: str, view: int | None) -> Path | None:
    """Return the path of cached features; None if the images are not files, or not accessible."""
    files = pipeline.source.split(split).files()
    if files is None:
        return None
    of_images, of_views = settings_of_features(pipeline.recipe)
    of_view = None if view is None else (view, of_views, pipeline.statistics.mean)
    what = (_digest(model), pipeline.image_shape, of_images, of_view)
    with contextlib.suppress(OSError):
        return user_cache.folder() / "features" / f"{user_cache.fingerprint(files, repr(what))}.npy"
    return None


def _digest(model: keras.Model) -> str:
    """Return a digest of the layers and the weights of a model."""
    layers = hashlib.sha256(f"{keras.__version__} {model.to_json()}".encode()).hexdigest()[:16]
    return f"{layers} {checkpoint.digest([weight.numpy() for weight in model.weights])}"


def _usable(folder: Path) -> bool:
    """Return True if the folder exists or can be created, and is writable."""
    with contextlib.suppress(OSError):
        folder.mkdir(parents=True, exist_ok=True)
        return os.access(folder, os.W_OK)
    return False


def _cached(path: Path) -> np.ndarray | None:
    """Return memory-mapped features; None if there are none, or if the file is damaged."""
    with contextlib.suppress(OSError, ValueError, EOFError):
        found = _mapped(path)
        user_cache.mark_used(path)
        return found
    return None


def _mapped(path: Path) -> np.ndarray:
    """Return the memory-mapped array of a file, which other processes do not delete before the array is released."""
    with contextlib.ExitStack() as stack:
        stack.enter_context(marked_in_use(path))
        found = np.load(path, mmap_mode="r")
        weakref.finalize(found, stack.pop_all().close)
        return found


@contextlib.contextmanager
def _held(path: Path) -> Iterator[None]:
    """Hold the lock of a file of features: another process that needs the same ones waits instead of computing them."""
    with contextlib.ExitStack() as stack:
        with contextlib.suppress(NotImplementedError, OSError):  # some file systems have no locks
            stack.enter_context(_lock(path))
        yield


@contextlib.contextmanager
def _created(path: Path, shape: tuple[int, ...], dtype: np.dtype) -> Iterator[np.ndarray]:
    """Yield a new memory-mapped array, which is written to `path` by a rename at the end.

    Raises:
        TrainingError: the disk is too full.
    """
    beside = path.with_name(f".{os.getpid()}.{path.name}")
    _remove_abandoned(path)
    _check_space(path.parent, math.prod(shape) * dtype.itemsize)
    try:
        with _naming_errors(path.parent):
            file = np.lib.format.open_memmap(beside, "w+", dtype, shape)
            _allocate(beside)
        yield file
        with _naming_errors(path.parent):
            file.flush()
            os.replace(beside, path)
    finally:
        with contextlib.suppress(OSError):
            beside.unlink()


@contextlib.contextmanager
def _naming_errors(folder: Path) -> Iterator[None]:
    """Convert an OSError in the block, which writes into `folder`, into a TrainingError with a remedy."""
    try:
        yield
    except OSError as error:
        raise TrainingError(f"features cannot be written to {str(folder)!r} ({error}); {_REMEDY}") from None


def _allocate(path: Path) -> None:
    """Reserve the disk space of a file: without it, writing to memory that is mapped to a full disk ends the process.

    Raises OSError if the disk is too full.
    """
    if hasattr(os, "posix_fallocate"):
        with open(path, "r+b") as file:
            os.posix_fallocate(file.fileno(), 0, path.stat().st_size)


def _remove_abandoned(path: Path) -> None:
    """Delete temporary files in the folder of `path`, whose lock is held, that killed processes have left."""
    for beside in path.parent.glob(".*.npy"):
        other = path.with_name(beside.name.split(".", 2)[2])
        with contextlib.ExitStack() as stack, contextlib.suppress(OSError, Timeout, NotImplementedError):
            if other != path:
                stack.enter_context(_lock(other).acquire(timeout=0))
            beside.unlink()


def _lock(path: Path) -> FileLock:
    return FileLock(path.with_name(f"{path.stem}.lock"))


def _check_space(folder: Path, needed: int) -> None:
    """Delete old features if the disk has no room for `needed` bytes; raise TrainingError if that is not enough."""
    cache_pruning.make_room(needed + _RESERVE - shutil.disk_usage(folder).free)
    free = shutil.disk_usage(folder).free
    if needed + _RESERVE > free:
        raise TrainingError(
            f"the features need {needed / 2**30:.1f} GiB, and {free / 2**30:.1f} GiB are free in {str(folder)!r}; "
            + _REMEDY
        )
