"""Call syntax of recipe values, a name with parameters: `"pad_crop(4)"`, `"step('30 epochs', factor=0.1)"`."""

from __future__ import annotations

import ast
from collections.abc import Mapping
from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

from cnnrecipes.errors import RecipeError, UnknownNameError, nearest


class Call(BaseModel):
    """Base class of calls: the fields are the parameters, in the order of positional arguments."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, validate_default=True, allow_inf_nan=False)


Kind = TypeVar("Kind", bound=Call)


def write_call(call: Call, known: Mapping[str, type[Call]]) -> str:
    """Return a call as text that `parse_call` accepts: the name and the non-default parameters, by keyword."""
    name = next(name for name, kind in known.items() if kind is type(call))
    given = {key: value for key, value in call if value != type(call).model_fields[key].default}
    return f"{name}({', '.join(f'{key}={_literal(value)}' for key, value in given.items())})" if given else name


def signature(kind: type[Call]) -> str:
    """Return the parameters of a class with their defaults, for documentation: "(size=8, fill='mean')", "" if none."""
    fields = kind.model_fields.items()
    text = ", ".join(name if one.is_required() else f"{name}={_literal(_rounded(one.default))}" for name, one in fields)
    return f"({text})" if text else ""


def _rounded(value: object) -> object:
    """Return a number, or the numbers of a tuple, with 4 significant digits."""
    if isinstance(value, tuple):
        return tuple(map(_rounded, value))
    return float(f"{value:.4g}") if isinstance(value, float) else value


def _literal(value: object) -> str:
    """Return a value as a Python literal; a duration becomes a string."""
    if isinstance(value, (tuple, list)):
        return f"[{', '.join(map(_literal, value))}]"
    return repr(value if isinstance(value, (str, int, float, type(None))) else str(value))


def _parts(text: str) -> tuple[str, list[Any], dict[str, Any]]:
    """Return the name, the positional and the keyword arguments of a call. Raise SyntaxError, ValueError or others."""
    call = ast.parse(text.strip(), mode="eval").body
    function, args, keywords = (call.func, call.args, call.keywords) if isinstance(call, ast.Call) else (call, [], [])
    if not isinstance(function, ast.Name):
        raise ValueError("not a name")
    named = {}
    for keyword in keywords:
        if keyword.arg is None:
            raise ValueError("** arguments")
        named[keyword.arg] = ast.literal_eval(keyword.value)
    return function.id, [ast.literal_eval(arg) for arg in args], named


def parse_call(text: str, known: Mapping[str, type[Kind]], kind: str) -> Kind:
    """Parse a call: `flip_lr`, `pad_crop(4)` or `cutout(size=8, fill="mean")`; values are Python literals.

    Args:
        text: the call.
        known: the allowed classes, by name.
        kind: noun for error messages, for example "operation".

    Raises:
        RecipeError: invalid syntax, an unknown name or parameter, or a value out of range.
    """
    try:
        name, positional, named = _parts(text)
    except (SyntaxError, ValueError, AttributeError, TypeError):
        raise RecipeError(f"cannot read the {kind} {text!r}; write it as 'name' or 'name(4, key=5)'") from None
    if name not in known:
        raise UnknownNameError(kind, name, known)
    cls = known[name]
    fields = list(cls.model_fields)
    if len(positional) > len(fields) or set(fields[: len(positional)]) & set(named):
        raise RecipeError(f"{text!r} gives too many values; {name} takes {', '.join(fields)}, each once")
    try:
        return cls(**dict(zip(fields, positional, strict=False)), **named)
    except ValidationError as error:
        first = error.errors()[0]
        if not first["loc"]:
            raise RecipeError(f"{text!r}: {first['msg'].removeprefix('Value error, ')}") from None
        key = str(first["loc"][0])
        if first["type"] == "extra_forbidden":
            raise RecipeError(f"{text!r}: {name} has no parameter {key!r}{nearest(key, fields)}") from None
        if first["type"] == "missing":
            raise RecipeError(f"{text!r}: {name} needs its {key}; write it as {name}({key}=...)") from None
        allowed = " or ".join(
            item["msg"].removeprefix("Input should be ").removeprefix("Value error, ")
            for item in error.errors()
            if item["loc"][0] == key
        )
        should_be = "" if allowed.startswith(("a duration", "a time")) else "it should be "
        raise RecipeError(f"{text!r}: {name}'s {key} is {first['input']!r}; {should_be}{allowed}") from None
