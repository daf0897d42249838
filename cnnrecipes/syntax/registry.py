"""Registries of the classes that a recipe names: `@operation("pad_crop")` registers one, `parse` reads a call of it."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable, Iterator, Mapping
from typing import Generic

from cnnrecipes._support.plugins import import_plugins
from cnnrecipes.errors import RegistrationError
from cnnrecipes.syntax.call_syntax import Kind, parse_call


class Registry(Mapping[str, type[Kind]], Generic[Kind]):
    """Registry of classes by name, and a mapping of names to classes: lookup accepts aliases, iteration omits them.

    The first lookup imports all modules of `package`, which register the built-in classes. The lookup of another name,
    and the list of the names, import the plugins too: the modules that the environment variable CNNRECIPES_PLUGINS
    lists.

    Args:
        kind: noun for error messages, for example "augmentation".
        base: the class that every registered class extends.
        package: full name of the package with the built-in classes.
    """

    def __init__(self, kind: str, base: type[Kind], package: str):
        self.kind, self._base, self._package = kind, base, package
        self._classes: dict[str, type[Kind]] = {}
        self._aliases: dict[str, str] = {}
        self._discovered = False

    def register(self, name: str, *aliases: str) -> Callable[[type[Kind]], type[Kind]]:
        """Return a decorator that registers a class under a name, and under former names, which are accepted too.

        A class that is defined again in the same module (a notebook cell, `importlib.reload`) replaces the earlier one.

        Raises:
            RegistrationError: the name is taken or not an identifier, or the class does not extend the base class.
        """

        def add(cls: type[Kind]) -> type[Kind]:
            if not cls.__module__.startswith(f"{self._package}."):
                self._discover()
            for each in (name, *aliases):
                self._check(each, cls)
            self._classes[name] = cls
            self._aliases.update(dict.fromkeys(aliases, name))
            return cls

        return add

    def parse(self, text: str) -> Kind:
        """Return the object that a call describes: `pad_crop(4)` is an instance of the class registered as "pad_crop".

        Raises:
            RecipeError: invalid syntax, an unknown name or parameter, or a value out of range.
        """
        return parse_call(text, self, self.kind)

    def __getitem__(self, name: str) -> type[Kind]:
        self._discover()
        if self._aliases.get(name, name) not in self._classes:
            import_plugins()
        return self._classes[self._aliases.get(name, name)]

    def __iter__(self) -> Iterator[str]:
        self._discover()
        import_plugins()
        return iter(self._classes)

    def __len__(self) -> int:
        return sum(1 for _ in self)

    def _check(self, name: str, cls: type) -> None:
        if not (isinstance(cls, type) and issubclass(cls, self._base)):
            raise RegistrationError(f"{self.kind} {name!r} is {cls!r}; register a subclass of {class_path(self._base)}")
        if not name.isidentifier():
            raise RegistrationError(
                f"{self.kind} name {name!r} is not an identifier; use letters, digits and underscores"
            )
        present = self._classes.get(self._aliases.get(name, name))
        if present is not None and class_path(present) != class_path(cls):
            raise RegistrationError(
                f"{self.kind} {name!r} is registered twice, for {class_path(present)} and {class_path(cls)}; "
                "rename one of them"
            )

    def _discover(self) -> None:
        if self._discovered:
            return
        self._discovered = True  # before the imports, since these register classes
        try:
            package = importlib.import_module(self._package)
            for module in pkgutil.iter_modules(package.__path__, f"{self._package}."):
                importlib.import_module(module.name)
        except BaseException:
            self._discovered = False
            raise


def class_path(cls: type) -> str:
    """Return the full dotted name of a class."""
    return f"{cls.__module__}.{cls.__qualname__}"
