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
def animals(tmp_path, monkeypatch, request):
    """An empty registry of a package without modules."""
    name = f"zoo_of_{request.node.originalname}"  # unique for each test, since modules stay imported
    (tmp_path / name).mkdir()
    (tmp_path / name / "__init__.py").touch()
    monkeypatch.syspath_prepend(tmp_path)
    return Registry("animal", Animal, name)


def test_class_is_found_by_name_and_alias(animals):
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
def test_duplicate_name_raises(animals, name):
    @animals.register("bird", "fowl")
    class Bird(Animal):
        pass

    with pytest.raises(RegistrationError, match=rf"animal '{name}' is registered twice.*Bird and .*Other; rename"):

        @animals.register(name)
        class Other(Animal):
            pass

    assert animals["bird"] is Bird


def test_redefined_class_replaces_the_earlier_one(animals):
    """For example when a notebook cell is run twice."""
    for count in (2, 3):

        @animals.register("bird")
        class Bird(Animal):
            wings: int = count

    assert animals.parse("bird") == Bird(wings=3)


def test_invalid_registration_raises(animals):
    with pytest.raises(RegistrationError, match="animal 'stone' is <class 'int'>; register a subclass of .*Animal"):
        animals.register("stone")(int)
    with pytest.raises(RegistrationError, match="name 'sea-gull' is not an identifier"):
        animals.register("sea-gull")(Animal)


def test_package_modules_and_plugins_are_found(animals, tmp_path, monkeypatch):
    monkeypatch.setattr(call_syntax, "animals", animals, raising=False)
    code = "from cnnrecipes.syntax.call_syntax import animals\n@animals.register({0!r})\nclass It(animals._base): pass"
    (tmp_path / animals._package / "cats.py").write_text(code.format("cat"))
    (tmp_path / "wild.py").write_text(code.format("wolf"))
    monkeypatch.setenv("CNNRECIPES_PLUGINS", " wild,")
    assert set(animals) == {"cat", "wolf"}
    assert animals["cat"].__module__ == f"{animals._package}.cats"


def test_plugin_that_cannot_be_imported_raises(animals, monkeypatch):
    monkeypatch.setenv("CNNRECIPES_PLUGINS", "no_such_plugin")
    for _ in range(2):
        with pytest.raises(RegistrationError, match="'no_such_plugin' of CNNRECIPES_PLUGINS: No module.*PYTHONPATH"):
            list(animals)


def test_lookup_of_a_built_in_name_imports_no_plugins(animals, tmp_path, monkeypatch):
    monkeypatch.setattr(call_syntax, "animals", animals, raising=False)
    code = "from cnnrecipes.syntax.call_syntax import animals\n@animals.register('cat')\nclass It(animals._base): pass"
    (tmp_path / animals._package / "cats.py").write_text(code)
    monkeypatch.setenv("CNNRECIPES_PLUGINS", "no_such_plugin")
    assert animals.parse("cat").legs == 4
    with pytest.raises(RegistrationError, match="no_such_plugin"):
        animals.parse("wolf")


def test_error_in_a_plugin_is_no_value_error(animals, tmp_path, monkeypatch):
    """Pydantic would report a ValueError as an invalid value of a recipe."""
    (tmp_path / "broken_plugin.py").write_text("int('four')")
    monkeypatch.setenv("CNNRECIPES_PLUGINS", "broken_plugin")
    with pytest.raises(
        RegistrationError, match="'broken_plugin' of CNNRECIPES_PLUGINS: ValueError: .*'four'"
    ) as caught:
        animals.parse("wolf")
    assert not isinstance(caught.value, ValueError)


def test_signature_shows_required_parameters_and_rounded_defaults():
    class Bird(Animal):
        name: str
        wings: tuple[float, float] = (1 / 3, 2.0)
        color: str | None = None

    assert call_syntax.signature(Bird) == "(legs=4, name, wings=[0.3333, 2.0], color=None)"
    assert call_syntax.signature(Call) == ""
