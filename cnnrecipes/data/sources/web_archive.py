"""Archives of image folders at http and https URLs, downloaded into the cache folder."""

from __future__ import annotations

import hashlib
import re
import urllib.parse
from typing import Any

from cnnrecipes._support.download import download
from cnnrecipes.data.sources import folder
from cnnrecipes.data.sources.archive import stem
from cnnrecipes.data.sources.contents import Contents
from cnnrecipes.data.sources.data_source_base import Absent, DataSource, ReadOptions
from cnnrecipes.data.sources.registry import data_source
from cnnrecipes.data.sources.unpack_cache import is_unpacked, unpacked_folder
from cnnrecipes.errors import DataError


@data_source("web_archive", order=40)
class WebArchive(DataSource):
    """The URL of an archive; its checksum may follow as `#sha256=...`.

    http without a checksum is refused, except for this machine.
    """

    def matches(self, data: Any) -> bool:
        return isinstance(data, str) and data.lower().startswith(("http://", "https://"))

    def read(self, data: str, options: ReadOptions) -> Contents:
        unpacked = _unpacked(data, options.progress)
        return folder.read(unpacked, options.layout, options.training).in_archive(unpacked, data)

    def folder_name(self, data: str) -> str:
        return stem(re.split("[?#]", data.partition("://")[2])[0])

    def absent(self, data: str) -> Absent | None:
        if is_unpacked(_key(*_url_and_checksum(data))):
            return None
        return Absent(data, remedy=f"`cnnrecipes check-data {data}` downloads it")


def _unpacked(archive: str, progress: bool) -> str:
    url, checksum = _url_and_checksum(archive)
    return unpacked_folder(
        _key(url, checksum), archive, lambda folder: download(url, folder, checksum, progress=progress), progress
    )


def _key(url: str, checksum: str) -> str:
    return hashlib.sha256(f"{url} {checksum}".encode()).hexdigest()


def _url_and_checksum(archive: str) -> tuple[str, str]:
    """Split a URL from its checksum, which is "" if none is given. Raise DataError for an invalid URL or checksum."""
    url, _, fragment = archive.partition("#")
    try:
        host = urllib.parse.urlsplit(url).hostname or ""
    except ValueError as error:
        raise DataError(f"{archive!r} is not a valid URL: {error}; correct the URL") from None
    found = re.fullmatch(r"sha256=([0-9a-fA-F]{64})", fragment)
    if fragment and not found:
        raise DataError(f"{archive!r} ends with #{fragment}; a checksum is written #sha256= and 64 hexadecimal digits")
    checksum = found[1].lower() if found else ""
    if not url.lower().startswith("https://") and not checksum and host not in ("localhost", "127.0.0.1", "::1"):
        raise DataError(
            f"{archive!r} is not encrypted, so its content could be changed in transit; give an https:// URL, or "
            "append the archive's checksum as #sha256=..."
        )
    return url, checksum
