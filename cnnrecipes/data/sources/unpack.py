"""Unpacking of untrusted zip and tar files: only regular files, only inside one folder, with a size limit."""

from __future__ import annotations

import contextlib
import errno
import lzma
import os
import re
import shutil
import stat
import tarfile
import zipfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from cnnrecipes._support.progress import watch
from cnnrecipes.errors import DataError

# Photos hardly compress. An archive that expands a hundredfold, beyond ALWAYS_ALLOWED bytes, is a zip bomb.
MAX_GROWTH = 100
ALWAYS_ALLOWED = 2**30
MAX_FILES = 20_000_000
_BLOCK = 2**20
_DAMAGED = (zipfile.BadZipFile, tarfile.TarError, zlib.error, lzma.LZMAError, EOFError, NotImplementedError)


@dataclass(frozen=True)
class _Member:
    """A file in an archive; `link` is the target of a link, for which `opened` is None."""

    name: str
    size: int
    link: str = ""
    opened: contextlib.AbstractContextManager[IO[bytes]] | None = None


def unpack(archive: Path, folder: Path, name: str, *, progress: bool = False) -> None:
    """Unpack an archive into an empty folder.

    Links inside the archive become copies of their targets; no file becomes executable.

    Args:
        archive: path of the archive.
        folder: an existing, empty folder.
        name: name of the archive for messages.
        progress: show the progress.

    Raises:
        DataError: not an archive, or a damaged or encrypted one; a path or link that leads out of the folder; a device;
            more than MAX_GROWTH times the archive's size or than the free disk space.
        OSError: the disk cannot be written.
    """
    budget = _Budget(name, max(ALWAYS_ALLOWED, MAX_GROWTH * archive.stat().st_size), shutil.disk_usage(folder).free)
    links = []
    try:
        for member in watch(_members(archive, name), f"unpacking {name}", None, progress, always=True):
            path = folder / _inside(member.name, name)
            if member.opened is None:
                links.append((path, folder / _inside(member.link, name)))
                continue
            budget.spend(member.size)
            with _naming(member.name, name), member.opened as source:
                _write(source, path, member.size)
    except RuntimeError as error:  # zipfile's, of encrypted files
        raise DataError(f"cannot unpack {name!r}: {error}; unpack it yourself, and give the folder") from None
    except _DAMAGED as error:
        raise DataError(f"{name!r} is damaged ({error}); download or pack it again") from None
    for path, target in links:
        if target.is_file() and not path.exists():
            budget.spend(target.stat().st_size)
            path.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(target, path)


@dataclass
class _Budget:
    """Number of bytes that unpacking an archive may still write."""

    name: str
    limit: int
    room: int

    def spend(self, size: int) -> None:
        """Subtract a file's size. Raise DataError if a limit is exceeded."""
        self.limit -= size
        self.room -= size
        if self.limit < 0:
            raise DataError(
                f"{self.name!r} would unpack to more than {MAX_GROWTH} times its size, and is refused as a zip bomb; "
                "if it is not one, unpack it yourself and give the folder"
            )
        if self.room < 0:
            raise DataError(
                f"{self.name!r} unpacks to more than is free in the cache folder; free disk space, or set "
                "CNNRECIPES_CACHE"
            )


@contextlib.contextmanager
def _naming(member: str, name: str) -> Iterator[None]:
    """Convert an error about a member's path in the `with` block into a DataError that names the member."""
    try:
        yield
    except (OSError, UnicodeError) as error:
        of_path = (errno.ENOTDIR, errno.EISDIR, errno.EEXIST, errno.ENAMETOOLONG, errno.EINVAL, errno.EILSEQ)
        if isinstance(error, OSError) and error.errno not in of_path:
            raise
        why = getattr(error, "strerror", None) or error
        raise DataError(f"{name!r} has the member {member!r}, which cannot be written: {why}; rename it") from None


def _write(source: IO[bytes], path: Path, size: int) -> None:
    """Copy at most `size` bytes of an archive member to a file, even if the member contains more."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(path, "wb") as file:
        left = size
        while left > 0 and (block := source.read(min(_BLOCK, left))):
            file.write(block)
            left -= len(block)


def _inside(member: str, name: str) -> Path:
    """Return the relative path of an archive member. Raise DataError if the path leads out of the folder."""
    slashed = member.replace("\\", "/")  # written by some archivers on Windows
    parts = [part for part in slashed.split("/") if part not in ("", ".")]
    if slashed.startswith("/") or re.match(r"[A-Za-z]:", slashed) or ".." in parts or "\0" in slashed or not parts:
        raise DataError(
            f"{name!r} has the member {member!r}, which leads out of its folder; the archive is not unpacked. Pack it "
            "again without this member"
        )
    return Path(*parts)


def _members(archive: Path, name: str) -> Iterator[_Member]:
    with open(archive, "rb") as file:
        begin = file.read(64)
    if begin.startswith(b"PK"):
        with zipfile.ZipFile(archive) as opened:
            yield from _zip_members(opened, name)
        return
    try:
        tar = tarfile.open(archive)  # noqa: SIM115 (closed below; with whatever compression)
    except _DAMAGED as error:
        page = begin.lstrip()[:1] == b"<"
        what = "is a web page, not an archive (a login page?)" if page else f"is not a zip or tar file ({error})"
        raise DataError(f"{name!r} {what}; get the archive itself, and give its path") from None
    with tar:
        yield from _tar_members(tar, name)


def _zip_members(opened: zipfile.ZipFile, name: str) -> Iterator[_Member]:
    infos = opened.infolist()
    if len(infos) > MAX_FILES:
        raise DataError(f"{name!r} has {len(infos):,} members, the limit is {MAX_FILES:,}; unpack it yourself")
    for info in infos:
        if info.is_dir() or info.filename.endswith("\\"):
            continue
        kind = stat.S_IFMT(info.external_attr >> 16)
        if kind == stat.S_IFLNK:
            target = opened.read(info).decode("utf-8", "replace") if info.file_size < 4096 else ".."
            yield _Member(info.filename, 0, _target(info.filename, target))
        elif kind in (0, stat.S_IFREG):
            yield _Member(info.filename, info.file_size, opened=opened.open(info))
        else:
            raise DataError(f"{name!r} has the member {info.filename!r}, which is not a regular file; remove it")


def _tar_members(opened: tarfile.TarFile, name: str) -> Iterator[_Member]:
    for number, info in enumerate(opened):
        if number >= MAX_FILES:
            raise DataError(f"{name!r} has more than {MAX_FILES:,} members; unpack it yourself, and give the folder")
        if info.isdir():
            continue
        if info.issym():
            yield _Member(info.name, 0, _target(info.name, info.linkname))
        elif info.islnk():
            yield _Member(info.name, 0, info.linkname)
        elif info.isreg():
            yield _Member(info.name, info.size, opened=opened.extractfile(info))
        else:
            raise DataError(f"{name!r} has the member {info.name!r}, which is not a regular file; remove it")


def _target(link: str, target: str) -> str:
    """Return the target of a symbolic link as a member name; a target outside keeps its ".." or "/"."""
    return target if target.startswith(("/", "\\")) else os.path.normpath(os.path.join(os.path.dirname(link), target))
