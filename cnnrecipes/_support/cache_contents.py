"""The content of the user's cache folder by kind: sizes, last uses, and deletion of what no process uses.

Only what has a name that this package gives is counted or deleted: other files, symbolic links and lock files stay.
"""

from __future__ import annotations

import contextlib
import dataclasses
import os
import re
import shutil
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

from cnnrecipes._support import user_cache
from cnnrecipes._support.locks import is_in_use, locked
from cnnrecipes.errors import CacheError, UnknownNameError

MANIFEST = "manifest.json"  # of an unpacked archive, beside files/
IN_USE = "in use by a process"
_PARTIAL = ".partial-"  # in the name of an archive's folder that is not complete


@dataclass(frozen=True)
class Kind:
    """A kind of cached results.

    Attributes:
        content: what they are.
        folder: sub-folder of the cache folder; "": the cache folder itself.
        names: of the items. The group `key` names the lock file that a process holds while it writes the item.
    """

    content: str
    folder: str
    names: re.Pattern[str]


_KEY = r"(?P<key>[0-9a-f]{32})"
KINDS: Mapping[str, Kind] = {
    "features": Kind("outputs of frozen layers", "features", re.compile(rf"(\.\d+\.)?{_KEY}\.npy")),
    "archives": Kind("unpacked archives", "archives", re.compile(rf"{_KEY}({_PARTIAL}\w+)?")),
    "records": Kind("index of TFRecord files", "records", re.compile(r"[0-9a-f]{32}\.npz")),
    "statistics": Kind("mean and standard deviation", "statistics", re.compile(r"[0-9a-f]{32}\.json")),
    "tables": Kind("inspection results of files", "", re.compile(r"(files|archives)-\d+\.sqlite")),
}


@dataclass(frozen=True)
class CacheUsage:
    """Items of one kind in the cache folder.

    Attributes:
        kind: a key of KINDS.
        items: number of files, or of unpacked archives.
        size: bytes.
        last_used: time of the last use of any item; None if there is none.
    """

    kind: str
    items: int
    size: int
    last_used: datetime | None

    @classmethod
    def of(cls, kind: str, items: Sequence[Item]) -> CacheUsage:
        """Return the sum of items."""
        last = max((item.used for item in items), default=None)
        when = None if last is None else datetime.fromtimestamp(last).astimezone()
        return cls(kind, len(items), sum(item.size for item in items), when)


@dataclass(frozen=True)
class Cleared:
    """Result of `clear_cache`: the deleted items by kind, and for each path that stays the reason."""

    deleted: Sequence[CacheUsage]
    kept: Mapping[Path, str]


@dataclass(frozen=True, order=True)
class Item:
    """A cached result, ordered by the time of its last use in seconds since the epoch; size in bytes."""

    used: float
    path: Path
    kind: str = field(compare=False)
    size: int = field(compare=False)


def cache_contents(kinds: Sequence[str] = (), *, unused_days: float = 0.0) -> list[CacheUsage]:
    """Return number, size and last use of the items in the cache folder, by kind.

    Args:
        kinds: some of "features", "archives", "records", "statistics" and "tables"; (): all.
        unused_days: only items that have not been used for so many days.

    Raises:
        UnknownNameError: there is no such kind.
        CacheError: a negative number of days.
    """
    _check(kinds, unused_days)
    return [CacheUsage.of(kind, _unused(kind, unused_days)) for kind in kinds or KINDS]


def clear_cache(kinds: Sequence[str] = (), *, unused_days: float = 0.0) -> Cleared:
    """Delete items from the cache folder, except those that a process uses or writes; they are made again when needed.

    Archives from a URL are then downloaded again. Tables are emptied.

    Args:
        kinds, unused_days: as of `cache_contents`, which tells before what will be deleted.

    Raises:
        UnknownNameError: there is no such kind.
        CacheError: a negative number of days.
    """
    _check(kinds, unused_days)
    deleted, kept = [], {}
    for kind in kinds or KINDS:
        gone = []
        for item in _unused(kind, unused_days):
            if why := delete(item):
                kept[item.path] = why
            else:
                left = item.path.stat().st_size if kind == "tables" else 0
                gone.append(dataclasses.replace(item, size=item.size - left))
        deleted.append(CacheUsage.of(kind, gone))
    return Cleared(deleted, kept)


def items_of(kind: str) -> list[Item]:
    """Return the items of a kind, the least recently used first; one that is changed meanwhile is left out."""
    return sorted(_items(kind))


def delete(item: Item) -> str:
    """Delete an item unless a process uses or writes it; return the reason if it stays, else ""."""
    try:
        if item.kind == "tables":
            user_cache.empty_table(item.path)
            return ""
        with _unused_by_others(item) as unused:
            if not unused:
                return IN_USE
            _remove(item.path)
    except FileNotFoundError:  # deleted by another process
        pass
    except OSError as error:
        return error.strerror or str(error)
    return ""


def _check(kinds: Sequence[str], unused_days: float) -> None:
    for kind in kinds:
        if kind not in KINDS:
            raise UnknownNameError("kind of cached results", kind, KINDS)
    if not unused_days >= 0:
        raise CacheError(f"the number of days without a use is {unused_days}; give 0 or more")


def _unused(kind: str, days: float) -> list[Item]:
    return [item for item in items_of(kind) if not days or item.used <= time.time() - days * 86400]


def _items(kind: str) -> Iterator[Item]:
    folder = user_cache.folder() / KINDS[kind].folder
    if KINDS[kind].folder and folder.is_symlink():
        return
    with contextlib.suppress(OSError), os.scandir(folder) as found:
        for one in found:
            if not KINDS[kind].names.fullmatch(one.name) or one.is_symlink():
                continue
            path = folder / one.name
            with contextlib.suppress(OSError):
                if kind == "archives":
                    used = os.stat(path if _PARTIAL in one.name else path / MANIFEST).st_mtime
                    yield Item(used, path, kind, _size(path))
                elif one.is_file():
                    yield Item(one.stat().st_mtime, path, kind, one.stat().st_size)


def _size(folder: Path) -> int:
    return sum(os.lstat(os.path.join(parent, name)).st_size for parent, _, names in os.walk(folder) for name in names)


@contextlib.contextmanager
def _unused_by_others(item: Item) -> Iterator[bool]:
    """Hold the lock of an item's writers; yields False if one of them has it, or if the item is being read."""
    found = KINDS[item.kind].names.fullmatch(item.path.name)
    key = found.groupdict().get("key") if found else None
    if key is None:  # read and closed at once, and written by a rename
        yield True
        return
    with locked(item.path.with_name(f"{key}.lock")) as free:
        marked = item.path / MANIFEST if item.path.is_dir() else item.path
        yield free and not (marked.exists() and is_in_use(marked))


def _remove(path: Path) -> None:
    """Delete a file, or the folder of an archive; files that others have put beside the unpacked ones stay."""
    if not path.is_dir():
        path.unlink()
    elif _PARTIAL in path.name:
        shutil.rmtree(path)
    else:
        with contextlib.suppress(FileNotFoundError):
            shutil.rmtree(path / "files")
        (path / MANIFEST).unlink()
        with contextlib.suppress(OSError):
            path.rmdir()
