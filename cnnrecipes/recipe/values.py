"""Validators for recipe values beyond their types, and conversion and formatting of values."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

from cnnrecipes.errors import RecipeError
from cnnrecipes.syntax.duration import Duration

MAX_NESTING = 8  # tables and lists inside each other; a recipe needs three
MAX_NAME = 100  # characters; a file system takes 255 bytes, and a run folder's name has a date and a number beside


def some_blocks(depths: tuple[int, ...]) -> tuple[int, ...]:
    """Return `depths`, the blocks of each stage. Raise ValueError if all are 0."""
    if not any(depths):
        raise ValueError("a network needs at least one block; give a depth above 0")
    return depths


def image_size(value: Any) -> Any:
    """Return a valid `data.image_size`: one number, or (height, width), 4 to 10,000 pixels.

    Raise ValueError otherwise.
    """
    sides = value if isinstance(value, (list, tuple)) else [value]
    whole = all(isinstance(side, int) and not isinstance(side, bool) and 4 <= side <= 10_000 for side in sides)
    if not whole or (len(sides) != 2 and sides is value):
        raise ValueError("give pixels from 4 to 10000, for example 64, or height and width, for example [32, 48]")
    return tuple(sides) if sides is value and sides[0] != sides[1] else sides[0]


def watch_interval(value: Any) -> str | Duration:
    """Return a valid `logging.watch`: "auto", "off" or an interval with its unit, for example "100 steps".

    Raises:
        ValueError: anything else, also a number without a unit, or an interval of 0.
    """
    if value in ("auto", "off"):
        return value
    try:
        interval = Duration.parse(value)
    except ValueError:
        interval = None
    if interval is None or interval.amount == 0:
        raise ValueError('give "auto", "off" or an interval of the training, for example "1 epoch" or "100 steps"')
    return interval


def folder_name(name: str) -> str:
    """Return a name that may become part of a folder name.

    Raise ValueError if the name is empty, too long or not printable, or has slashes.
    """
    if (
        not isinstance(name, str)
        or name.strip() in ("", ".", "..")
        or not name.isprintable()
        or set(name) & set("/\\")
        or len(name) > MAX_NAME
    ):
        raise ValueError(
            f"it becomes part of the run folder's name: give 1 to {MAX_NAME} printable characters, without / and \\"
        )
    return name


def check_nesting(tables: Any, origin: str) -> None:
    """Raise RecipeError if tables and lists are nested more than MAX_NESTING levels deep."""
    level, depth = [tables], 0
    while level:
        if depth > MAX_NESTING:
            raise RecipeError(
                f"{origin}: tables or lists are nested more than {MAX_NESTING} levels deep; a recipe needs at most 3"
            )
        inside = [item.values() if isinstance(item, Mapping) else item for item in level]
        level = [one for items in inside for one in items if isinstance(one, (Mapping, list, tuple))]
        depth += 1


def plain(value: Any) -> Any:
    """Return a value with NumPy scalars converted to Python numbers, and paths to strings, recursively."""
    if isinstance(value, Mapping):
        return {key: plain(one) for key, one in value.items()}
    if isinstance(value, (list, tuple)):
        return type(value)(map(plain, value)) if type(value) in (list, tuple) else [plain(one) for one in value]
    if isinstance(value, os.PathLike):
        return os.fspath(value)
    # Of a NumPy or TensorFlow scalar; neither is imported for this.
    return value.item() if hasattr(value, "dtype") and getattr(value, "shape", None) == () else value


def shown(value: Any) -> str:
    """Return the repr of a value for an error message, truncated to 200 characters."""
    text = repr(value)
    return text if len(text) <= 200 else f"{text[:200]}... ({len(text)} characters)"
