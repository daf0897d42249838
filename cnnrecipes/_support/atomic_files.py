"""Atomic file writes: a temporary file in the same folder, then a rename; failures raise WriteError with a remedy."""

from __future__ import annotations

import contextlib
import errno
import os
import stat
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from cnnrecipes.errors import WriteError

_REMEDIES = {
    errno.ENOSPC: "free some space, or give a path on another disk",
    errno.EDQUOT: "free some space, or give a path on another disk",
    errno.EROFS: "give a path on a file system that can be written to",
    errno.ENAMETOOLONG: "give a shorter name",
    errno.ENOENT: "create the folder first",
    errno.EISDIR: "give the path of a file",
}


def is_utf8(path: object) -> bool:
    """Return True if a path is encodable as UTF-8; on Linux a file name may hold any bytes."""
    try:
        str(path).encode()
    except UnicodeEncodeError:
        return False
    return True


def write_whole(path: Path, write: Callable[[Path], object]) -> None:
    """Write a file atomically: `write` receives a temporary path in the same folder, which is then renamed to `path`.

    If the process is killed, an existing file is unchanged; if the write fails, the temporary file is deleted too.

    Args:
        path: file to create or overwrite.
        write: function that writes the content to the path it receives; its result is ignored.

    Raises:
        WriteError: the file cannot be written; the message has the path, the reason and a remedy.
    """
    # The ending stays, since Keras reads the format from it.
    beside = path.with_name(f".{os.getpid()}.{path.name}")
    with explained(path):
        try:
            write(beside)
            os.replace(beside, path)
        finally:
            with contextlib.suppress(OSError):  # also where the folder is a file
                beside.unlink()


def write_text(path: Path, text: str) -> None:
    """Write a text file atomically, in UTF-8. Raise WriteError if it cannot be written."""
    write_whole(path, lambda beside: beside.write_text(text, encoding="utf-8"))


def make_folder(path: str | os.PathLike) -> Path:
    """Create a folder and its parents if missing; return it. Raise WriteError if it cannot be created or written to."""
    path = Path(path)
    with explained(path):
        path.mkdir(parents=True, exist_ok=True)
        if not os.access(path, os.W_OK):
            raise OSError(errno.EACCES, os.strerror(errno.EACCES))
    return path


def check_writable(path: str | os.PathLike) -> Path:
    """Check that a file can be written, before computing its content, and return its path.

    Raises:
        WriteError: the path's folder does not exist or is not writable, or the path is a folder.
    """
    path = Path(path)
    with explained(path):
        if path.is_dir():
            raise OSError(errno.EISDIR, os.strerror(errno.EISDIR))
        if not stat.S_ISDIR(path.parent.stat().st_mode):
            raise OSError(errno.ENOTDIR, os.strerror(errno.ENOTDIR))
        if not os.access(path.parent, os.W_OK):
            raise OSError(errno.EACCES, os.strerror(errno.EACCES))
    return path


def choose_output(given: Path | None, default: Path, *, names: Sequence[str] = (), overwrite: bool = False) -> Path:
    """Return the output path of a command, without overwriting existing files by default.

    An existing default path gets a number, for example batch_2.png; an existing user-given path is an error.

    Args:
        given: path given by the user; None: use `default`.
        default: path to use otherwise.
        names: names of the files to write, if the path is a folder; () if it is a file.
        overwrite: return the path unchanged, even if it exists.

    Raises:
        WriteError: the user-given path, or a file to write in it, exists already.
    """
    if overwrite:
        return given or default
    if given is None:
        return _unused(default, is_folder=bool(names))
    taken = [path for path in ([given / name for name in names] or [given]) if os.path.isfile(path)]
    if taken:
        raise WriteError(f"{str(taken[0])!r} exists already; give another path, or --overwrite", errno.EEXIST)
    return given


def _unused(path: Path, *, is_folder: bool) -> Path:
    stem, suffix = (path.name, "") if is_folder else (path.stem, path.suffix)
    number, free = 1, path
    while os.path.lexists(free):
        number += 1
        free = path.with_name(f"{stem}_{number}{suffix}")
    return free


@contextlib.contextmanager
def explained(path: str | os.PathLike) -> Iterator[None]:
    """Convert an OSError in the `with` block into a `WriteError` for this path, with a remedy."""
    try:
        yield
    except WriteError:
        raise
    except OSError as error:
        why = os.strerror(error.errno) if error.errno else str(error)
        remedy = _REMEDIES.get(error.errno or 0, "give another path, in a folder that can be written to")
        raise WriteError(f"cannot write {str(path)!r}: {why}; {remedy}", error.errno, why) from None
