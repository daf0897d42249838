"""The user's cache folder, and its SQLite tables of results by path, size and modification time of a file.

The cache is optional: if it is missing, corrupt or not writable, the results are computed again.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import sqlite3
import warnings
import zlib
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from filelock import FileLock, Timeout
from platformdirs import user_cache_path

from cnnrecipes._support import file_systems
from cnnrecipes.errors import CNNRecipesWarning

PATIENCE = 10.0  # seconds that another process is waited for


def folder() -> Path:
    """Return the cache folder: CNNRECIPES_CACHE, or cnnrecipes/ in the platform's cache folder."""
    if os.environ.get("CNNRECIPES_CACHE"):
        return Path(os.environ["CNNRECIPES_CACHE"]).expanduser()
    return user_cache_path("cnnrecipes", appauthor=False)


def fingerprint(paths: Iterable[str], what: str = "") -> str:
    """Return a hash of the files' paths, sizes and modification times, and of `what`: 32 hexadecimal digits.

    Args:
        paths: files, local or remote.
        what: anything else that the cached result depends on.

    Raises:
        OSError: a file is not accessible.
    """
    digest = hashlib.blake2b(what.encode(), digest_size=16)
    for path in paths:
        digest.update(repr((path, *file_systems.status(path))).encode())
    return digest.hexdigest()


def _row_checksum(key: str, values: Sequence) -> int:
    return zlib.crc32(repr((key, *values)).encode("utf-8", "backslashreplace"))


def storable(text: str) -> str:
    r"""Return text that is encodable as UTF-8: undecodable bytes of a file name become escapes such as \udce4."""
    return text.encode("utf-8", "backslashreplace").decode()


def mark_used(path: Path) -> None:
    """Set the modification time of a cached file to now: the time of its last use, also where disks keep no atime."""
    with contextlib.suppress(OSError):
        os.utime(path)


class Table:
    """Key-value table in one SQLite file: rows of text and numbers by a text key; empty if the file cannot be used.

    If another process holds a lock for PATIENCE seconds, the cache is disabled with a warning. A corrupt file is
    emptied, by one process at a time; no file is ever deleted.
    """

    def __init__(self, name: str, columns: Sequence[str]):
        self.columns = tuple(columns)
        self._path = folder() / f"{name}.sqlite"
        self._database: sqlite3.Connection | None = None
        with self._done_without():
            self._path.parent.mkdir(parents=True, exist_ok=True)
            self._database = self._opened()
            mark_used(self._path)

    def find(self, keys: Sequence[str]) -> dict[str, tuple]:
        """Return the cached rows by key; keys without a row (cache misses) are omitted."""
        found: dict[str, tuple] = {}
        if self._database is None:
            return found
        called = {storable(key): key for key in keys}
        keys = list(called)
        with self._done_without():
            for start in range(0, len(keys), 500):  # SQLite takes so many values at once
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
        """Insert or replace rows, given by key."""
        if self._database and rows:
            marks = ",".join("?" * (2 + len(self.columns)))
            stored = [(storable(key), values) for key, values in rows.items()]
            with self._done_without(), self._database:
                self._database.executemany(
                    f"INSERT OR REPLACE INTO rows VALUES ({marks})",
                    [(key, *values, _row_checksum(key, values)) for key, values in stored],
                )

    def close(self) -> None:
        """Close the SQLite connection."""
        if self._database:
            self._database.close()
            self._database = None

    @contextlib.contextmanager
    def _done_without(self) -> Iterator[None]:
        """Stop using the cache after an error in the block, since each further access would wait for the file."""
        try:
            yield
        except (OSError, sqlite3.Error) as error:
            with contextlib.suppress(sqlite3.Error):
                self.close()
            self._database = None
            if "locked" in str(error):
                message = (
                    f"the cache {str(self._path)!r} has been locked by another process for {PATIENCE:g} s, and is not "
                    "used: files are inspected again, and the results are not cached"
                )
                warnings.warn(message, CNNRecipesWarning, stacklevel=4)

    def _opened(self) -> sqlite3.Connection:
        try:
            return self._connected()
        except sqlite3.OperationalError:  # held by another process, or cannot be written
            raise
        except sqlite3.DatabaseError:
            lock = FileLock(f"{self._path}.lock", timeout=PATIENCE)
            try:
                with lock:
                    return self._replaced()
            except (NotImplementedError, Timeout) as error:
                raise OSError(str(error)) from None

    def _replaced(self) -> sqlite3.Connection:
        """Empty a damaged file, unless another process has emptied it meanwhile.

        The file is not deleted: a process that has the deleted file open would use the journal of its successor.
        """
        try:
            return self._connected()
        except sqlite3.OperationalError:
            raise
        except sqlite3.DatabaseError:
            os.truncate(self._path, 0)
            return self._connected()

    def _connected(self) -> sqlite3.Connection:
        database = sqlite3.connect(self._path, timeout=PATIENCE, check_same_thread=False)
        try:
            self._make_table(database)
        except sqlite3.Error:
            database.close()
            raise
        return database

    def _make_table(self, database: sqlite3.Connection) -> None:
        """Create the table; a table with other columns, of another version, is dropped first."""
        columns = ("key", *self.columns, "row_checksum")
        found = tuple(row[1] for row in database.execute("PRAGMA table_info(rows)"))
        if found == columns:
            return
        with database:
            database.execute("BEGIN IMMEDIATE")
            found = tuple(row[1] for row in database.execute("PRAGMA table_info(rows)"))
            if found and found != columns:
                database.execute("DROP TABLE rows")
            names = ", ".join(f'"{column}"' for column in self.columns)
            database.execute(f"CREATE TABLE IF NOT EXISTS rows (key TEXT PRIMARY KEY, {names}, row_checksum)")


@contextlib.contextmanager
def table(name: str, columns: Sequence[str]) -> Iterator[Table]:
    """Open a Table in the block, and close it on exit."""
    opened = Table(name, columns)
    try:
        yield opened
    finally:
        opened.close()


def empty_table(path: Path) -> None:
    """Delete all rows from the file of a table, which other processes may have open.

    Raises:
        OSError: the file is not accessible, not a table, or locked by another process.
    """
    try:
        uri = f"{path.absolute().as_uri()}?mode=rw"
        with contextlib.closing(sqlite3.connect(uri, uri=True, timeout=0)) as database:
            columns = [row[1] for row in database.execute("PRAGMA table_info(rows)")]
            if columns[:1] + columns[-1:] != ["key", "row_checksum"]:
                raise OSError("not a table of cnnrecipes")
            with database:
                database.execute("DELETE FROM rows")
            database.execute("VACUUM")
    except sqlite3.Error as error:
        raise OSError(str(error)) from None
