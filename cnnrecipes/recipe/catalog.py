"""Catalog of the shipped recipes: lookup by name or path, and loading with `extends`."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from cnnrecipes.errors import RecipeError, UnknownNameError
from cnnrecipes.recipe.schema import Recipe
from cnnrecipes.recipe.toml import merge, read_toml
from cnnrecipes.recipe.values import check_nesting


def folder() -> Path:
    """Return the folder of shipped recipes: in the installed package, or beside it in a checkout."""
    package = Path(__file__).parents[1]
    return next((p for p in (package / "recipes", package.parent / "recipes") if p.is_dir()), package / "recipes")


def names() -> list[str]:
    """Return the names of the shipped recipes, sorted."""
    return sorted(path.stem for path in folder().glob("*.toml"))


def summary(name: str) -> str:
    """Return the first comment line of a shipped recipe, with description and source; "" if there is none."""
    first = find(name).read_text(encoding="utf-8").partition("\n")[0]
    return first.lstrip("# ").strip() if first.startswith("#") else ""


def find(name: str | Path, beside: Path | None = None) -> Path:
    """Return the file of a recipe given by name or path; relative paths are first tried in the folder `beside`.

    Raises:
        RecipeError: the path is not a file.
        UnknownNameError: there is no shipped recipe of this name; the message lists close matches.
    """
    text = str(name)
    if text.endswith(".toml") or "/" in text or "\\" in text:
        for path in (*([beside / text] if beside else []), Path(os.path.expanduser(text))):
            if path.is_file():
                return path
        if Path(os.path.expanduser(text.replace("\0", "?"))).is_dir():
            raise RecipeError(
                f"no recipe file at {text!r}, it is a folder; give a recipe and, where it holds images, the folder as "
                f"data: `cnnrecipes fit photos_from_scratch --data {text}`"
            )
        raise RecipeError(f"no recipe file at {text!r}; give the path of a .toml file, or one of {', '.join(names())}")
    path = folder() / f"{text}.toml"
    if text not in names():
        raise UnknownNameError("recipe", text, names(), "`cnnrecipes list` shows all; a path must end in .toml")
    return path


def load(recipe: str | Path | Mapping[str, Any] | Recipe) -> Recipe:
    """Load and validate a recipe from a shipped name, a path or nested tables; a Recipe is returned unchanged.

    Nested tables have the structure of a file: `{"extends": "resnet8_digits", "train": {"epochs": 5}}`.

    Raises:
        RecipeError: another type, or an invalid recipe.
    """
    if isinstance(recipe, Recipe):
        return recipe
    if isinstance(recipe, Mapping):
        check_nesting(recipe, "the recipe")
        return Recipe.from_dict(_extended(recipe, "the recipe", None, ()), "the recipe")
    if not isinstance(recipe, (str, Path)):
        raise RecipeError(f"the recipe is {recipe!r}; give a shipped name, a path, a dict of tables, or a Recipe")
    path = find(recipe)
    tables = _tables(path, ())
    tables.setdefault("name", path.stem)
    return Recipe.from_dict(tables, str(path))


def _tables(path: Path, seen: tuple[Path, ...]) -> dict[str, Any]:
    """Return the tables of a recipe file, merged over those of the recipe that the file extends."""
    if path.resolve() in seen:
        raise RecipeError(f"{path} extends itself through {' -> '.join(p.name for p in seen)}; remove one `extends`")
    return _extended(read_toml(path), str(path), path.parent, (*seen, path.resolve()))


def _extended(tables: Mapping[str, Any], origin: str, beside: Path | None, seen: tuple[Path, ...]) -> dict[str, Any]:
    """Merge tables over the recipe that they extend; relative paths are first tried in the folder `beside`."""
    tables = dict(tables)
    base = tables.pop("extends", None)
    if base is None:
        return tables
    if not isinstance(base, str):
        raise RecipeError(f"{origin}: extends = {base!r}; give the name or the path of a recipe")
    parent = _tables(find(base, beside=beside), seen)
    parent.pop("name", None)
    return merge(parent, tables)
