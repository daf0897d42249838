"""Registry of data sources: `@data_source("digits", order=10)` registers a class, `find` returns the matching one."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable
from typing import Any, TypeVar

from cnnrecipes._support.plugins import import_plugins
from cnnrecipes.data.sources.data_source_base import DataSource
from cnnrecipes.errors import RegistrationError, listed
from cnnrecipes.syntax.registry import class_path

_PACKAGE = "cnnrecipes.data.sources"
_SOURCES: dict[str, tuple[int, DataSource]] = {}  # name -> order, source

Class = TypeVar("Class", bound=type[DataSource])


def data_source(name: str, *, order: int = 0) -> Callable[[Class], Class]:
    """Return a decorator that registers a subclass of `DataSource`.

    A class that is defined again in the same module (a notebook cell, `importlib.reload`) replaces the earlier one.

    Args:
        name: unique name of the kind of data.
        order: the first source in ascending order whose `matches` returns True reads the data. Built-in sources have
            10 to 70, so that sources of other packages come first by default.

    Raises:
        RegistrationError: the name is taken, or the class is not a complete subclass of `DataSource`.
    """

    def add(cls: Class) -> Class:
        if not (isinstance(cls, type) and issubclass(cls, DataSource)):
            raise RegistrationError(f"data source {name!r} is {cls!r}; register a subclass of {class_path(DataSource)}")
        if missing := sorted(cls.__abstractmethods__):
            raise RegistrationError(f"data source {name!r}: {class_path(cls)} lacks {listed(missing)}; define it")
        present = class_path(type(_SOURCES[name][1])) if name in _SOURCES else None
        if present not in (None, class_path(cls)):
            raise RegistrationError(
                f"data source {name!r} is registered twice, for {present} and {class_path(cls)}; rename one of them"
            )
        _SOURCES[name] = (order, cls())
        return cls

    return add


def find(data: Any) -> DataSource:
    """Return the data source that reads `data`: the first one, in ascending `order`, whose `matches` returns True."""
    return next(source for source in registered() if source.matches(data))


def registered() -> list[DataSource]:
    """Return all data sources sorted by `order`: built-in, of imported modules, and of CNNRECIPES_PLUGINS.

    Raises:
        RegistrationError: a module of CNNRECIPES_PLUGINS cannot be imported.
    """
    for module in pkgutil.iter_modules(importlib.import_module(_PACKAGE).__path__, f"{_PACKAGE}."):
        importlib.import_module(module.name)
    import_plugins()
    return [source for _, source in sorted(_SOURCES.values(), key=lambda row: row[0])]
