"""Recipe files and overrides: TOML parsing and merging of nested tables."""

from __future__ import annotations

import copy
import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from cnnrecipes.errors import RecipeError
from cnnrecipes.recipe.values import check_nesting

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib


def read_toml(path: Path) -> dict[str, Any]:
    """Read the tables of a TOML file. Raise RecipeError if it cannot be read or is not TOML."""
    try:
        tables = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise RecipeError(f"cannot read the recipe {path}: {error}; check the path and the encoding (UTF-8)") from None
    except tomllib.TOMLDecodeError as error:
        raise RecipeError(f"{path} is not TOML: {error}; correct the line") from None
    except RecursionError:
        raise RecipeError(f"{path}: values are nested too deep; use at most 3 levels") from None
    check_nesting(tables, str(path))
    return tables


def merge(base: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    """Return a deep merge of two nested tables, in which `over` takes precedence; neither is modified."""
    result = copy.deepcopy(dict(base))
    for key, value in over.items():
        both_tables = isinstance(value, Mapping) and isinstance(result.get(key), Mapping)
        result[key] = merge(result[key], value) if both_tables else copy.deepcopy(value)
    return result


def parse_override(text: str) -> tuple[str, Any]:
    """Parse "train.epochs=5" into key and value; a value that is not TOML is a string.

    Raise RecipeError if the text is not of the form key=value.
    """
    key, equals, value = text.partition("=")
    if not equals or not key.strip():
        raise RecipeError(f"cannot read {text!r}; write a change as key=value, for example train.epochs=5")
    try:
        tables = tomllib.loads(f"value = {value}")
    except tomllib.TOMLDecodeError:
        return key.strip(), value
    except RecursionError:
        raise RecipeError(f"{key.strip()}: the value is nested too deep; use at most 3 levels") from None
    return key.strip(), tables["value"] if list(tables) == ["value"] else value


def write_override(key: str, value: Any) -> str:
    """Return "train.epochs=5", from which `parse_override` returns the key and the value."""
    if isinstance(value, str):
        plain = f"{key}={value}"
        return plain if parse_override(plain) == (key, value) else f"{key}={json.dumps(value)}"
    return f"{key}={json.dumps(value)}"
