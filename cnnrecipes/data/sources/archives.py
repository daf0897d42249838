"""Archives of folders, here or at an https address: unpacked once into the cache folder, and read as folders.

An archive is not trusted: nothing is written outside of its folder, no link and no device is made, nothing is run,
and what would unpack to far more than it is, is refused. An unpacked folder appears by a rename when it is whole.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
import shutil
import tempfile
import urllib.parse
from collections.abc import Callable, Iterator
from pathlib import Path

from filelock import FileLock

from cnnrecipes._support import remote_files, user_cache
from cnnrecipes._support.download import download
from cnnrecipes.data.sources.unpack import unpack
from cnnrecipes.errors import DataError

ENDINGS = (".zip", ".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tbz2", ".tar.xz", ".txz")
_MANIFEST = "manifest.json"


def is_archive(text: str) -> bool:
    """Return whether a path is an archive, by its suffix, or a web address."""
    if is_web(text):
        return True
    return text.lower().endswith(ENDINGS) and not Path(text).expanduser().is_dir()


def is_web(text: str) -> bool:
    """Return whether this is an http or https URL."""
    return text.lower().startswith(("http://", "https://"))


def stem(text: str) -> str:
    """The archive's name without folders, ending, query and checksum: of "https://a.org/x/cats.zip?v=1" "cats"."""
    path = re.split("[?#]", text.partition("://")[2])[0] if is_web(text) else text
    name = path.rstrip("/").rpartition("/")[2]
    ending = next((ending for ending in sorted(ENDINGS, key=len, reverse=True) if name.lower().endswith(ending)), "")
    return name[: len(name) - len(ending)] or "archive"


def unpacked(archive: str, *, progress: bool = False) -> str:
    """The folder with the contents of an archive; unpacked, and where need be downloaded, only the first time.

    Args:
        archive: the path of a .zip, .tar, .tar.gz, .tar.bz2 or .tar.xz, or an address of one. `#sha256=...` at the end
            of an address is its checksum. An address is https; http only with a checksum, or on this machine.
        progress: show the progress.

    Raises:
        DataError: it cannot be read or downloaded, is damaged, has another checksum, or would write outside of its
            folder or more than there is room for.
    """
    if is_web(archive):
        address, checksum = _address(archive)
        key = _web_key(address, checksum)
        return _kept(key, archive, lambda folder: download(address, folder, checksum, progress=progress), progress)
    if remote_files.is_remote(archive):
        raise DataError(f"archives are read from here and from https addresses; copy {archive!r} here first")
    if not os.path.isfile(archive):
        what = "is not a file" if os.path.exists(archive) else f"does not exist{remote_files.nearest(archive)}"
        raise DataError(f"{archive!r} {what}; give an archive of a folder with a sub-folder for each class")
    return _kept(_digest(archive), archive, lambda folder: Path(archive), progress)


def is_kept(archive: str) -> bool:
    """Return whether the archive at a URL is in the cache. Raises DataError for an invalid URL."""
    return _is_whole(user_cache.folder() / "archives" / _web_key(*_address(archive))[:32])


def _web_key(address: str, checksum: str) -> str:
    return hashlib.sha256(f"{address} {checksum}".encode()).hexdigest()


def _address(archive: str) -> tuple[str, str]:
    """The address alone, and its checksum, "" where none is given."""
    address, _, fragment = archive.partition("#")
    try:
        host = urllib.parse.urlsplit(address).hostname or ""
    except ValueError as error:
        raise DataError(f"{archive!r} is no address: {error}") from None
    found = re.fullmatch(r"sha256=([0-9a-fA-F]{64})", fragment)
    if fragment and not found:
        raise DataError(f"{archive!r} ends with #{fragment}; a checksum is written #sha256= and 64 hexadecimal digits")
    checksum = found[1].lower() if found else ""
    if not address.lower().startswith("https://") and not checksum and host not in ("localhost", "127.0.0.1", "::1"):
        raise DataError(
            f"{archive!r} is not encrypted, so that anybody on the way could change it; give https://, or add the "
            "archive's checksum as #sha256=..."
        )
    return address, checksum


def _kept(key: str, name: str, fetch: Callable[[Path], Path], progress: bool) -> str:
    """The folder of a key, made where it is missing or something of it is gone; one process makes it."""
    home = user_cache.folder() / "archives"
    final = home / key[:32]
    try:
        home.mkdir(parents=True, exist_ok=True)
        with _alone(home / f"{key[:32]}.lock") as alone:
            if not _is_whole(final):
                for left in home.glob(f"{final.name}.partial-*") if alone else ():  # of killed processes
                    shutil.rmtree(left, ignore_errors=True)
                _make(final, name, fetch, progress)
    except OSError as error:
        raise DataError(
            f"cannot unpack {name!r} into {str(home)!r}: {error.strerror or error}; make room there, or set "
            "CNNRECIPES_CACHE to another folder"
        ) from None
    return str(final / "files")


def _make(final: Path, name: str, fetch: Callable[[Path], Path], progress: bool) -> None:
    shutil.rmtree(final, ignore_errors=True)  # something of it is gone
    partial = Path(tempfile.mkdtemp(prefix=f"{final.name}.partial-", dir=final.parent))
    try:
        archive = fetch(partial)
        (partial / "whole" / "files").mkdir(parents=True)
        unpack(archive, partial / "whole" / "files", name, progress=progress)
        manifest = {"archive": name, "sha256": _sha256(archive), **_measured(partial / "whole" / "files")}
        (partial / "whole" / _MANIFEST).write_text(json.dumps(manifest, indent=2), encoding="utf-8")
        os.replace(partial / "whole", final)
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def _is_whole(final: Path) -> bool:
    """Return whether all unpacked files still exist: other programs clean cache folders too."""
    try:
        manifest = json.loads((final / _MANIFEST).read_text(encoding="utf-8"))
        return {key: manifest[key] for key in ("files", "bytes")} == _measured(final / "files")
    except (OSError, ValueError, KeyError):
        return False


def _measured(folder: Path) -> dict[str, int]:
    sizes = [os.lstat(os.path.join(parent, name)).st_size for parent, _, names in os.walk(folder) for name in names]
    return {"files": len(sizes), "bytes": sum(sizes)}


def _digest(path: str) -> str:
    """The SHA-256 of a file, remembered by its size and time."""
    size, modified = remote_files.status(path)
    key = os.path.abspath(path)
    with user_cache.table("archives-1", ["size", "modified", "digest"]) as known:
        found = known.find([key]).get(key)
        if found and found[:2] == (size, modified):
            return found[2]
        digest = _sha256(Path(path))
        known.put({key: (size, modified, digest)})
        return digest


def _sha256(path: Path) -> str:
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        while block := file.read(2**20):
            digest.update(block)
    return digest.hexdigest()


@contextlib.contextmanager
def _alone(path: Path) -> Iterator[bool]:
    """One process at a time; gives whether that holds, since not every file system has locks."""
    lock = FileLock(path)
    with contextlib.suppress(NotImplementedError, OSError):
        lock.acquire()
    try:
        yield lock.is_locked
    finally:
        lock.release()
