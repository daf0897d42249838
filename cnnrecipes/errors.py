"""One family of errors; each message names the thing, what was received, and what to do."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class CNNRecipesError(Exception):
    """The base of every error that cnnrecipes raises on purpose."""


class RecipeError(CNNRecipesError, ValueError):
    """A recipe file, key or value that is not allowed."""


class DataError(CNNRecipesError, ValueError):
    """A data set that cannot be read, or images and labels that do not fit."""


class ModelError(CNNRecipesError, ValueError):
    """An architecture that cannot be built as asked."""


class TrainingError(CNNRecipesError, RuntimeError):
    """A training that cannot go on."""


class OutOfMemory(TrainingError):
    """A batch that does not fit into the memory of a device."""


class Interrupted(TrainingError):
    """A training that was asked to stop, and can be gone on with."""


class RunError(CNNRecipesError, RuntimeError):
    """A run folder or model artefact that cannot be written or read."""


class WriteError(CNNRecipesError, OSError):
    """A file or folder that cannot be written: no permission, a full disk (ENOSPC), a file in place of a folder.

    An OSError too, with its `errno` and `strerror`.
    """

    def __init__(self, message: str, number: int | None = None, reason: str | None = None):
        super().__init__(message)
        self.errno, self.strerror = number, reason

    def __str__(self) -> str:  # OSError's own would be "[Errno 28] ..."
        return str(self.args[0])


class UnknownNameError(RecipeError):
    """A name that is not among the known ones; the message lists the nearest."""

    def __init__(self, kind: str, name: object, known: Iterable[str], remedy: str = ""):
        known = sorted(known)
        super().__init__(f"unknown {kind} {name!r}{nearest(str(name), known)}{remedy and '; ' + remedy}")
        self.kind, self.name, self.known = kind, name, known


def nearest(name: str, known: Iterable[str]) -> str:
    """' (did you mean ...?)', or the whole list where nothing is near."""
    known = sorted(known)
    close = difflib.get_close_matches(name.lower(), known, n=3, cutoff=0.5)
    if close:
        return f" (did you mean {' or '.join(close)}?)"
    return f"; known: {', '.join(known)}" if known else ""
