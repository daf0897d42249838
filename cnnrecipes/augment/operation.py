"""Augmentation operations: base classes and registry; `"pad_crop(4)"` in a recipe is a call of a registered class.

An operation is one class, in any module: its fields are the parameters that a recipe may give.

    @operation("invert")
    class Invert(Operation):
        '''Invert the values of an image with `probability`.'''

        probability: Probability = 0.5

        def apply(self, images, draws, mean):
            return where(draws[:, 0] < self.probability, 255 - images, images)

The modules of this package are imported when a name is first looked up. A module outside of the package registers its
operations when it is imported; the environment variable CNNRECIPES_PLUGINS lists modules for the command line.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

from pydantic import AfterValidator, Field

from cnnrecipes.errors import RecipeError
from cnnrecipes.syntax.call_syntax import Call
from cnnrecipes.syntax.registry import Registry

if TYPE_CHECKING:
    import tensorflow as tf


def _increasing(bounds: tuple[float, float]) -> tuple[float, float]:
    if not 0 < bounds[0] <= bounds[1]:
        raise ValueError("two numbers above 0, the smaller one first")
    return bounds


def _at_most_1(bounds: tuple[float, float]) -> tuple[float, float]:
    if bounds[1] > 1:
        raise ValueError("two fractions of at most 1")
    return bounds


Probability = Annotated[float, Field(ge=0, le=1)]
Range = Annotated[tuple[float, float], Field(strict=False), AfterValidator(_increasing)]
FractionRange = Annotated[Range, AfterValidator(_at_most_1)]
# Fill value of pixels without a source: the mean color of the training split, or one gray value.
Fill = Literal["mean"] | Annotated[int, Field(ge=0, le=255)]


class Operation(Call):
    """Base class of augmentation operations.

    Attributes:
        draws: uniform random numbers that `apply` takes per image, at most 256; a property where the fields decide.
        alternates: draw once per example for a whole run, and replace each draw by its complement to 1 every second
            time that the example is shown.
    """

    draws: ClassVar[int] = 1
    alternates: ClassVar[bool] = False

    def apply(self, images: tf.Tensor, draws: tf.Tensor, mean: Sequence[float]) -> tf.Tensor:
        """Apply the operation to a batch; a deterministic function of its arguments, each image by itself.

        Args:
            images: (N, H, W, C), uint8, 0..255; C is 1 or 3. H, W and C are static.
            draws: (N, `self.draws`), float32, uniform in [0, 1).
            mean: (C,), mean color of the training split, 0..255.

        Returns:
            (N, H, W, C), uint8.
        """
        raise NotImplementedError(f"{type(self).__name__} must define apply()")


class CropWhileDecoding(Operation):
    """Base class of random crops applied while an image is decoded; only the first of `augment.ops` may be one.

    The crop is resized to the size of the batch; of a JPEG only the crop is decoded (`data/images/random_crop.py`).
    """

    size: int | None = Field(default=None, ge=4, description="height and width of the result; None: data.image_size")

    def box(self, draws: tf.Tensor, height: tf.Tensor, width: tf.Tensor) -> tuple[tf.Tensor, ...]:
        """Return top, left, rows, columns of the crop in pixels, int32 scalars.

        Args:
            draws: (`self.draws`,), float32, uniform in [0, 1).
            height, width: size of the image in pixels, int32 scalars.
        """
        raise NotImplementedError(f"{type(self).__name__} must define box()")


class Mix(Operation):
    """Base class of operations that mix images and labels, last in `augment.ops`; of several, each image draws one."""

    alpha: float = Field(default=1.0, gt=0, description="an image's weight is drawn from Beta(alpha, alpha)")

    def mix(
        self, images: tf.Tensor, others: tf.Tensor, weights: tf.Tensor, draws: tf.Tensor
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """Mix each image with another one.

        Args:
            images, others: (N, H, W, C), uint8, 0..255.
            weights: (N,), float32, 0..1, drawn from Beta(alpha, alpha).
            draws: (N, 2), float32, uniform in [0, 1).

        Returns:
            the mixed images (N, H, W, C), uint8, and the weight (N,) of each image's own label.
        """
        raise NotImplementedError(f"{type(self).__name__} must define mix()")


OPERATIONS: Registry[Operation] = Registry("augmentation", Operation, __package__)
operation = OPERATIONS.register


def parse(text: str) -> Operation:
    """Parse one operation: `flip_lr`, `pad_crop(4)` or `cutout(size=8, fill="mean")`; values are Python literals.

    Raises:
        RecipeError: invalid syntax, an unknown name or parameter, or a value out of range.
    """
    return OPERATIONS.parse(text)


def parse_list(texts: Sequence[str]) -> list[Operation]:
    """Parse `augment.ops` of a recipe. Raises RecipeError for an invalid operation, or one at the wrong position."""
    ops = [parse(text) for text in texts]
    for place, (text, op) in enumerate(zip(texts, ops, strict=True)):
        if isinstance(op, CropWhileDecoding) and place > 0:
            raise RecipeError(f"{text!r} crops while an image is decoded; put it first, and only one such operation")
        if isinstance(op, Mix) and not all(isinstance(later, Mix) for later in ops[place:]):
            raise RecipeError(f"{text!r} mixes whole images and their labels; put it last")
    return ops
