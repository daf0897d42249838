"""Smoothing of a loss curve and its noise: a running median against spikes, then local linear regression."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

MEDIAN = 5  # losses of the running median: it removes spikes of two steps
START = 0.1  # share of the steps whose mean loss is the loss at the start
_SHARE = 40  # the bandwidth is the number of steps divided by this
_LEAST_BANDWIDTH = 2.0
_MEDIAN_ERROR = np.sqrt(np.pi / 2)  # standard error of a median relative to that of a mean, for normal noise
_MAD = 1.4826  # standard deviation / median absolute deviation, for normal noise


@dataclass(frozen=True)
class SmoothCurve:
    """A smoothed loss curve.

    Attributes:
        values: (n,) smoothed losses.
        noise: standard deviation of a single loss around them.
        weights: (n, n); each smoothed loss is a weighted mean of all losses.
    """

    values: np.ndarray
    noise: float
    weights: np.ndarray = field(repr=False)

    def fall(self) -> tuple[float, float, float]:
        """Return the value at the start, how far the lowest value is below, and the standard error of that.

        The start is the mean of the first or of the second tenth, the lower one: a curve may begin with a bump.
        """
        tenth, lowest = max(MEDIAN, round(START * len(self.values))), int(np.argmin(self.values))
        first = min((slice(tenth), slice(tenth, 2 * tenth)), key=lambda part: float(self.values[part].mean()))
        start = float(self.values[first].mean())
        weights = self.weights[first].mean(axis=0) - self.weights[lowest]
        error = self.noise * _MEDIAN_ERROR * float(np.linalg.norm(weights))
        return start, start - float(self.values[lowest]), error


def smooth(losses: np.ndarray, bandwidth: float) -> SmoothCurve:
    """Smooth losses over their steps, without a lag.

    A running median of 5 losses, then local linear regression with a Gaussian kernel. An exponential moving average,
    as of fastai, lags behind: it moves every suggestion towards higher rates. The noise is 1.4826 / sqrt(2) times the
    median absolute difference of successive losses, which neither a few spikes nor the fall of the curve change much; a
    standard error has the factor sqrt(pi / 2), which is the price of the running median.

    Args:
        losses: (n,) finite, n >= 10.
        bandwidth: standard deviation of the kernel, in steps; see `bandwidth_of`.
    """
    weights = _local_linear(len(losses), bandwidth)
    noise = float(_MAD / np.sqrt(2) * np.median(np.abs(np.diff(losses))))
    return SmoothCurve(weights @ running_median(losses), noise, weights)


def bandwidth_of(steps: int) -> float:
    """Return the bandwidth of `smooth` for a sweep of `steps` steps: a fortieth of them, at least 2."""
    return max(_LEAST_BANDWIDTH, steps / _SHARE)


def running_median(losses: np.ndarray, width: int = MEDIAN) -> np.ndarray:
    """Return the median of `width` losses around each (n,); at the ends of the first or last `width` losses."""
    windows = np.lib.stride_tricks.sliding_window_view(losses, min(width, len(losses)))
    centers = np.clip(np.arange(len(losses)) - width // 2, 0, len(windows) - 1)
    return np.median(windows, axis=1)[centers]


def _local_linear(count: int, bandwidth: float) -> np.ndarray:
    """Return the weights (count, count) that map losses to their local linear regression at each step."""
    apart = np.arange(count)[None, :] - np.arange(count)[:, None]
    kernel = np.exp(-0.5 * (apart / bandwidth) ** 2)
    zeroth, first, second = (np.sum(kernel * apart**power, axis=1, keepdims=True) for power in range(3))
    return kernel * (second - first * apart) / (zeroth * second - first**2)
