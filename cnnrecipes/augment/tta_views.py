"""Views of an image for test-time augmentation, written as operations are: `"ten_crop(short_side=256)"`.

A view is one class with its fields and the crops that it shows; `runs/tta.py` averages the predictions over them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Annotated

from pydantic import Field

from cnnrecipes._support.lazy import lazy_module
from cnnrecipes.errors import RecipeError
from cnnrecipes.syntax.call_syntax import Call
from cnnrecipes.syntax.registry import Registry

if TYPE_CHECKING:
    import numpy as np
else:
    np = lazy_module("numpy")

# A square of 4096 x 4096 is the largest whole image that `runs/tta.py` accepts (MAX_WHOLE).
Side = Annotated[int, Field(ge=4, le=4096)]
# resized(): the image as in validation, in the model's size; resized(size, short_side): scaled to that short side, or
# else to cover the size (height, width), and center-cropped to it; None: the model's size.
Resized = Callable[..., "np.ndarray"]


class View(Call):
    """Base class of views: the crops of one image, of size height x width, whose predictions are averaged."""

    def crops(self, resized: Resized, height: int, width: int) -> list[np.ndarray]:
        """Return the crops (height, width, C), uint8; the unchanged image is first.

        Args:
            resized: function of (size=None, short_side=None) that resizes the image; see `Resized`.
            height, width: image size of the model in pixels.
        """
        raise NotImplementedError(f"{type(self).__name__} must define crops()")

    def whole_sides(self, size: int) -> tuple[int, ...]:
        """Return the short sides, in pixels, at which the whole image is shown instead of crops; none by default.

        Args:
            size: the smaller of the model's height and width.
        """
        return ()

    def check(self, height: int, width: int) -> None:
        """Raise RecipeError if the view does not fit a model of this image size."""


VIEWS: Registry[View] = Registry("view", View, __package__)
view = VIEWS.register


class _CentralView(View):
    short_side: Side | None = None

    def check(self, height, width):
        size = min(height, width)
        if self.short_side is not None and self.short_side < size:
            raise RecipeError(
                f"the view's short_side {self.short_side} is below the model's size {size}; give at least {size}"
            )


@view("center", "centre")
class Center(_CentralView):
    """The image as in validation; with `short_side`, resized to that short side in pixels, then center-cropped."""

    def crops(self, resized, height, width):
        return [resized(short_side=self.short_side)]


@view("flip_lr")
class FlipLR(View):
    """The image and its horizontal flip."""

    def crops(self, resized, height, width):
        image = resized()
        return [image, image[:, ::-1]]


@view("shift")
class Shift(View):
    """The image, and translated by `pixels` up and left, and down and right; borders reflected (Jordan 2024, 3.5)."""

    pixels: int = Field(default=1, ge=1)

    def crops(self, resized, height, width):
        image, n = resized(), self.pixels
        padded = np.pad(image, [(n, n), (n, n), (0, 0)], "reflect")
        return [image, padded[2 * n :, 2 * n :], padded[:height, :width]]

    def check(self, height, width):
        size = min(height, width)
        if self.pixels >= size:
            raise RecipeError(
                f"the view shift moves images by {self.pixels} pixels, and their short side is {size}; give fewer"
            )


@view("five_crop")
class FiveCrop(_CentralView):
    """The four corners and the center, after resizing the short side to `short_side` (default: 8/7 of the model's)."""

    def crops(self, resized, height, width):
        size = min(height, width)
        scale = (self.short_side or round(size * 8 / 7)) / size
        larger = round(height * scale), round(width * scale)
        region = resized(larger)
        bottom, right = larger[0] - height, larger[1] - width
        corners = [(0, 0), (0, right), (bottom, 0), (bottom, right), (bottom // 2, right // 2)]
        return [region[top : top + height, left : left + width] for top, left in corners]


@view("ten_crop")
class TenCrop(FiveCrop):
    """The crops of `five_crop` and their horizontal flips (Krizhevsky et al. 2012, section 4.1)."""

    def crops(self, resized, height, width):
        crops = super().crops(resized, height, width)
        return crops + [crop[:, ::-1] for crop in crops]


@view("multi_scale")
class MultiScale(View):
    """The whole image at several short sides, in pixels (default: 1, 8/7, 12/7, 15/7, 20/7 of the model's size).

    He et al. 2015, section 3.4. For a model of 224 pixels the defaults are the paper's 224, 256, 384, 480 and 640.
    """

    short_sides: Annotated[tuple[Side, ...], Field(strict=False, min_length=1)] | None = None

    def whole_sides(self, size):
        return self.short_sides or tuple(round(size * sevenths / 7) for sevenths in (7, 8, 12, 15, 20))


def parse_views(texts: str | Sequence[str]) -> list[View]:
    """Parse one view or several. Raises RecipeError for an invalid call, UnknownNameError for an unknown name."""
    texts = [texts] if isinstance(texts, str) else texts
    if not isinstance(texts, (list, tuple)) or not texts or not all(isinstance(text, str) for text in texts):
        raise RecipeError(f"tta is {texts!r}; give one or several of the views {', '.join(VIEWS)}")
    return [VIEWS.parse(text) for text in texts]
