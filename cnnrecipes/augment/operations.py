"""The augmentations as a recipe writes them: `"pad_crop(4)"` is a name, its parameters and their ranges.

A class here says what may be written; `augment/apply.py` holds what each one does to a batch.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, model_validator

from cnnrecipes.errors import RecipeError
from cnnrecipes.syntax.call_syntax import Call, parse_call


def _rising(bounds: tuple[float, float]) -> tuple[float, float]:
    if not 0 < bounds[0] <= bounds[1]:
        raise ValueError("two numbers above 0, the smaller one first")
    return bounds


def _share(bounds: tuple[float, float]) -> tuple[float, float]:
    if bounds[1] > 1:
        raise ValueError("shares, at most 1")
    return bounds


Probability = Annotated[float, Field(ge=0, le=1)]
Range = Annotated[tuple[float, float], Field(strict=False), AfterValidator(_rising)]
ShareRange = Annotated[Range, AfterValidator(_share)]
# What stands where an image gives nothing: the training split's mean colour, a mirror image, or one gray value.
Fill = Literal["mean"] | Annotated[int, Field(ge=0, le=255)]


class Operation(Call):
    """One augmentation and its parameters."""


class Framing(Operation):
    """How a part of the image is chosen and brought to size while it is read; stands first in a list, or nowhere."""

    size: int | None = Field(default=None, ge=4, description="height and width of the result; none: data.image_size")


class Mix(Operation):
    """Mixes two images and their labels; stands last. Where several do, each image draws one of them."""

    alpha: float = Field(default=1.0, gt=0, description="the share of an image is drawn from Beta(alpha, alpha)")


class RandomResizedCrop(Framing):
    """A part of random area and proportions, resized (Szegedy et al. 2014, "Going deeper", section 6)."""

    scale: ShareRange = Field(default=(0.08, 1.0), description="the part's area as a share of the image's")
    ratio: Range = Field(default=(3 / 4, 4 / 3), description="its width to its height")


class RandomCrop(Framing):
    """Resize the short side to a length, or a random one of a range, and crop (Simonyan & Zisserman 2014, 3.1)."""

    short_side: Annotated[tuple[int, int], Field(strict=False)] | int | None = Field(
        default=None, description="in pixels; none: 8/7 of the size, as 256 for 224"
    )

    @model_validator(mode="after")
    def _large_enough(self):
        if self.short_side is not None:
            low, high = self.short_side if isinstance(self.short_side, tuple) else (self.short_side,) * 2
            if not max(self.size or 1, 1) <= low <= high:
                raise ValueError(f"short_side {self.short_side} is below the size, or falls")
        return self


class PadCrop(Operation):
    """Pad every side by `padding` pixels and crop the original size at random (He et al. 2015, section 4.2)."""

    padding: int = Field(default=4, ge=0)
    fill: Fill | Literal["reflect"] = "mean"


class FlipLR(Operation):
    """Mirror left and right with this probability."""

    probability: Probability = 0.5


class FlipUD(Operation):
    """Mirror top and bottom with this probability."""

    probability: Probability = 0.5


class AlternatingFlipLR(Operation):
    """Mirror every second showing of an image, the first one of half of them (Jordan 2024, "94% on CIFAR-10", 3.6)."""


class Rotate(Operation):
    """Turn about the centre by an angle of -degrees to degrees."""

    degrees: float = Field(default=15.0, ge=0, le=180)
    fill: Fill = "mean"


class Translate(Operation):
    """Shift by up to this share of height and of width, either way."""

    share: Probability = 0.1
    fill: Fill = "mean"


class Shear(Operation):
    """Slant rows and columns by up to this many pixels a pixel, either way."""

    slope: Probability = 0.2
    fill: Fill = "mean"


class ColourJitter(Operation):
    """Multiply contrast, brightness, saturation by factors of 1 - x to 1 + x; turn the hue by up to x of its circle."""

    brightness: float = Field(default=0.4, ge=0)
    contrast: float = Field(default=0.4, ge=0)
    saturation: float = Field(default=0.4, ge=0)
    hue: float = Field(default=0.1, ge=0, le=0.5)


class Grayscale(Operation):
    """Take the colour away, with this probability."""

    probability: Probability = 0.1


class Sharpness(Operation):
    """Sharpen or smooth by a factor of 1 - amount to 1 + amount."""

    amount: float = Field(default=0.5, ge=0)


class Blur(Operation):
    """Gaussian blur of a random width, with this probability."""

    probability: Probability = 0.5
    sigma: Range = Field(default=(0.1, 2.0), description="standard deviation in pixels")


class Noise(Operation):
    """Add Gaussian noise of this standard deviation, on the scale 0..255, to every value."""

    std: float = Field(default=8.0, ge=0, le=255)


class Cutout(Operation):
    """Cover one square of `size` pixels, centred at random and clipped at the border (DeVries & Taylor 2017)."""

    size: int = Field(default=8, ge=1)
    fill: Fill | Literal["noise"] = "mean"


class RandomErasing(Operation):
    """Cover a rectangle of random area and proportions, with this probability (Zhong et al. 2017, algorithm 1)."""

    probability: Probability = 0.25
    scale: ShareRange = Field(default=(0.02, 0.33), description="its area as a share of the image's")
    ratio: Range = Field(default=(0.3, 3.3), description="its width to its height")
    fill: Fill | Literal["noise"] = "mean"


class Solarize(Operation):
    """Invert the values from `threshold` on, with this probability."""

    threshold: int = Field(default=128, ge=0, le=256)
    probability: Probability = 0.2


class Posterize(Operation):
    """Keep the upper `bits` of 8 of every value, with this probability."""

    bits: int = Field(default=4, ge=1, le=8)
    probability: Probability = 0.2


class Autocontrast(Operation):
    """Stretch each channel to 0..255, with this probability."""

    probability: Probability = 0.2


class Equalize(Operation):
    """Equalize each channel's histogram, with this probability."""

    probability: Probability = 0.2


class RandAugment(Operation):
    """`ops` random transformations of one magnitude, 0..30 (Cubuk et al. 2019, "RandAugment")."""

    ops: int = Field(default=2, ge=1, le=8)
    magnitude: int = Field(default=9, ge=0, le=30)
    fill: Fill = "mean"


class TrivialAugment(Operation):
    """One random transformation of a random magnitude (Müller & Hutter 2021, "TrivialAugment", the wide space)."""

    fill: Fill = "mean"


class AutoAugment(Operation):
    """One of the learned policies' 25 pairs of transformations (Cubuk et al. 2018, tables 7 and 9)."""

    policy: Literal["cifar10", "imagenet"] = "imagenet"
    fill: Fill = "mean"


class AugMix(Operation):
    """Mix an image with `width` chains of 1 to `depth` transformations (Hendrycks et al. 2019, algorithm 1)."""

    severity: int = Field(default=3, ge=1, le=10)
    width: int = Field(default=3, ge=1, le=6)
    depth: int = Field(default=3, ge=1, le=6)
    alpha: float = Field(default=1.0, gt=0)
    fill: Fill = "mean"


class MixUp(Mix):
    """A weighted mean of two images, and of their labels (Zhang et al. 2017, "mixup")."""

    alpha: float = Field(default=0.2, gt=0)


class CutMix(Mix):
    """A rectangle of another image, and its share of the label (Yun et al. 2019, "CutMix", section 3.1)."""


OPERATIONS: dict[str, type[Operation]] = {
    "random_resized_crop": RandomResizedCrop,
    "random_crop": RandomCrop,
    "pad_crop": PadCrop,
    "flip_lr": FlipLR,
    "flip_ud": FlipUD,
    "alternating_flip_lr": AlternatingFlipLR,
    "rotate": Rotate,
    "translate": Translate,
    "shear": Shear,
    "colour_jitter": ColourJitter,
    "grayscale": Grayscale,
    "sharpness": Sharpness,
    "blur": Blur,
    "noise": Noise,
    "cutout": Cutout,
    "random_erasing": RandomErasing,
    "solarize": Solarize,
    "posterize": Posterize,
    "autocontrast": Autocontrast,
    "equalize": Equalize,
    "rand_augment": RandAugment,
    "trivial_augment": TrivialAugment,
    "auto_augment": AutoAugment,
    "aug_mix": AugMix,
    "mixup": MixUp,
    "cutmix": CutMix,
}


def parse_list(texts: Sequence[str]) -> list[Operation]:
    """Read a recipe's list. Raises RecipeError at one that cannot be read, or that stands where it cannot."""
    ops = [parse(text) for text in texts]
    for place, (text, op) in enumerate(zip(texts, ops, strict=True)):
        if isinstance(op, Framing) and place > 0:
            raise RecipeError(f"{text!r} frames the image while it is read; put it first, and only one such")
        if isinstance(op, Mix) and not all(isinstance(later, Mix) for later in ops[place:]):
            raise RecipeError(f"{text!r} mixes whole images and their labels; put it last")
    return ops


def parse(text: str, known: Mapping[str, type[Operation]] = OPERATIONS, kind: str = "augmentation") -> Operation:
    """Read one operation: `flip_lr`, `pad_crop(4)` or `cutout(size=8, fill="mean")`; values are Python literals.

    Raises:
        RecipeError: not of that form, an unknown name or parameter, or a value out of range.
    """
    return parse_call(text, known, kind)
