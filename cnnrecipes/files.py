"""Files that are whole or not there: written beside their place and renamed."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path


def write_whole(path: Path, write: Callable[[Path], None]) -> None:
    """Call `write` with a name beside `path`, then put the result in its place; a kill leaves the old file."""
    # The ending stays, since Keras reads the format from it.
    beside = path.with_name(f".{os.getpid()}.{path.name}")
    try:
        write(beside)
        os.replace(beside, path)
    finally:
        beside.unlink(missing_ok=True)
