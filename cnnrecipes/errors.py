"""Exception and warning classes; each message states what is wrong, the value received, and what to do."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence

_SHOWN = 8  # maximum number of names or problems in one message
_FEW = 100  # up to this many known names, a message lists them when there is no close match


class CNNRecipesError(Exception):
    """Base class of all exceptions that cnnrecipes raises deliberately."""


class CNNRecipesWarning(UserWarning):
    """Warning about a setting that is probably a mistake; execution continues. The message states what to change."""


class RecipeError(CNNRecipesError, ValueError):
    """Error for an invalid recipe file, key or value."""


class RegistrationError(CNNRecipesError, RuntimeError):
    """Error for a class, architecture or head that cannot be registered, or for a plugin that cannot be imported.

    Not a ValueError, which pydantic would report as an invalid value of a recipe.
    """


class DataError(CNNRecipesError, ValueError):
    """Error for a data set that cannot be read, or for images and labels that do not match."""

    @classmethod
    def of(cls, problems: Sequence[str]) -> DataError:
        """Return one DataError for several problems: it lists the first 8 and the number of the others."""
        if len(problems) == 1:
            return cls(problems[0])
        numbered = "; ".join(f"({number}) {problem}" for number, problem in enumerate(problems[:_SHOWN], 1))
        more = f"; and {len(problems) - _SHOWN} more" if len(problems) > _SHOWN else ""
        return cls(f"{len(problems)} problems: {numbered}{more}")


class ModelError(CNNRecipesError, ValueError):
    """Error for an architecture that cannot be built with the given options."""


class TrainingError(CNNRecipesError, RuntimeError):
    """Error for a training that cannot continue, for example because the loss became NaN."""


class NonFinite(TrainingError):
    """Error for a loss, or features, that became NaN or infinite."""


class OutOfMemory(TrainingError):
    """Error for a batch that does not fit into device memory."""


class DiskFull(TrainingError):
    """Error for a disk without room for the files of a training."""


class CacheError(CNNRecipesError, ValueError):
    """Error for an invalid setting of the user's cache folder: its limit (CNNRECIPES_CACHE_LIMIT), a number of days."""


class KerasSettingError(CNNRecipesError, RuntimeError):
    """Error for a global Keras setting (backend, image data format) that cnnrecipes does not support."""


class Interrupted(TrainingError):
    """Error for a training that was interrupted (Ctrl-C, SIGTERM) and can be resumed."""


class RunError(CNNRecipesError, RuntimeError):
    """Error for a run folder or model artifact that cannot be written or read."""


class WriteError(CNNRecipesError, OSError):
    """Error for a path that cannot be written: no permission, a full disk (ENOSPC), a file in place of a folder.

    Subclass of OSError, with its attributes `errno` and `strerror`.
    """

    def __init__(self, message: str, number: int | None = None, reason: str | None = None):
        super().__init__(message)
        self.errno, self.strerror = number, reason

    def __str__(self) -> str:  # OSError.__str__ would return "[Errno 28] ..."
        return str(self.args[0])


class UnknownNameError(RecipeError):
    """Error for an unknown name; the message lists the closest matches, or all known names if there are few."""

    def __init__(self, kind: str, name: object, known: Iterable[str], remedy: str = ""):
        known = sorted(known)
        near = nearest(str(name), known) if len(known) < _FEW else did_you_mean(str(name), known)
        super().__init__(f"unknown {kind} {name!r}{near}{remedy and '; ' + remedy}")
        self.kind, self.name, self.known = kind, name, known


def nearest(name: str, known: Iterable[str]) -> str:
    """Return " (did you mean ...?)" with the closest matches, or the known names if none is close; "" without names."""
    known = sorted(known)
    return did_you_mean(name, known) or (f"; known: {listed(known, 40)}" if known else "")


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """Return " (did you mean ...?)" with up to three close matches (case-insensitive), or "" if there is none."""
    lowered = {one.lower(): one for one in known}
    close = difflib.get_close_matches(name.lower(), lowered, n=3, cutoff=0.5)
    return f" (did you mean {' or '.join(lowered[one] for one in close)}?)" if close else ""


def listed(names: Iterable[object], most: int = _SHOWN) -> str:
    """Return the names joined by commas; of more than `most` names, the first `most` and the number of the others."""
    texts = [str(name) for name in names]
    more = f", ... ({len(texts) - most:,} more)" if len(texts) > most else ""
    return ", ".join(texts[:most]) + more


def counted(n: int, noun: str) -> str:
    """Return a number with its noun, in the singular or plural: "1 image", "2,000 images"."""
    plural = f"{noun[:-1]}ies" if noun.endswith("y") else f"{noun}s"
    return f"{n:,} {noun if n == 1 else plural}"


def one_line(error: object) -> str:
    """Return the message of another library's error on a single line."""
    return " ".join(str(error).split())
