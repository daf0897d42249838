"""Test-time augmentation views, in the call syntax of operations, for example `"ten_crop(short_side=256)"`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

from pydantic import Field

from cnnrecipes.augment.operations import Operation, parse
from cnnrecipes.errors import RecipeError

# The largest square image that one forward pass may hold (tta.MAX_WHOLE).
Side = Annotated[int, Field(ge=4, le=4096)]


class Centre(Operation):
    """The centre crop of validation; with `short_side`, the image is resized to that before the crop."""

    short_side: Side | None = None


class FlipLR(Operation):
    """The centre crop and its horizontal flip."""


class Shift(Operation):
    """The centre crop, and it shifted by `pixels` up-left and down-right; borders reflected (Jordan 2024, 3.5)."""

    pixels: int = Field(default=1, ge=1)


class FiveCrop(Operation):
    """Four corner crops and a centre crop of the central part with the input's aspect ratio, resized to `short_side`.

    None: 8/7 of the input's short side.
    """

    short_side: Side | None = None


class TenCrop(FiveCrop):
    """The crops of `five_crop` and their horizontal flips (Krizhevsky et al. 2012, section 4.1)."""


class MultiScale(Operation):
    """The whole image at several short sides (He et al. 2015, section 3.4); default: 1 to 20/7 of the input size.

    For an input size of 224 these are the paper's 224, 256, 384, 480 and 640.
    """

    short_sides: Annotated[tuple[Side, ...], Field(strict=False, min_length=1)] | None = None

    def sides(self, size: int) -> tuple[int, ...]:
        """Return the short sides in pixels for a model of this input size."""
        return self.short_sides or tuple(round(size * sevenths / 7) for sevenths in (7, 8, 12, 15, 20))


VIEWS: dict[str, type[Operation]] = {
    "centre": Centre,
    "flip_lr": FlipLR,
    "shift": Shift,
    "five_crop": FiveCrop,
    "ten_crop": TenCrop,
    "multi_scale": MultiScale,
}


def parse_views(texts: str | Sequence[str]) -> list[Operation]:
    """Parse one view or a list of views.

    Raises:
        RecipeError: not a view or a non-empty list of views; as `operations.parse`.
        UnknownNameError: no such view.
    """
    texts = [texts] if isinstance(texts, str) else texts
    if not isinstance(texts, (list, tuple)) or not texts or not all(isinstance(text, str) for text in texts):
        raise RecipeError(f"tta is {texts!r}; give a view or a list of views, of {', '.join(VIEWS)}")
    return [parse(text, VIEWS, "view") for text in texts]
