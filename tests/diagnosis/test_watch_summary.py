"""Layer records: medians over the observations of the last third of the training."""

from __future__ import annotations

import math

import pandas as pd
import pytest

from cnnrecipes.diagnosis.watch_summary import COLUMNS, layer_records


def table(steps) -> pd.DataFrame:
    """A convolution, whose update ratio is the step / 1000, a norm, and an activation, dead from step 50 on."""
    rows = [
        row
        for step in steps
        for row in (
            (step, "conv", "weighted", math.nan, step / 1000, 1.0),
            (step, "norm", "norm", math.nan, 9.0, 1.0),
            (step, "relu", "activation", float(step >= 50), math.nan, math.nan),
        )
    ]
    return pd.DataFrame(rows, columns=list(COLUMNS))


def test_medians_are_those_of_the_last_third():
    conv, norm, relu = layer_records(table([0, 30, 65, 80, 99]), steps=100)
    assert conv.update_ratio == pytest.approx(0.0895)  # of steps 80 and 99
    assert math.isnan(norm.update_ratio)  # norms near 0 have far larger ones
    assert relu.dead == 1.0


def test_observations_of_the_first_steps_only_are_no_evidence():
    early = table([0, 1, 2, 4, 60])
    assert layer_records(early, steps=100) == ()
    assert layer_records(early)[0].update_ratio == pytest.approx(0.06)  # of a training of 61 steps
    assert layer_records(early.iloc[:0], steps=100) == ()
