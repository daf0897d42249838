"""Output of the commands: verbosity, JSON documents on stdout, and messages about written files."""

from __future__ import annotations

import contextlib
import json
import logging
import math
import os
import sys
from collections.abc import Iterable, Iterator, Mapping
from contextvars import ContextVar
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TextIO

from cnnrecipes._support.console import printable

_documents: ContextVar[TextIO | None] = ContextVar("stdout for JSON documents", default=None)


@dataclass
class Verbosity:
    """The options -q/--quiet and -v/--verbose of the running command."""

    quiet: bool = False
    verbose: bool = False

    def flags(self) -> list[str]:
        """Return the options as arguments of another process of the command line."""
        return [flag for flag, given in (("--quiet", self.quiet), ("--verbose", self.verbose)) if given]


verbosity = Verbosity()


def choose_verbosity(quiet: bool, verbose: bool, *, reset: bool = False) -> None:
    """Apply -q and -v, which may be given before or after the command.

    Args:
        quiet: print results only.
        verbose: show the logs of TensorFlow and other libraries, and the traceback of an error.
        reset: forget the options of an earlier command of this process.
    """
    verbosity.quiet = quiet or (verbosity.quiet and not reset)
    verbosity.verbose = verbose or (verbosity.verbose and not reset)
    if verbose:
        os.environ["TF_CPP_MIN_LOG_LEVEL"] = "0"
        logging.basicConfig(level=logging.INFO, format="%(levelname)s %(name)s: %(message)s")


@contextlib.contextmanager
def messages_to_stderr() -> Iterator[None]:
    """Redirect everything but `print_json` to stderr."""
    token = _documents.set(sys.stdout)
    try:
        with contextlib.redirect_stdout(sys.stderr):
            yield
    finally:
        _documents.reset(token)


def print_json(document: Any) -> None:
    """Print a JSON document to stdout; NaN and infinities, which JSON does not have, become null."""
    print(json.dumps(_plain(document), indent=2, allow_nan=False), file=_documents.get() or sys.stdout)


def print_written(files: Iterable[Path]) -> None:
    """Print the path of each written file on its own line."""
    for path in files:
        print(printable(f"wrote {path}"))


def print_picture(path: Path, quiet: bool) -> None:
    """Print the path of a picture that is a command's only result; quiet: without "wrote"."""
    print(printable(path if quiet else f"wrote {path}"))


def _plain(value: Any) -> Any:
    """Return a value of dictionaries, sequences, NumPy numbers and paths as JSON types."""
    if isinstance(value, Mapping):
        return {str(key): _plain(one) for key, one in value.items()}
    if hasattr(value, "tolist"):
        return _plain(value.tolist())
    if isinstance(value, (list, tuple)):
        return [_plain(one) for one in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value if value is None or isinstance(value, (str, int, float)) else str(value)
