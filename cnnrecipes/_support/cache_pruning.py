"""The limit of the cached features: the least recently used ones are deleted when new ones are written."""

from __future__ import annotations

import contextlib
import os
import shutil
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path

from cnnrecipes._support import user_cache
from cnnrecipes._support.cache_contents import Item, delete, items_of
from cnnrecipes._support.locks import NAME, locked
from cnnrecipes._support.memory_sizes import memory_text, parse_memory
from cnnrecipes.errors import CacheError, CNNRecipesWarning

LIMIT = "CNNRECIPES_CACHE_LIMIT"
LEAST, SHARE = 5 * 2**30, 0.1  # of the default limit: bytes, and share of the disk that is free without the features


def chosen_limit() -> int | None:
    """Return the limit in bytes that CNNRECIPES_CACHE_LIMIT sets; None if it is not set.

    Raises:
        CacheError: the value is not a size.
    """
    text = os.environ.get(LIMIT)
    if not text:
        return None
    try:
        return parse_memory(text)
    except ValueError:
        raise CacheError(
            f"{LIMIT} is {text!r}, which is not a size; set it to a number with its unit, MiB, GiB, MB or GB, for "
            "example '20 GiB', or unset it"
        ) from None


def features_limit() -> int:
    """Return the limit in bytes; by default 10% of the disk that is free without the features, at least 5 GiB.

    Raises:
        CacheError: CNNRECIPES_CACHE_LIMIT is not a size.
    """
    return _limit(items_of("features"))


def prune_features(new: Path) -> None:
    """Delete the least recently used features until all of them are within the limit, except those in use.

    Warns when those in use begin to exceed the limit.

    Args:
        new: features that were just written, which stay.

    Raises:
        CacheError: CNNRECIPES_CACHE_LIMIT is not a size.
    """
    with _features_to_delete() as items:
        limit, total = _limit(items), sum(item.size for item in items)
        written = sum(item.size for item in items if item.path == new)
        for item in items:
            if total > limit and item.path != new and not delete(item):
                total -= item.size
    if total - written <= limit < total:
        warnings.warn(
            f"the cached features in use take {memory_text(total)}, more than the limit of {memory_text(limit)}: they "
            "are deleted when others are written, and then have to be computed again. To keep them, set the "
            f"environment variable {LIMIT} to a larger size",
            CNNRecipesWarning,
            stacklevel=2,
        )


def make_room(size: float) -> None:
    """Free `size` bytes of the disk by deleting the least recently used features; none if all have less."""
    if size <= 0:
        return
    with _features_to_delete() as items:
        if sum(item.size for item in items) < size:
            return
        for item in items:
            if size > 0 and not delete(item):
                size -= item.size


@contextlib.contextmanager
def _features_to_delete() -> Iterator[list[Item]]:
    """Yield the features, the least recently used first; one process at a time, or together they would delete too many.

    Yields none if another process holds the lock for PATIENCE seconds.
    """
    with locked(user_cache.folder() / "features" / NAME, user_cache.PATIENCE) as free:
        yield items_of("features") if free else []


def _limit(features: Sequence[Item]) -> int:
    if (limit := chosen_limit()) is not None:
        return limit
    folder = user_cache.folder().absolute()
    there = next(path for path in (folder, *folder.parents) if path.exists())
    return max(LEAST, int(SHARE * (shutil.disk_usage(there).free + sum(item.size for item in features))))
