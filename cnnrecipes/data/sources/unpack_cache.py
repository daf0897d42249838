"""Cache of unpacked archives: each is unpacked once; its folder appears by a rename when it is complete.

Archives are untrusted: nothing is written outside of the folder, no link and no device is created, nothing is executed,
and archives that expand to far more than their size are refused.
"""

from __future__ import annotations

import atexit
import contextlib
import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO

from filelock import FileLock

from cnnrecipes._support import file_systems, user_cache
from cnnrecipes._support.cache_contents import MANIFEST
from cnnrecipes._support.locks import marked_in_use
from cnnrecipes.data.sources.unpack import unpack
from cnnrecipes.errors import DataError

_IN_USE: dict[Path, IO[bytes]] = {}  # manifests of the archives that this process reads, which `clear_cache` keeps


def unpacked_folder(key: str, name: str, fetch: Callable[[Path], Path], progress: bool = False) -> str:
    """Return the folder with the files of an archive, which is unpacked unless the cache has all its files.

    Args:
        key: hexadecimal digest of the archive's content or URL.
        name: name of the archive for messages.
        fetch: called with a temporary folder; returns the path of the archive.
        progress: show the progress.

    Raises:
        DataError: the archive is damaged or refused, or the cache folder cannot be written.
    """
    home = user_cache.folder() / "archives"
    final = home / key[:32]
    try:
        home.mkdir(parents=True, exist_ok=True)
        with _lock(home / f"{key[:32]}.lock") as locked:
            if not _is_complete(final):
                for left in home.glob(f"{final.name}.partial-*") if locked else ():  # from killed processes
                    shutil.rmtree(left, ignore_errors=True)
                _make(final, name, fetch, progress)
            _keep(final)
    except OSError as error:
        raise DataError(
            f"cannot unpack {name!r} into {str(home)!r}: {error.strerror or error}; free disk space there, or "
            "set CNNRECIPES_CACHE to another folder"
        ) from None
    return str(final / "files")


def _make(final: Path, name: str, fetch: Callable[[Path], Path], progress: bool) -> None:
    shutil.rmtree(final, ignore_errors=True)  # it may be incomplete
    partial = Path(tempfile.mkdtemp(prefix=f"{final.name}.partial-", dir=final.parent))
    try:
        archive = fetch(partial)
        (partial / "whole" / "files").mkdir(parents=True)
        unpack(archive, partial / "whole" / "files", name, progress=progress)
        manifest = {"archive": name, "sha256": _sha256(archive), **_size(partial / "whole" / "files")}
        (partial / "whole" / MANIFEST).write_text(json.dumps(manifest, indent=2), encoding="utf-8")
        os.replace(partial / "whole", final)
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def _keep(final: Path) -> None:
    """Mark an archive as in use until this process ends, and as used now."""
    before, _IN_USE[final] = _IN_USE.get(final), marked_in_use(final / MANIFEST)
    if before:
        before.close()  # its folder may have been deleted, and another one made
    user_cache.mark_used(final / MANIFEST)


@atexit.register
def _release() -> None:
    for manifest in _IN_USE.values():
        manifest.close()


def is_unpacked(key: str) -> bool:
    """Return True if the archive with this key is in the cache."""
    return _is_complete(user_cache.folder() / "archives" / key[:32])


def _is_complete(final: Path) -> bool:
    """Return True if all unpacked files of an archive still exist; other programs may clean up cache folders."""
    try:
        manifest = json.loads((final / MANIFEST).read_text(encoding="utf-8"))
        return {key: manifest[key] for key in ("files", "bytes")} == _size(final / "files")
    except (OSError, ValueError, KeyError):
        return False


def _size(folder: Path) -> dict[str, int]:
    sizes = [os.lstat(os.path.join(parent, name)).st_size for parent, _, names in os.walk(folder) for name in names]
    return {"files": len(sizes), "bytes": sum(sizes)}


def content_key(path: str) -> str:
    """Return the SHA-256 of a file's content, cached by size and modification time."""
    size, modified = file_systems.status(path)
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
def _lock(path: Path) -> Iterator[bool]:
    """Lock a file against other processes; yield False on a file system without locks."""
    lock = FileLock(path)
    with contextlib.suppress(NotImplementedError, OSError):
        lock.acquire()
    try:
        yield lock.is_locked
    finally:
        lock.release()
