"""`Speed`: the time per epoch of a variant as a multiple of the baseline's, with its interval."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from cnnrecipes.comparison.accuracy_speed_memory import Score
from cnnrecipes.comparison.paired import paired_t


@dataclass(frozen=True)
class Speed:
    """Time per epoch as a multiple of the baseline's: geometric mean over the seeds.

    Attributes:
        ratio: above 1 for a slower variant.
        low, high: its 95% interval by Student's t on the logarithms; NaN for one seed.
    """

    ratio: float
    low: float
    high: float

    def __str__(self) -> str:
        if math.isnan(self.ratio):
            return ""
        if math.isnan(self.low):
            return f"its one training was {_faster(self.ratio)}"
        interval = f"95% interval {self.low - 1:+.0%} to {self.high - 1:+.0%}"
        if self.low <= 1 <= self.high:
            return f"no difference in speed was seen ({self.ratio - 1:+.0%} time per epoch, {interval})"
        return f"it is {_faster(self.ratio)} (time per epoch: {interval})"

    @classmethod
    def of(cls, pairs: Sequence[tuple[Score, Score]]) -> Speed:
        """Return the speed from the trainings of the same seeds; NaN without times, or with those of several machines.

        Args:
            pairs: a variant's training and that of the baseline, one pair for each seed.
        """
        if len({one.machine for pair in pairs for one in pair}) != 1:
            return UNKNOWN
        times = [(one.seconds_per_epoch, other.seconds_per_epoch) for one, other in pairs]
        logs = np.array([math.log(one / other) for one, other in times if not math.isnan(one)])
        if not len(logs) or not np.isfinite(logs).all():
            return UNKNOWN
        if len(logs) == 1:
            return cls(float(np.exp(logs[0])), math.nan, math.nan)
        found = paired_t(logs)
        return cls(*(math.exp(one) for one in (found.mean, found.low, found.high)))


UNKNOWN = Speed(math.nan, math.nan, math.nan)


def _faster(ratio: float) -> str:
    if ratio >= 2 or ratio <= 0.5:
        return f"{max(ratio, 1 / ratio):.1f} times as {'slow' if ratio > 1 else 'fast'}"
    return f"{abs(ratio - 1):.0%} {'slower' if ratio > 1 else 'faster'}"
