"""Learning rates suggested by the loss curves of a sweep, and the test whether the curves are informative.

Functions of arrays: rates (n,), rising, and losses (k, n) of k seeds, in which NaN or infinity ends a curve.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from cnnrecipes.debug.loss_smoothing import MEDIAN, START, SmoothCurve, bandwidth_of, running_median, smooth

DIVERGED = 4.0  # a loss of so many times the lowest one has diverged, as in fastai
LEAST = 10  # losses of a curve that can be judged
SIGNIFICANT = 3.0  # standard errors that the fall of a loss must exceed
_EARLY = 0.25  # share of the fall between the first and the second tenth of the steps that is an early one
_BEGUN, _DONE = 0.1, 0.9  # shares of the fall at the ends of the usable range
# Values of `take`: the attribute of `Suggestions`, and its name in words.
TAKES = {
    "valley": ("valley", "valley"),
    "steepest": ("steepest", "steepest fall"),
    "minimum": ("minimum_tenth", "minimum / 10"),
    "high": ("high", "upper end of the usable range"),
}
# What trains best: the upper end if the rate decays, the valley if it does not (docs/debugging.md has the measurement).
TAKE, TAKE_UNDECAYED = "high", "valley"


@dataclass(frozen=True)
class Suggestions:
    """Learning rates that a loss curve suggests.

    Attributes:
        valley: the middle of the longest fall (fastai).
        steepest: where the loss falls fastest, by the logarithm of the rate.
        minimum_tenth: a tenth of the rate with the lowest loss.
        low, high: the usable range: the rates at which 10% and 90% of the fall are done.
    """

    valley: float
    steepest: float
    minimum_tenth: float
    low: float
    high: float

    def of(self, take: str) -> float:
        """Return the suggested learning rate that `take`, a key of `TAKES`, stands for; for example "valley"."""
        return float(getattr(self, TAKES[take][0]))


@dataclass(frozen=True)
class Reading:
    """Result of `read_curves`.

    Attributes:
        median: (m,) smoothed median of the seeds' losses, up to the divergence.
        start: loss at the start; NaN: the curve is too short.
        fall: `start` minus the lowest value of `median`.
        error: standard error of `fall`.
        suggestions: the median of the seeds'; None if `median` is uninformative.
        seeds: of each seed's own curve; None for an uninformative one.
        problem: why there are no suggestions, and what to do; "" if there are.
        remark: what limits the suggestions; "" if nothing does.
    """

    median: np.ndarray
    start: float
    fall: float
    error: float
    suggestions: Suggestions | None
    seeds: tuple[Suggestions | None, ...]
    problem: str
    remark: str = ""

    def spread(self, take: str) -> tuple[float, float] | None:
        """Return the lowest and the highest suggestion of the seeds that `take` names; None if no seed has one."""
        rates = [one.of(take) for one in self.seeds if one]
        return (min(rates), max(rates)) if rates else None


def has_diverged(losses: np.ndarray) -> bool:
    """Return True if a sweep should stop after the losses (n,) so far.

    The last one is not finite; or the running median of 5 losses, which spikes of two steps do not move, is above 4
    times its lowest value and above the median of the first 5.
    """
    if len(losses) and not np.isfinite(losses[-1]):
        return True
    if len(losses) < LEAST:
        return False
    recent = np.median(losses[-MEDIAN:])
    return bool(recent > DIVERGED * running_median(losses).min() and recent > np.median(losses[:MEDIAN]))


def read_curves(rates: np.ndarray, losses: np.ndarray) -> Reading:
    """Read suggestions from the loss curves of a sweep.

    The median of the seeds' losses at each rate, smoothed, decides whether there are suggestions; the curves are
    shifted to a common start before, since drawn weights begin at different losses. A suggestion is the median of those
    of the seeds' own curves, or that of the median curve if no more than half of the seeds have an informative one.
    A curve is informative if its fall, from the loss at the start to the lowest one, exceeds 3 standard errors of that
    difference, which the noise of successive losses gives; 3 and not 2, since the lowest of many losses is below the
    others by chance too: of 1,000 simulated flat curves with normal noise, 4 passed.

    Args:
        rates: (n,) rising learning rates; all of the sweep, also those behind the divergence.
        losses: (k, n) training losses of k seeds; NaN or infinite behind the end of a curve.
    """
    losses = np.where(np.isfinite(losses), losses, np.inf)
    median, bandwidth = until_infinite(np.median(_aligned(losses), axis=0)), bandwidth_of(len(rates))
    if len(median) < LEAST:
        problem = (
            f"The loss diverges within {len(median)} steps, at learning rate {rates[max(len(median) - 1, 0)]:.2g}: the "
            "sweep begins too high. Set a lower --low."
        )
        return Reading(median, float("nan"), 0.0, float("nan"), None, (None,) * len(losses), problem)
    curve = smooth(median, bandwidth)
    start, fall, error = curve.fall()
    seeds = tuple(_of_seed(rates, row, bandwidth) for row in losses)
    if problem := _problem(rates, curve, fall, error):
        return Reading(curve.values, start, fall, error, None, seeds, problem)
    found = _median_of([one for one in seeds if one], len(losses)) or suggest(rates, curve.values, start)
    return Reading(curve.values, start, fall, error, found, seeds, "", _remark(rates, curve.values, start, found))


def _median_of(seeds: Sequence[Suggestions], count: int) -> Suggestions | None:
    """Return the median of each suggestion by the logarithm of the rate; None without a majority of `count` seeds."""
    if 2 * len(seeds) <= count:
        return None
    logs = np.median(np.log([list(vars(one).values()) for one in seeds]), axis=0)
    return Suggestions(*np.exp(logs).tolist())


def _aligned(losses: np.ndarray) -> np.ndarray:
    """Return the curves (k, n) shifted so that the medians of their first fifths are equal."""
    starts = np.median(losses[:, : max(MEDIAN, round(2 * START * losses.shape[1]))], axis=1)
    if not np.isfinite(starts).all():
        return losses
    return losses - starts[:, None] + np.median(starts)


def until_infinite(losses: np.ndarray) -> np.ndarray:
    """Return the losses before the first that is NaN or infinite."""
    bad = np.flatnonzero(~np.isfinite(losses))
    return losses[: bad[0]] if len(bad) else losses


def suggest(rates: np.ndarray, values: np.ndarray, start: float) -> Suggestions:
    """Return the suggestions of a smoothed curve that falls.

    Only the fall itself counts. Left out are the losses up to the last one at which less than 10% of the fall is done,
    such as early spikes and the waves of a flat start, and those after the lowest one, such as the divergence.

    Args:
        rates: (n,) rising learning rates, n >= m.
        values: (m,) smoothed losses.
        start: loss at the start, above the lowest one.
    """
    lowest = int(np.argmin(values))
    fall = start - values[lowest]
    begun, done = start - _BEGUN * fall, start - _DONE * fall
    falling = np.minimum(values[: lowest + 1], start)
    low = max(np.flatnonzero(falling > begun), default=0)
    high = int(np.flatnonzero(falling > done)[-1]) + 1
    slopes = np.gradient(falling, np.log(rates[: lowest + 1]))
    return Suggestions(
        valley=float(rates[low + valley(falling[low:])]),
        steepest=float(rates[low + int(np.argmin(slopes[low:]))]),
        minimum_tenth=float(rates[lowest] / 10),
        low=float(rates[low]),
        high=float(rates[high]),
    )


def valley(values: np.ndarray) -> int:
    """Return the index that fastai's method "valley" suggests (`fastai.callback.schedule.valley`).

    Of the longest strictly falling subsequence, of length L, whose last element is at e: a third of L behind e - L,
    then half a third more.
    """
    lengths = _falling_lengths(values)
    end = int(np.argmax(lengths))
    length = int(lengths[end])
    return max(end - length + length // 3 + length // 6, 0)


def _falling_lengths(values: np.ndarray) -> np.ndarray:
    """Return the length (n,) of the longest strictly falling subsequence that ends at each value."""
    # By bisection, in O(n log n): ends[i] is minus the highest last value of a subsequence of length i + 1.
    lengths, ends = np.empty(len(values), int), list[float]()
    for index, value in enumerate(values):
        place = bisect_left(ends, -value)
        ends[place : place + 1] = [-value]
        lengths[index] = place + 1
    return lengths


def _of_seed(rates: np.ndarray, losses: np.ndarray, bandwidth: float) -> Suggestions | None:
    losses = until_infinite(losses)
    if len(losses) < LEAST:
        return None
    curve = smooth(losses, bandwidth)
    start, fall, error = curve.fall()
    return suggest(rates, curve.values, start) if fall > SIGNIFICANT * error else None


def _problem(rates: np.ndarray, curve: SmoothCurve, fall: float, error: float) -> str:
    """Return why a curve is uninformative, and what to do; "" if it is informative."""
    count, lowest, start = len(curve.values), int(np.argmin(curve.values)), float(curve.values.min()) + fall
    rises = count < len(rates) or curve.values[-1] > start + SIGNIFICANT * error
    if fall > SIGNIFICANT * error:
        still_falls = not rises and lowest == count - 1
        return f"The loss still falls at the highest rate, {rates[-1]:.2g}: set a higher --high." if still_falls else ""
    where, remedy = f"up to the highest rate, {rates[-1]:.2g}", "Set a higher --high."
    if rises:
        where = f"and is above the one at the start from learning rate {_above(rates, curve.values, start):.2g} on"
        lower = "a lower --low or " if lowest < START * count else ""
        remedy = f"Set {lower}more --steps, or compare short trainings with --grid."
    return (
        f"The curve is uninformative: the loss falls by {max(fall, 0.0):.2g} at most {where}; such a fall is within "
        f"the noise (standard error {error:.2g}; a fall must exceed {SIGNIFICANT:.0f} of them). {remedy}"
    )


def _above(rates: np.ndarray, values: np.ndarray, start: float) -> float:
    """Return the rate from which on the losses are above the one at the start."""
    below = np.flatnonzero(values <= start)
    return float(rates[min(below[-1] + 1, len(values) - 1)])


def _remark(rates: np.ndarray, values: np.ndarray, start: float, found: Suggestions) -> str:
    """Return that a smoothed curve falls from its first step on; "" if it does not."""
    tenth = round(START * len(values))
    before, after = values[:tenth].mean(), values[tenth : 2 * tenth].mean()
    if before - after < _EARLY * (start - values.min()) and found.low > rates[tenth]:
        return ""
    return f"The loss falls from the lowest rate, {rates[0]:.2g}, on: a lower --low would show the whole fall."
