"""Local availability of a data set, and metadata of one that is not here, without opening or downloading."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, NamedTuple

from cnnrecipes._support import remote_files
from cnnrecipes.data.sources import archives, folder, tables, tfds
from cnnrecipes.data.sources.source import local_path


class Absent(NamedTuple):
    """A data set that is not on this machine. `classes` and `shape` (H, W, C) are None where they are not known."""

    name: str
    classes: int | None = None
    shape: tuple[int | None, int | None, int | None] | None = None
    remedy: str = ""  # how to bring it here


def absent(data: Any) -> Absent | None:
    """Return the metadata of data that is not on this machine; None for local data. Never uses the network.

    Args:
        data: as for `open_source`, but None.

    Raises:
        UnknownNameError, DataError: TFDS has no such set, or it is no image classification set.
    """
    if not isinstance(data, (str, Path)) or str(data) == "digits":
        return None
    text = str(data)
    download = f"`cnnrecipes check-data {text}` downloads it"
    if text == "arrays":
        return Absent(text)
    if archives.is_web(text):
        return None if archives.is_kept(text) else Absent(text, remedy=download)
    if remote_files.is_remote(text):
        return Absent(text)
    if tables.is_table(text) or archives.is_archive(text) or isinstance(data, Path) or folder.is_path(text):
        return None if os.path.exists(local_path(text)) else Absent(text)
    about = tfds.describe(text.removeprefix("tfds:"))
    return None if about.prepared else Absent(text, len(about.class_names), about.shape, download)
