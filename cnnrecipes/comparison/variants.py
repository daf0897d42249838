"""Variants of a comparison: recipes and the values of keys, as arguments of `compare` or written KEY=A,B."""

from __future__ import annotations

import hashlib
import itertools
import re
import warnings
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from cnnrecipes.errors import RecipeError, UnknownNameError
from cnnrecipes.recipe import catalog
from cnnrecipes.recipe.schema import SPLIT_KEYS, Recipe, known_keys
from cnnrecipes.recipe.toml import parse_override
from cnnrecipes.recipe.values import shown
from cnnrecipes.syntax.comma_list import split_at_commas

_MOST = 100
_LENGTH = 60  # characters of a folder's name


@dataclass(frozen=True)
class Variant:
    """One of the recipes that are compared.

    Attributes:
        label: its name in tables and sentences, for example "norm=group".
        base: the recipe before the changes.
        changes: dotted keys that are overridden in it.
    """

    label: str
    base: Recipe = field(repr=False)
    changes: Mapping[str, Any] = field(repr=False)

    @property
    def recipe(self) -> Recipe:
        """The recipe with its changes."""
        return self.base.change(**self.changes)

    @property
    def folder(self) -> str:
        """Name of the variant's folder."""
        return folder_of(self.label)


def parse_values(text: str) -> tuple[str, list[Any]]:
    """Parse "model.norm=batch,group" into the key and its values.

    Commas within quotes, brackets and parentheses belong to a value:
    `augment.ops=["flip_lr"],["flip_lr","pad_crop(4)"]` has two.

    Raises:
        RecipeError: no key, an empty value, or a bracket or quote that is not closed.
    """
    key, equals, values = text.partition("=")
    if not equals or not key.strip():
        raise RecipeError(f"cannot read {text!r}; write the values as KEY=A,B, for example model.norm=batch,group")
    try:
        pieces = split_at_commas(values)
    except ValueError as error:
        raise RecipeError(f"{key.strip()}: cannot read the values {values!r}: {error}") from None
    if len(pieces) > 1 and not all(piece.strip() for piece in pieces):
        raise RecipeError(f"{key.strip()}: {values!r} has an empty value; write the values as KEY=A,B without gaps")
    return key.strip(), [parse_override(f"{key}={piece.strip() if len(pieces) > 1 else piece}")[1] for piece in pieces]


def split_values(settings: Sequence[str]) -> tuple[dict[str, list[Any]], dict[str, Any]]:
    """Parse arguments KEY=A,B; return the keys with several values, and those with one. Raises RecipeError."""
    values = dict(map(parse_values, settings))
    several = {key: some for key, some in values.items() if len(some) > 1}
    return several, {key: some[0] for key, some in values.items() if len(some) == 1}


def make_variants(
    recipes: Any, over: Mapping[str, Sequence[Any]] | None, changes: Mapping[str, Any], *, pairs: bool = False
) -> list[Variant]:
    """Return the variants: each recipe with each combination of the values in `over`.

    Args:
        recipes: a recipe as in `fit`, or a list of recipes.
        over: dotted key -> values.
        changes: keys that are overridden in all variants.
        pairs: the first values of all keys together, the second ones, and so on, instead of all combinations.

    Raises:
        RecipeError: an unknown key, a value that the recipe does not accept, fewer than two variants, or equal ones.
    """
    loaded = [catalog.load(one) for one in (recipes if isinstance(recipes, (list, tuple)) else [recipes])]
    values = _checked_values(over or {})
    fixed = known_keys(changes)
    if "name" in fixed:
        loaded, fixed = [one.change(name=fixed["name"]) for one in loaded], _without(fixed, "name")
    if taken := sorted(values.keys() & fixed.keys()):
        raise RecipeError(f"{taken[0]} is given once with several values and once with one; leave one of them out")
    rows = _rows(values, pairs)
    count = len(loaded) * len(rows)
    if count < 2:
        raise RecipeError(
            f"a comparison needs two variants or more, and there is {count}: give several recipes, or a key with "
            "several values, for example model.norm=batch,group"
        )
    if count > _MOST:
        raise RecipeError(f"{count:,} variants are too many; give at most {_MOST}, or list them with pairs")
    names, titles = _recipe_names(loaded), short_names(values)
    variants = [
        Variant(label_of(name if len(loaded) > 1 else "", row, titles), recipe, {**fixed, **row})
        for name, recipe in zip(names, loaded, strict=True)
        for row in rows
    ]
    _check(variants)
    return variants


def find_variant(variants: Sequence[Variant], name: str | None) -> Variant:
    """Return the variant with this label, or with this value of the only key; the first one for None.

    Raises:
        UnknownNameError: there is none; the message has the nearest labels.
    """
    if name is None:
        return variants[0]
    exact = [one for one in variants if one.label == name]
    short = [one for one in variants if one.label.partition("=")[2] == name]
    if len(found := exact or short) != 1:
        raise UnknownNameError("baseline", name, [one.label for one in variants])
    return found[0]


def folder_of(label: str) -> str:
    """Return a folder name for a label: the label itself if it has plain characters only, else with a digest."""
    plain = re.sub(r"[^\w.=+-]+", "_", label, flags=re.ASCII).strip("._")
    if plain == label and len(label) <= _LENGTH:
        return label
    return f"{plain[:_LENGTH]}-{hashlib.sha256(label.encode()).hexdigest()[:6]}"


def default_name(recipes: Any, over: Mapping[str, Sequence[Any]] | None) -> str:
    """Return the name of a comparison's folder, the same for the same recipes and keys."""
    given = recipes if isinstance(recipes, (list, tuple)) else [recipes]
    names = _recipe_names([catalog.load(one) for one in given])
    leaves = [key.rpartition(".")[2] for key in over or {}]
    return folder_of("_".join(["_vs_".join(names), *leaves]))


def value_text(value: Any) -> str:
    """Return a value of a recipe as text for a label."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, (list, tuple)):
        return "[" + ", ".join(value_text(one) for one in value) + "]"
    return f"{value:g}" if isinstance(value, float) else str(value)


def _checked_values(over: Mapping[str, Sequence[Any]]) -> dict[str, list[Any]]:
    for key, values in over.items():
        if isinstance(values, (str, bytes, Mapping)) or not isinstance(values, Iterable):
            raise RecipeError(f"{key} is to be compared over {shown(values)}; give a list of values")
    known_keys(dict.fromkeys(over))
    found = {key: list(values) for key, values in over.items()}
    if "name" in found:
        raise RecipeError("name is the name of the recipe, which changes no training; leave it out")
    if "train.seed" in found:
        raise RecipeError(
            "a comparison trains each variant with several values of train.seed already; give seeds=5 instead"
        )
    if empty := [key for key, values in found.items() if not values]:
        raise RecipeError(f"{empty[0]} has no values to compare; give two or more")
    return found


def _rows(values: Mapping[str, list[Any]], pairs: bool) -> list[dict[str, Any]]:
    """Return the changes of each combination of values."""
    if not pairs:
        return [dict(zip(values, row, strict=True)) for row in itertools.product(*values.values())]
    lengths = {key: len(some) for key, some in values.items()}
    if len(set(lengths.values())) > 1:
        what = ", ".join(f"{key} has {count}" for key, count in lengths.items())
        raise RecipeError(f"pairs need as many values of each key: {what}")
    return [dict(zip(values, row, strict=True)) for row in zip(*values.values(), strict=True)] or [{}]


def short_names(values: Mapping[str, Any]) -> dict[str, str]:
    """Return the short name of each key: its last part, or all of it where two keys end alike."""
    leaves = [key.rpartition(".")[2] for key in values]
    return {key: leaf if leaves.count(leaf) == 1 else key for key, leaf in zip(values, leaves, strict=True)}


def label_of(recipe: str, row: Mapping[str, Any], titles: Mapping[str, str]) -> str:
    """Return the label of a variant, for example "resnet8_digits, norm=group".

    Args:
        recipe: its name, or "" if there is one recipe alone.
        row: the values that tell it from the others.
        titles: key -> short name, as `short_names` returns them.
    """
    parts = [recipe] if recipe else []
    return ", ".join([*parts, *(f"{titles[key]}={value_text(value)}" for key, value in row.items())])


def _recipe_names(recipes: Sequence[Recipe]) -> list[str]:
    """Return the names of the recipes; a name that several have gets a number."""
    names = [one.name for one in recipes]
    return [
        name if names.count(name) == 1 else f"{name}_{names[: place + 1].count(name)}"
        for place, name in enumerate(names)
    ]


def _check(variants: Sequence[Variant]) -> None:
    """Raise RecipeError for equal variants, or for variants with different data or splits."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the trainings warn of the same
        recipes = [one.recipe for one in variants]
    tables = [_without(one.to_dict(), "name") for one in recipes]
    for (i, first), (j, second) in itertools.combinations(enumerate(variants), 2):
        if tables[i] == tables[j]:
            raise RecipeError(f"the variants {first.label!r} and {second.label!r} are equal; leave one of them out")
        if first.folder == second.folder:
            raise RecipeError(f"two variants have the label {first.label!r}; give values that differ in their text")
    for one, table in zip(variants[1:], tables[1:], strict=True):
        for key in SPLIT_KEYS:
            here, there = (each["data"].get(key) for each in (tables[0], table))
            if here != there:
                raise RecipeError(
                    f"{variants[0].label!r} has data.{key} = {here!r}, and {one.label!r} has {there!r}: variants are "
                    "compared on the same images and splits; give both the same value"
                )


def _without(tables: Mapping[str, Any], *keys: str) -> dict[str, Any]:
    return {key: value for key, value in tables.items() if key not in keys}


def names_recipe(text: str) -> bool:
    """Return True if an argument of the command names a recipe or a folder, False if it is KEY=VALUE."""
    return not re.match(r"[A-Za-z_][\w.]*=", text) or Path(text).exists()
