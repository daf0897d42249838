"""The cache folder: what was found out about files once, so that it need not be found out again.

Nothing in it is needed: where it is missing, damaged or cannot be written, everything is found out anew.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import sqlite3
import sys
import zlib
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from cnnrecipes.data import places


def folder() -> Path:
    """CNNRECIPES_CACHE, or cnnrecipes/ in the platform's folder for caches."""
    if os.environ.get("CNNRECIPES_CACHE"):
        return Path(os.environ["CNNRECIPES_CACHE"]).expanduser()
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Caches" / "cnnrecipes"
    base = os.environ.get("LOCALAPPDATA" if os.name == "nt" else "XDG_CACHE_HOME")
    return Path(base or Path.home() / ".cache") / "cnnrecipes"


def fingerprint(paths: Iterable[str], what: str = "") -> str:
    """A name for the present state of these files: their paths, sizes and times, and `what` of them. Raises OSError."""
    digest = hashlib.blake2b(what.encode(), digest_size=16)
    for path in paths:
        digest.update(repr((path, *places.status(path))).encode())
    return digest.hexdigest()


def _row_checksum(key: str, values: Sequence) -> int:
    return zlib.crc32(repr((key, *values)).encode("utf-8", "backslashreplace"))


def storable(text: str) -> str:
    """The same text, with the bytes of a file name that is not UTF-8 written as JSON writes them, as \\udce4."""
    return text.encode("utf-8", "backslashreplace").decode()


class Table:
    """Rows of text and numbers by a text key, in one SQLite file; without one it is always empty."""

    def __init__(self, name: str, columns: Sequence[str]):
        self.columns = tuple(columns)
        self._database = self._open(folder() / f"{name}.sqlite")

    def find(self, keys: Sequence[str]) -> dict[str, tuple]:
        """The rows there are, by key."""
        found: dict[str, tuple] = {}
        called = {storable(key): key for key in keys}
        keys = list(called)
        with contextlib.suppress(sqlite3.Error):
            for start in range(0, len(keys) if self._database else 0, 500):  # SQLite takes so many values at once
                some = keys[start : start + 500]
                marks = ",".join("?" * len(some))
                for key, *values, checksum in self._database.execute(
                    f"SELECT * FROM rows WHERE key IN ({marks})", some
                ):
                    # A damaged row is as if it were not there; SQLite has no checksums of its own.
                    if key in called and checksum == _row_checksum(key, values):
                        found[called[key]] = tuple(values)
        return found

    def put(self, rows: dict[str, tuple]) -> None:
        """Add or replace rows."""
        if self._database and rows:
            marks = ",".join("?" * (2 + len(self.columns)))
            stored = [(storable(key), values) for key, values in rows.items()]
            with contextlib.suppress(sqlite3.Error), self._database:
                self._database.executemany(
                    f"INSERT OR REPLACE INTO rows VALUES ({marks})",
                    [(key, *values, _row_checksum(key, values)) for key, values in stored],
                )

    def close(self) -> None:
        """Close the file."""
        if self._database:
            self._database.close()

    def _open(self, path: Path) -> sqlite3.Connection | None:
        for _ in range(2):  # a damaged file is replaced
            try:
                path.parent.mkdir(parents=True, exist_ok=True)
                database = sqlite3.connect(path, timeout=10, check_same_thread=False)
                names = ", ".join(f'"{column}"' for column in self.columns)
                database.execute(f"CREATE TABLE IF NOT EXISTS rows (key TEXT PRIMARY KEY, {names}, row_checksum)")
                found = [row[1] for row in database.execute("PRAGMA table_info(rows)")]
                if tuple(found) != ("key", *self.columns, "row_checksum"):
                    raise sqlite3.DatabaseError("of another version")
                return database
            except sqlite3.OperationalError:  # another process holds it, or it cannot be written: done without
                return None
            except sqlite3.DatabaseError:
                with contextlib.suppress(OSError):
                    path.unlink()
            except OSError:
                return None
        return None


@contextlib.contextmanager
def table(name: str, columns: Sequence[str]) -> Iterator[Table]:
    """An opened Table, closed afterwards."""
    opened = Table(name, columns)
    try:
        yield opened
    finally:
        opened.close()
