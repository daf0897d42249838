"""Dropout, spatial dropout and stochastic depth."""

from __future__ import annotations

import keras


def dropout(x, rate: float, *, name: str):
    """Zero each value with probability `rate`, scale others by 1 / (1 - rate) (Srivastava et al. 2014, section 10)."""
    return keras.layers.Dropout(rate, name=name)(x) if rate else x


def spatial_dropout(x, rate: float, *, name: str):
    """Zero whole channels of (N, H, W, C) with probability `rate` (Tompson et al. 2014, section 3.3)."""
    return keras.layers.SpatialDropout2D(rate, name=name)(x) if rate else x


def stochastic_depth(x, rate: float, *, name: str):
    """Drop the residual branch (N, H, W, C) of a sample with probability `rate` (Huang et al. 2016).

    Branches that are not dropped are scaled by 1 / (1 - rate), so that inference needs no scaling.
    """
    return keras.layers.Dropout(rate, noise_shape=(None, 1, 1, 1), name=name)(x) if rate else x
