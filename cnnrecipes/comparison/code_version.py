"""Version of the code that trains: a digest of each room, and the versions of the packages below it."""

from __future__ import annotations

import functools
import hashlib
import importlib.metadata
from collections.abc import Mapping
from pathlib import Path

# Rooms and modules of the package that decide the bits of a training or of its evaluation.
ROOMS = (
    "syntax",
    "augment",
    "optim",
    "recipe",
    "keras_optim",
    "layers",
    "models",
    "data",
    "runs",
    "training",
    "transfer",
    "fit.py",
)
PACKAGES = ("tensorflow", "keras", "numpy")


@functools.cache
def code_version() -> Mapping[str, str]:
    """Return the digest of each room that decides a training, and the version of each package that it uses."""
    root = Path(__file__).parents[1]
    digests = {f"cnnrecipes/{room}": _digest(root / room) for room in ROOMS}
    return {**digests, **{name: importlib.metadata.version(name) for name in PACKAGES}}


def differences(recorded: Mapping[str, str]) -> list[str]:
    """Return a phrase for each difference from a recorded version, for example "keras was 3.11.0 and is 3.12.0"."""
    now = code_version()
    return [
        f"{name} was {recorded.get(name)} and is {now.get(name)}"
        for name in sorted(recorded.keys() | now.keys())
        if recorded.get(name) != now.get(name)
    ]


def _digest(path: Path) -> str:
    """Return the digest of a module, or of all modules of a folder."""
    files = [path] if path.is_file() else sorted(path.rglob("*.py"))
    hashed = hashlib.sha256()
    for file in files:
        hashed.update(file.relative_to(path.parent).as_posix().encode())
        hashed.update(file.read_bytes())
    return hashed.hexdigest()[:12]
