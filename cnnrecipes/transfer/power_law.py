"""Power law of the error over the number of training images, error = a + b n^-c, and what twice as many would bring.

The form is that of Hestness et al. 2017 (arXiv:1712.00409, section 3) and Rosenfeld et al. 2020 (arXiv:1909.12673): a
is the error that no number of images removes, and c the rate at which the rest falls.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from scipy import optimize

LEAST = 4  # sizes: the law has three parameters
_LAST = 6  # sizes at the end of the curve that the fit takes: near chance the error follows no power law
_DRAWS = 500  # of the bootstrap
_EXPONENTS = (0.02, 3.0)  # bounds of c
_GRID = np.geomspace(*_EXPONENTS, 25)
_BAD = 3.0  # standard errors by which a size may miss the law
_FLAT = 0.0005  # decrease of the error over the sizes below which none was seen
_HARDLY = 0.01  # gain of the accuracy; one below this is not worth twice the images


@dataclass(frozen=True)
class PowerLaw:
    """error = a + b n^-c, with a in 0..1, b >= 0 and c in 0.02..3.

    Attributes:
        a, b, c: the parameters.
    """

    a: float
    b: float
    c: float

    def error(self, images: float | np.ndarray) -> float | np.ndarray:
        """Return the error, 0..1, with so many training images."""
        return self.a + self.b * np.asarray(images, float) ** -self.c

    def gain(self, images: int) -> float:
        """Return by how much the accuracy grows with twice as many images."""
        return float(self.error(images) - self.error(2 * images))


@dataclass(frozen=True)
class Doubling:
    """Extrapolated accuracy with twice the training images.

    Attributes:
        images: number of training images now.
        gain: change of the accuracy, 0..1.
        gain_95: its 95% interval.
        accuracy: accuracy with all images now.
        sizes: number of sizes that the extrapolation takes; 0: there are too few.
        law: the fitted power law; None if there are too few sizes.
        miss: largest distance of a size from the law, in the accuracy, and `miss_errors` in its standard errors.
        miss_at: number of images of that size.
        decrease: by how much the law's error falls from the first of the sizes to the last.
    """

    images: int
    gain: float
    gain_95: tuple[float, float]
    accuracy: float
    sizes: int
    law: PowerLaw | None = None
    miss: float = 0.0
    miss_errors: float = 0.0
    miss_at: int = 0
    decrease: float = 0.0

    @property
    def is_bad(self) -> bool:
        """True if the accuracy at one of the sizes is farther from the law than chance explains."""
        return self.miss_errors > _BAD

    @property
    def is_flat(self) -> bool:
        """True if the error did not decrease over the sizes, from which no power law can be told."""
        return self.decrease < _FLAT

    def __str__(self) -> str:
        if self.law is None:
            return f"The sizes are too few to tell what more images would bring; at least {LEAST} are needed."
        if self.is_bad:
            return (
                f"What more images would bring cannot be told: no power law fits the last {self.sizes} sizes. The best "
                f"one misses the accuracy with {self.miss_at:,} images by {100 * self.miss:.1f} points, "
                f"{self.miss_errors:.1f} times its standard error."
            )
        if self.is_flat:
            return (
                f"More images brought no gain so far: no decrease of the error was seen over the last {self.sizes} "
                f"sizes, and the validation accuracy is {self.accuracy:.1%} now. What twice as many would bring cannot "
                "be told."
            )
        low, high = (f"{100 * bound:.1f}" for bound in self.gain_95)
        law = f"error = {self.law.a:.3g} + {self.law.b:.3g} n^-{self.law.c:.2f}"
        what = (
            f"{2 * self.images:,} training images instead of {self.images:,} would bring about {100 * self.gain:.1f} "
            f"points of validation accuracy, now {self.accuracy:.1%} (95% interval {low} to {high}), by the power law "
            f"{law} through the last {self.sizes} sizes"
        )
        if self.gain_95[1] < _HARDLY:
            return f"More images will hardly help: {what}."
        if self.gain < _HARDLY:
            return f"More images may help a little: {what}."
        unsure = "; the interval begins near 0, so it is not certain that they help" if self.gain_95[0] < 0.001 else ""
        return f"More images would help: {what}{unsure}."


def fit_power_law(images: Sequence[int], errors: Sequence[float] | np.ndarray, validation: int) -> PowerLaw:
    """Fit a power law to errors by weighted least squares within the bounds of its parameters.

    For each c the best a and b are known; c is found by a grid and bounded minimization around its best point. The
    weights are those of binomial errors.

    Args:
        images: numbers of training images.
        errors: error of each, 0..1.
        validation: number of images on which they were measured.
    """
    counts, values = np.asarray(images, float), np.asarray(errors, float)
    scale = counts[-1]
    smoothed = (values * validation + 0.5) / (validation + 1)
    weights = 1 / (smoothed * (1 - smoothed))

    def loss(c: float) -> float:
        return _linear_fit((counts / scale) ** -c, values, weights)[2]

    best = int(np.argmin([loss(c) for c in _GRID]))
    low, high = _GRID[max(best - 1, 0)], _GRID[min(best + 1, len(_GRID) - 1)]
    found = optimize.minimize_scalar(loss, bounds=(low, high), method="bounded", options={"xatol": 1e-4})
    c = float(found.x) if found.fun < loss(_GRID[best]) else float(_GRID[best])
    a, b, _ = _linear_fit((counts / scale) ** -c, values, weights)
    return PowerLaw(a, b * scale**c, c)


def doubling(hits: Mapping[int, np.ndarray], rng: np.random.Generator) -> Doubling:
    """Extrapolate the accuracy to twice the images by a power law through the last sizes, at most 6.

    The interval is a bootstrap over validation images and drawn subsets (or trainings): all sizes are measured on the
    same images, so most of their chance cancels. It does not contain the error of assuming a power law.

    Args:
        hits: number of training images to (repeats, validation images), True where the prediction is right.
        rng: of the bootstrap.
    """
    counts = sorted(hits)
    used = counts[-_LAST:]
    now = float(hits[counts[-1]].mean())
    if len(used) < LEAST:
        return Doubling(counts[-1], 0.0, (0.0, 0.0), now, 0)
    n = hits[counts[-1]].shape[1]
    errors = np.array([1 - hits[count].mean() for count in used])
    law = fit_power_law(used, errors, n)
    rest = errors - law.error(np.array(used))
    gains, rests = [], []
    for _ in range(_DRAWS):
        columns = rng.integers(n, size=n)
        rows = [rng.integers(len(hits[count]), size=len(hits[count])) for count in used]
        drawn = np.array([1 - hits[count][np.ix_(row, columns)].mean() for count, row in zip(used, rows, strict=True)])
        one = fit_power_law(used, drawn, n)
        gains.append(one.gain(counts[-1]))
        rests.append(drawn - one.error(np.array(used)))
    low, high = np.percentile(gains, [2.5, 97.5])
    deviations = np.maximum(np.std(rests, axis=0), 0.5 / n)
    worst = int(np.argmax(np.abs(rest) / deviations))
    return Doubling(
        counts[-1],
        law.gain(counts[-1]),
        (float(low), float(high)),
        now,
        len(used),
        law,
        float(abs(rest[worst])),
        float(abs(rest[worst]) / deviations[worst]),
        used[worst],
        float(law.error(used[0]) - law.error(used[-1])),
    )


def _linear_fit(power: np.ndarray, values: np.ndarray, weights: np.ndarray) -> tuple[float, float, float]:
    """Return a >= 0 and b >= 0 of the weighted least squares values = a + b power, and the sum of squares."""
    whole = weights.sum()
    mean_power, mean = (weights * power).sum() / whole, (weights * values).sum() / whole
    variance = (weights * (power - mean_power) ** 2).sum()
    b = float((weights * (power - mean_power) * values).sum() / variance) if variance > 0 else 0.0
    a = float(mean - b * mean_power)
    if b < 0:
        a, b = float(mean), 0.0
    elif a < 0:
        a, b = 0.0, float((weights * power * values).sum() / (weights * power**2).sum())
    return a, b, float((weights * (values - a - b * power) ** 2).sum())
