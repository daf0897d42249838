"""One family of errors; each message names the thing, what was received, and what to do."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence

_SHOWN = 8  # names, or problems, that one message lists
_FEW = 100  # known names that may be listed where none is near


class CNNRecipesError(Exception):
    """The base of every error that cnnrecipes raises on purpose."""


class CNNRecipesWarning(UserWarning):
    """What is probably not meant, and is done all the same; the message names it and what to do."""


class RecipeError(CNNRecipesError, ValueError):
    """A recipe file, key or value that is not allowed."""


class DataError(CNNRecipesError, ValueError):
    """A data set that cannot be read, or images and labels that do not fit."""

    @classmethod
    def of(cls, problems: Sequence[str]) -> DataError:
        """One error about everything that is wrong."""
        if len(problems) == 1:
            return cls(problems[0])
        numbered = "; ".join(f"({number}) {problem}" for number, problem in enumerate(problems[:_SHOWN], 1))
        more = f"; and {len(problems) - _SHOWN} more" if len(problems) > _SHOWN else ""
        return cls(f"{len(problems)} things are wrong: {numbered}{more}")


class ModelError(CNNRecipesError, ValueError):
    """An architecture that cannot be built as asked."""


class TrainingError(CNNRecipesError, RuntimeError):
    """A training that cannot go on."""


class OutOfMemory(TrainingError):
    """A batch that does not fit into the memory of a device."""


class KerasSettingError(CNNRecipesError, RuntimeError):
    """A global setting of Keras that cnnrecipes cannot work under."""


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
    """A name that is not among the known ones; the message lists the nearest, or all where few are known."""

    def __init__(self, kind: str, name: object, known: Iterable[str], remedy: str = ""):
        known = sorted(known)
        near = nearest(str(name), known) if len(known) < _FEW else did_you_mean(str(name), known)
        super().__init__(f"unknown {kind} {name!r}{near}{remedy and '; ' + remedy}")
        self.kind, self.name, self.known = kind, name, known


def nearest(name: str, known: Iterable[str]) -> str:
    """' (did you mean ...?)', or the list where nothing is near."""
    known = sorted(known)
    return did_you_mean(name, known) or (f"; known: {listed(known, 40)}" if known else "")


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """' (did you mean ...?)' with up to three of the known names, '' where none is near."""
    lowered = {one.lower(): one for one in known}
    close = difflib.get_close_matches(name.lower(), lowered, n=3, cutoff=0.5)
    return f" (did you mean {' or '.join(lowered[one] for one in close)}?)" if close else ""


def listed(names: Iterable[object], most: int = _SHOWN) -> str:
    """Names with commas between them; of more than `most` the first, and how many more there are."""
    texts = [str(name) for name in names]
    more = f", ... ({len(texts) - most:,} more)" if len(texts) > most else ""
    return ", ".join(texts[:most]) + more


def counted(n: int, noun: str) -> str:
    """ "1 image", "2,000 images"."""
    plural = f"{noun[:-1]}ies" if noun.endswith("y") else f"{noun}s"
    return f"{n:,} {noun if n == 1 else plural}"


def one_line(error: object) -> str:
    """The text of another library's error in one line."""
    return " ".join(str(error).split())
