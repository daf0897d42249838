"""Names of the images of a data set: paths relative to its folder, or "train[17]" for images that are not files."""

from __future__ import annotations

import os
from collections.abc import Sequence

from cnnrecipes.data.sources.random_access_dataset import Source, Split


def image_names(split: Split, source: Source | None = None) -> tuple[str, ...]:
    r"""Return a name for each image of a split: its path relative to the data folder, or for example "train[17]".

    Bytes of a path that are not UTF-8 are written as in "caf\xe9.jpg".

    Args:
        split: the images.
        source: the data set; it tells the data folder, and which split the positions of arrays belong to.
    """
    files = split.files()
    if files is None:
        pools = source.splits if source else {}
        pool = next((name for name, one in pools.items() if one.images is split.images), split.name)
        return tuple(f"{pool}[{position}]" for position in split.positions.tolist())
    folder = _data_folder(files, source)
    names = (file.removeprefix(folder) for file in files)
    return tuple(name.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace") for name in names)


def _data_folder(files: Sequence[str], source: Source | None) -> str:
    """Return the folder of a data set with a slash at its end; "" if its files have none in common."""
    root = os.path.join(source.layout.root, "") if source and source.layout.root else ""
    if root and all(file.startswith(root) for file in files):
        return root
    whole = [one.files() or [] for one in source.splits.values()] if source else []
    folders = {os.path.dirname(file) for some in (files, *whole) for file in some}
    try:
        return os.path.join(os.path.commonpath(folders), "")
    except ValueError:  # of absolute and relative paths
        return ""
