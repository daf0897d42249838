"""Views of an image for test-time augmentation, written as operations are: `"ten_crop(short_side=256)"`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

from pydantic import Field

from cnnrecipes.augment.operations import Operation, parse
from cnnrecipes.errors import RecipeError

# A square of 4096 is all that a pass over a whole image may hold (tta.MAX_WHOLE).
Side = Annotated[int, Field(ge=4, le=4096)]


class Centre(Operation):
    """The image as validation sees it; with `short_side`, resized to that before the crop of its centre."""

    short_side: Side | None = None


class FlipLR(Operation):
    """That, and its mirror image."""


class Shift(Operation):
    """That, and it moved by so many pixels up and left, and down and right; borders mirrored (Jordan 2024, 3.5)."""

    pixels: int = Field(default=1, ge=1)


class FiveCrop(Operation):
    """The corners and the centre of the image's central part, of the model's proportions, with this short side.

    None: 8/7 of the model's.
    """

    short_side: Side | None = None


class TenCrop(FiveCrop):
    """Those and their mirror images (Krizhevsky et al. 2012, section 4.1)."""


class MultiScale(Operation):
    """The whole image, its short side as given, or 1, 8/7, 12/7, 15/7, 20/7 of the size (He et al. 2015, section 3.4).

    For a model of 224 these are the paper's 224, 256, 384, 480 and 640.
    """

    short_sides: Annotated[tuple[Side, ...], Field(strict=False, min_length=1)] | None = None

    def sides(self, size: int) -> tuple[int, ...]:
        """Lengths in pixels for a model of this size."""
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
    """Read one view or several. Raises RecipeError, or UnknownNameError, as `operations.parse` does."""
    texts = [texts] if isinstance(texts, str) else texts
    if not isinstance(texts, (list, tuple)) or not texts or not all(isinstance(text, str) for text in texts):
        raise RecipeError(f"tta is {texts!r}; give a view or a list of views, of {', '.join(VIEWS)}")
    return [parse(text, VIEWS, "view") for text in texts]
