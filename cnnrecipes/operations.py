"""The augmentations as a recipe writes them: `"pad_crop(4)"` is a name, its parameters and their ranges.

A class here says what may be written; `data/augment.py` holds what each one does to a batch.
"""

from __future__ import annotations

import ast
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from cnnrecipes.errors import RecipeError, UnknownNameError, nearest

# What stands where an image gives nothing: the training split's mean colour, a mirror image, or one gray value.
Fill = Literal["mean"] | Annotated[int, Field(ge=0, le=255)]


class Operation(BaseModel):
    """One augmentation and its parameters."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


class PadCrop(Operation):
    """Pad every side by `padding` pixels and crop the original size at random (He et al. 2015, section 4.2)."""

    padding: int = Field(default=4, ge=0)
    fill: Fill | Literal["reflect"] = "mean"


class FlipLR(Operation):
    """Mirror left and right with this probability."""

    probability: float = Field(default=0.5, ge=0, le=1)


class Cutout(Operation):
    """Cover one square of `size` pixels, centred at random and clipped at the border (DeVries & Taylor 2017)."""

    size: int = Field(default=8, ge=1)
    fill: Fill = "mean"


OPERATIONS: dict[str, type[Operation]] = {"pad_crop": PadCrop, "flip_lr": FlipLR, "cutout": Cutout}


def parse(text: str) -> Operation:
    """Read one operation: `flip_lr`, `pad_crop(4)` or `cutout(size=8, fill="mean")`; values are Python literals.

    Raises:
        RecipeError: not of that form, an unknown name or parameter, or a value out of range.
    """
    try:
        call = ast.parse(text.strip(), mode="eval").body
        name, args, keywords = (call.func, call.args, call.keywords) if isinstance(call, ast.Call) else (call, [], [])
        positional = [ast.literal_eval(arg) for arg in args]
        named = {keyword.arg: ast.literal_eval(keyword.value) for keyword in keywords}
        name = name.id
        if None in named:
            raise ValueError("a dictionary of values")
    except (SyntaxError, ValueError, AttributeError, TypeError):
        raise RecipeError(f"cannot read the operation {text!r}; write it as 'name' or 'name(4, key=5)'") from None
    if name not in OPERATIONS:
        raise UnknownNameError("augmentation", name, OPERATIONS)
    cls = OPERATIONS[name]
    fields = list(cls.model_fields)
    if len(positional) > len(fields) or set(fields[: len(positional)]) & set(named):
        raise RecipeError(f"{text!r} gives too many values; {name} takes {', '.join(fields)}, each once")
    try:
        return cls(**dict(zip(fields, positional, strict=False)), **named)
    except ValidationError as error:
        first = error.errors()[0]
        key = str(first["loc"][0])
        if first["type"] == "extra_forbidden":
            raise RecipeError(f"{text!r}: {name} has no parameter {key!r}{nearest(key, fields)}") from None
        allowed = " or ".join(
            item["msg"].removeprefix("Input should be ") for item in error.errors() if item["loc"][0] == key
        )
        raise RecipeError(f"{text!r}: {name}'s {key} is {first['input']!r}; it should be {allowed}") from None
