"""Lazy imports: a stand-in for a module that is imported at the first access of one of its attributes."""

from __future__ import annotations

import importlib
from types import ModuleType
from typing import Any


class _LazyModule:
    # A plain object: the failing lookup before __getattr__ costs a ModuleType ten times as much.
    __slots__ = ("_found", "_name")

    def __init__(self, name: str):
        self._name = name
        self._found: ModuleType | None = None

    def _module(self) -> ModuleType:
        if self._found is None:
            self._found = importlib.import_module(self._name)
        return self._found

    def __getattr__(self, name: str) -> Any:
        return getattr(self._found or self._module(), name)

    def __dir__(self) -> list[str]:
        return dir(self._module())

    def __repr__(self) -> str:
        return f"lazy_module({self._name!r})"


def lazy_module(name: str) -> Any:
    """Return a proxy of a module, which is imported at the first access of an attribute.

    Type checkers see the module itself if its import for them stands beside it:

        if TYPE_CHECKING:
            import tensorflow as tf
        else:
            tf = lazy_module("tensorflow")

    Every access is forwarded, so that attributes replaced later (`monkeypatch.setattr`) are seen.

    Args:
        name: full dotted name; a missing module raises ModuleNotFoundError at the first access, not here.
    """
    return _LazyModule(name)
