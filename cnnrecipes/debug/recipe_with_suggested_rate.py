"""A recipe file that extends a recipe with a suggested learning rate."""

from __future__ import annotations

import errno
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import tomli_w

from cnnrecipes._support.atomic_files import check_writable, is_utf8, write_text
from cnnrecipes._support.console import printable
from cnnrecipes.data.sources.opening import recorded_name
from cnnrecipes.errors import RecipeError, WriteError
from cnnrecipes.recipe import catalog
from cnnrecipes.recipe.schema import Recipe, known_keys
from cnnrecipes.recipe.toml import merge


def check_recipe_path(path: str | os.PathLike, recipe: Any, *, overwrite: bool = False) -> Path:
    """Check the path of a recipe file before the work, and return it.

    Raises:
        RecipeError: another suffix than .toml, a path that is not UTF-8, or the file of `recipe` itself.
        WriteError: the path cannot be written, or it exists and `overwrite` is False.
    """
    path = check_writable(path)
    if path.suffix != ".toml" or not is_utf8(path):
        raise RecipeError(f"{printable(path)!r} is no name of a recipe file; give one in UTF-8 that ends in .toml")
    if path.exists() and not overwrite:
        raise WriteError(f"{str(path)!r} exists already; give another path, or --overwrite", errno.EEXIST)
    if isinstance(recipe, (str, Path)) and catalog.find(recipe).resolve() == path.resolve():
        raise RecipeError(f"{str(path)!r} is the recipe itself, which the new file would extend; give another path")
    return path


def write_recipe(
    path: Path,
    recipe: str | Path | Mapping[str, Any] | Recipe,
    rate: float,
    *,
    data: Any = None,
    changes: Mapping[str, Any] | None = None,
    comment: str = "",
) -> None:
    """Write a recipe file that extends `recipe` with a learning rate, atomically.

    Args:
        path: the file to write; see `check_recipe_path`.
        recipe, data, changes: as in `fit`; the file has the changes and the name of the data too. A recipe that is not
            in a file is written as a whole.
        rate: `optimizer.learning_rate`.
        comment: the first line.

    Raises:
        WriteError: the path cannot be written.
    """
    settings = {**known_keys(changes or {}), "optimizer.learning_rate": rate}
    if data is not None:
        settings["data.name"] = recorded_name(data)
    tables: dict[str, Any] = {}
    for key, value in settings.items():
        *parents, leaf = key.split(".")
        tables = merge(tables, {parents[0]: {leaf: value}} if parents else {leaf: value})
    tables = merge(_base(recipe, path), tables)
    # TOML has its tables behind the keys outside of tables.
    tables = dict(sorted(tables.items(), key=lambda item: isinstance(item[1], Mapping)))
    head = f"# {printable(comment)}\n" if comment else ""
    write_text(path, head + tomli_w.dumps(tables))


def _base(recipe: str | Path | Mapping[str, Any] | Recipe, path: Path) -> dict[str, Any]:
    """Return the tables of the file before the settings: `extends` for a recipe in a file, else the whole recipe."""
    if isinstance(recipe, (str, Path)):
        return {"extends": _extended(recipe, path)}
    return catalog.load(recipe).to_dict()


def _extended(recipe: str | Path, path: Path) -> str:
    """Return the value of `extends` in a file at `path`: a shipped name as it is, a path relative to the file."""
    found = catalog.find(recipe)
    if found == catalog.folder() / f"{recipe}.toml":
        return str(recipe)
    return Path(os.path.relpath(found.absolute(), path.absolute().parent)).as_posix()
