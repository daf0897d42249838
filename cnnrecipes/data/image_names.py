"""Names of the images of a data set: paths relative to its folder, or "train[17]" for images that are not files."""

from __future__ import annotations

import os

from cnnrecipes.data.sources.random_access_dataset import Source


def image_names(source: Source, split: str) -> list[str]:
    """Return the name of each image of a split, in order; unique within the source.

    A file is named by its path relative to the deepest folder with all files of the source, for example "ants/a.jpg",
    or "train/ants/a.jpg" if the data has split folders. Another image is named by the split that the data has it in and
    its position there, for example "train[17]": also for a validation split that is split off.

    Raises:
        DataError: the source has no such split.
    """
    part = source.split(split)
    if (files := part.files()) is not None:
        start = len(_folder(source))
        return [file[start:].replace(os.sep, "/") for file in files]
    own = next(name for name, other in source.splits.items() if other.images is part.images)
    return [f"{own}[{position}]" for position in part.positions.tolist()]


def _folder(source: Source) -> str:
    """Return the path of the folder with all files of the source, with a separator at its end; also of URLs."""
    pools = {id(split.images): split for split in source.splits.values() if split.files() is not None}
    prefixes = [os.path.commonprefix(list(map(str, split.images.items))) for split in pools.values()]  # type: ignore[union-attr]
    prefix = os.path.commonprefix(prefixes)
    return prefix[: max(prefix.rfind("/"), prefix.rfind(os.sep)) + 1]
