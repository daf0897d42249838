"""Registries: names, aliases, discovery of built-in classes and plugins, and errors."""

from __future__ import annotations

import pytest

from cnnrecipes.errors import RegistrationError, UnknownNameError
from cnnrecipes.syntax import call_syntax
from cnnrecipes.syntax.call_syntax import Call, write_call
from cnnrecipes.syntax.registry import Registry


class Animal(Call):
    legs: int = 4


@pytest.fixture
def animals(tmp_path, monkeypatch):
    """An empty registry of a package with no modules."""
    (tmp_path / "zoo").mkdir()
    (tmp_path / "zoo" / "__init__.py").touch()
    monkeypatch.syspath_prepend(tmp_path)
    return Registry("animal", Animal, "zoo")


def test_a_registered_class_is_found_by_its_name_and_its_aliases(animals):
    @animals.register("bird", "fowl")
    class Bird(Animal):
        legs: int = 2

    assert list(animals) == ["bird"]
    assert len(animals) == 1
    assert animals["fowl"] is animals["bird"] is Bird
    assert "fowl" in animals
    assert animals.parse("fowl(legs=1)") == animals.parse("bird(1)") == Bird(legs=1)
    assert write_call(Bird(legs=1), animals) == "bird(legs=1)"
    with pytest.raises(UnknownNameError, match=r"unknown animal 'brid' \(did you mean bird\?\)"):
        animals.parse("brid")


@pytest.mark.parametrize("name", ["bird", "fowl"])
def test_a_name_is_registered_once(animals, name):
    @animals.register("bird", "fowl")
    class Bird(Animal):
        pass

    with pytest.raises(RegistrationError, match=rf"animal '{name}' is registered twice.*Bird and .*Other; rename"):

        @animals.register(name)
        class Other(Animal):
            pass

    assert animals["bird"] is Bird


def test_a_class_that_is_defined_again_replaces_the_earlier_one(animals):
    """As in a notebook cell that is run twice."""
    for legs in (2, 3):

        @animals.register("bird")
        class Bird(Animal):
            legs: int = 0
            wings: int = legs

    assert animals.parse("bird") == Bird(wings=3)


def test_what_cannot_be_registered_is_named(animals):
    with pytest.raises(RegistrationError, match="animal 'stone' is <class 'int'>; register a subclass of .*Animal"):
        animals.register("stone")(int)
    with pytest.raises(RegistrationError, match="name 'sea-gull' is no identifier"):
        animals.register("sea-gull")(Animal)


def test_modules_of_the_package_and_plugins_are_imported_at_the_first_lookup(animals, tmp_path, monkeypatch):
    monkeypatch.setattr(call_syntax, "animals", animals, raising=False)
    code = "from cnnrecipes.syntax.call_syntax import animals\n@animals.register({0!r})\nclass It(animals._base): pass"
    (tmp_path / "zoo" / "cats.py").write_text(code.format("cat"))
    (tmp_path / "wild.py").write_text(code.format("wolf"))
    monkeypatch.setenv("CNNRECIPES_PLUGINS", " wild,")
    assert set(animals) == {"cat", "wolf"}
    assert animals["cat"].__module__ == "zoo.cats"


def test_a_plugin_that_cannot_be_imported_is_named(animals, monkeypatch):
    monkeypatch.setenv("CNNRECIPES_PLUGINS", "no_such_plugin")
    for _ in range(2):
        with pytest.raises(RegistrationError, match="'no_such_plugin' of CNNRECIPES_PLUGINS: No module.*PYTHONPATH"):
            list(animals)
