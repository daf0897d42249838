"""Contrasts: the difference of each variant to the baseline in accuracy and speed, with a verdict and a sentence."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

from cnnrecipes.comparison.accuracy_speed_memory import Score
from cnnrecipes.comparison.paired import ALPHA, Discordance, holm, paired_t, smallest_visible
from cnnrecipes.comparison.sequential import anytime_t
from cnnrecipes.comparison.speed import UNKNOWN, Speed
from cnnrecipes.errors import counted

Scores = Mapping[str, Mapping[int, Score]]  # label -> seed -> score


@dataclass(frozen=True)
class Contrast:
    """The difference of a variant to the baseline.

    Attributes:
        label, baseline: names of both.
        method: "t" (paired t test over seeds), "anytime" (anytime-valid t test over seeds) or "mcnemar" (over images).
        n: number of seeds; for "mcnemar" of images.
        difference: accuracy minus that of the baseline, -1..1; `low`, `high`: its 95% interval.
        p, p_holm: p-value, and corrected for the number of variants by Holm's method.
        visible: the difference that would be found with a power of 80%, after the correction.
        margin: differences below it do not matter; 0: any does.
        speed: time per epoch.
        diverged: seeds at which the loss of the variant, or of the baseline, became NaN or infinite.
        alike: the interval, corrected for the number of variants, lies within the margin.
    """

    label: str
    baseline: str
    method: str
    n: int
    difference: float = math.nan
    low: float = math.nan
    high: float = math.nan
    p: float = math.nan
    p_holm: float = math.nan
    visible: float = math.nan
    margin: float = 0.0
    speed: Speed = UNKNOWN
    diverged: tuple[int, ...] = ()
    alike: bool = False

    @property
    def verdict(self) -> str:
        """One of better, worse, alike (within the margin), unclear and diverged."""
        if self.diverged:
            return "diverged"
        if self.p_holm < ALPHA:
            return "better" if self.difference > 0 else "worse"
        return "alike" if self.alike else "unclear"

    @property
    def sentence(self) -> str:
        """The conclusion."""
        speed = "" if self.diverged else str(self.speed)
        return f"{self._accuracy_sentence()}{speed and '; '}{speed}."

    def _accuracy_sentence(self) -> str:
        if self.verdict == "diverged":
            seeds = ", ".join(map(str, self.diverged))
            return f"{self.label} is not compared: the loss became NaN or infinite at seed {seeds}"
        size, error = self._size(), f"{self._sample()}, {p_text(self.p_holm)} after Holm's correction"
        if self.verdict in ("better", "worse"):
            return f"{self.label} is {self.verdict} than {self.baseline} by {size} ({error})"
        shown = f"{points(self.difference, self._half, sign=True)}{self._spread()}"
        if self.verdict == "alike":
            return (
                f"{self.label} and {self.baseline} differ by less than {points(self.margin)} points: {shown} ({error})"
            )
        unseen = (
            f"; a difference of less than {points(self.visible)} points would not be seen (power below 80%)"
            if math.isfinite(self.visible)
            else ""
        )
        return f"{self.label} and {self.baseline} cannot be told apart: {shown} ({error}){unseen}"

    def _size(self) -> str:
        return f"{points(abs(self.difference), self._half)}{self._spread()}"

    @property
    def _half(self) -> float:
        return (self.high - self.low) / 2

    def _spread(self) -> str:
        """Return the 95% interval after the difference, as "± 0.4 points" where it is symmetric."""
        if not math.isfinite(self._half):
            return " points, with an unlimited interval"
        if not math.isclose(self.low + self.high, 2 * self.difference, abs_tol=1e-9):
            return f" points, 95% interval {points(self.low, sign=True)} to {points(self.high, sign=True)}"
        return f" ± {points(self._half)} points"

    def _sample(self) -> str:
        return f"n = {counted(self.n, 'image' if self.method == 'mcnemar' else 'seed')}"


def contrast_all(
    scores: Scores, baseline: str, *, sequential: bool = False, margin: float = 0.0
) -> dict[str, Contrast]:
    """Return the contrast of each variant but the baseline, over the seeds that both have.

    Args:
        scores: two seeds or more of each variant, or a failed one.
        baseline: label of the variant that the others are compared to.
        sequential: use the anytime-valid t test, since the number of seeds depended on the results.
        margin: differences below it do not matter, 0..1.
    """
    others = [label for label in scores if label != baseline]
    found = {
        label: _over_seeds(label, baseline, scores, len(others), sequential=sequential, margin=margin)
        for label in others
    }
    return corrected(found)


def contrast_answers(
    right: Mapping[str, np.ndarray], scores: Scores, baseline: str, *, margin: float = 0.0
) -> dict[str, Contrast]:
    """Return the contrasts of single trainings by McNemar's test on the same images.

    Args:
        right: label -> (N,) bool, which images the training classifies correctly; without those that diverged.
        scores: one seed of each variant.
        baseline, margin: as for `contrast_all`.
    """
    found = {}
    for label in scores:
        if label == baseline:
            continue
        about = Contrast(label, baseline, "mcnemar", 0, margin=margin, speed=_speed(scores, label, baseline))
        if label not in right or baseline not in right:
            found[label] = replace(about, diverged=_diverged(scores, label, baseline))
            continue
        pair = Discordance.of(right[baseline], right[label])
        low, high = pair.interval
        inner = pair.interval_at(ALPHA / (len(scores) - 1))
        found[label] = replace(
            about,
            n=pair.n,
            difference=pair.difference,
            low=low,
            high=high,
            p=pair.p,
            visible=pair.smallest_visible(len(scores) - 1),
            alike=max(-inner[0], inner[1]) < margin,
        )
    return corrected(found)


def corrected(found: Mapping[str, Contrast]) -> dict[str, Contrast]:
    """Return the contrasts with p-values corrected by Holm's method."""
    tested = [label for label, one in found.items() if not math.isnan(one.p)]
    p_holm = dict(zip(tested, holm([found[label].p for label in tested]), strict=True))
    return {label: replace(one, p_holm=p_holm.get(label, math.nan)) for label, one in found.items()}


def points(value: float, beside: float | None = None, *, sign: bool = False) -> str:
    """Return an accuracy as percentage points, with two digits where one would be 0.

    Args:
        value: -1..1.
        beside: a value that is shown beside it, of which the digits are taken.
        sign: show a plus too.
    """
    scale = abs(value if beside is None or not math.isfinite(beside) else beside)
    digits = 1 if scale >= 0.00095 or scale == 0 else 2
    return f"{100 * value:{'+' if sign else ''}.{digits}f}"


def p_text(p: float) -> str:
    """Return a p-value as text with two digits, for example "p = 0.013" or "p < 0.001"."""
    if math.isnan(p):
        return "no p-value"
    return "p < 0.001" if p < 0.001 else f"p = {p:.2g}"


def _over_seeds(
    label: str, baseline: str, scores: Scores, comparisons: int, *, sequential: bool, margin: float
) -> Contrast:
    method, speed = "anytime" if sequential else "t", _speed(scores, label, baseline)
    about = Contrast(label, baseline, method, 0, margin=margin, speed=speed)
    if diverged := _diverged(scores, label, baseline):
        return replace(about, diverged=diverged)
    seeds = _common(scores, label, baseline)
    values = np.array([scores[label][seed].accuracy - scores[baseline][seed].accuracy for seed in seeds])
    resolution = 1 / scores[baseline][seeds[0]].images
    test = anytime_t if sequential else paired_t
    found, wider = test(values, resolution), test(values, resolution, ALPHA / comparisons)
    # Of a sequential comparison the power is not told: more seeds would follow.
    visible = math.nan if sequential else smallest_visible(found.deviation, found.n, comparisons)
    return replace(
        about,
        n=found.n,
        difference=found.mean,
        low=found.low,
        high=found.high,
        p=found.p,
        visible=visible,
        alike=max(-wider.low, wider.high) < margin,
    )


def _common(scores: Scores, label: str, baseline: str) -> list[int]:
    return [seed for seed in scores[baseline] if seed in scores[label]]


def _diverged(scores: Scores, label: str, baseline: str) -> tuple[int, ...]:
    both = (scores[label], scores[baseline])
    return tuple(sorted({seed for row in both for seed, one in row.items() if one.failed}))


def _speed(scores: Scores, label: str, baseline: str) -> Speed:
    return Speed.of([(scores[label][seed], scores[baseline][seed]) for seed in _common(scores, label, baseline)])
