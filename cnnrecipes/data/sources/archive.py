"""Archives of image folders: .zip and .tar files, unpacked into the cache folder and read as folders."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from cnnrecipes._support import file_systems
from cnnrecipes.data.sources import folder
from cnnrecipes.data.sources.contents import Contents
from cnnrecipes.data.sources.data_source_base import PathSource, ReadOptions, local_path
from cnnrecipes.data.sources.registry import data_source
from cnnrecipes.data.sources.unpack_cache import content_key, unpacked_folder
from cnnrecipes.errors import DataError

ENDINGS = (".zip", ".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tbz2", ".tar.xz", ".txz")


@data_source("archive", order=50)
class Archive(PathSource):
    """A local archive of an image folder, recognized by its suffix."""

    form = "an archive of a folder"

    def matches(self, data: Any) -> bool:
        text = str(data)
        return text.lower().endswith(ENDINGS) and not Path(text).expanduser().is_dir()

    def read(self, data: str | Path, options: ReadOptions) -> Contents:
        unpacked = unpack_archive(local_path(data), progress=options.progress)
        return folder.read(unpacked, options.layout, options.training).in_archive(unpacked, str(data))

    def folder_name(self, data: str | Path) -> str:
        return stem(str(data))


def unpack_archive(archive: str, *, progress: bool = False) -> str:
    """Return the folder with the unpacked files of an archive, which is unpacked only the first time.

    Args:
        archive: path of a .zip, .tar, .tar.gz, .tar.bz2 or .tar.xz file.
        progress: show the progress.

    Raises:
        DataError: the archive cannot be read, is damaged, or would write outside of its folder or more than the free
            disk space.
    """
    if file_systems.is_remote(archive):
        raise DataError(f"archives are read from local disks and https URLs; copy {archive!r} to this machine first")
    if not os.path.isfile(archive):
        what = "is not a file" if os.path.exists(archive) else f"does not exist{file_systems.nearest(archive)}"
        raise DataError(f"{archive!r} {what}; give an archive of a folder with a sub-folder for each class")
    return unpacked_folder(content_key(archive), archive, lambda folder: Path(archive), progress)


def stem(path: str) -> str:
    """Return the file name of an archive without its suffix: "cats" for "photos/cats.tar.gz"."""
    name = path.rstrip("/").rpartition("/")[2]
    ending = next((ending for ending in sorted(ENDINGS, key=len, reverse=True) if name.lower().endswith(ending)), "")
    return name[: len(name) - len(ending)] or "archive"
