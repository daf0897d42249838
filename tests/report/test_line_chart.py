"""Line charts as SVG."""

from __future__ import annotations

import json
import re
from html import unescape

import numpy as np
import pytest

from cnnrecipes.figures.number_axis import NumberAxis
from cnnrecipes.report.line_chart import Plot, Series, epoch_axis, thinned, value_axis
from cnnrecipes.report.small_charts import interval_chart, sparkline


def test_curve_has_a_gap_where_a_value_is_missing():
    x, y = np.arange(1.0, 6), np.array([1.0, 2.0, np.nan, 4.0, 5.0])
    text = Plot("p", "t", [Series("a", "val", x, y)], epoch_axis([x]), NumberAxis(0, 5)).svg()
    path = re.search(r"class='curve val' d='([^']*)'", text)[1]
    assert path.count("M") == 2
    assert path.count("L") == 2


def test_single_point_is_a_dot():
    one = Series("a", "val", np.array([1.0]), np.array([0.5]))
    text = Plot("p", "t", [one], epoch_axis([one.x]), value_axis([one.y])).svg()
    assert text.count("<circle") == 1
    assert "class='curve" not in text


def test_values_are_kept_for_the_script():
    x = np.arange(1.0, 4)
    series = [Series("<b>", "train", x, np.array([0.1, 0.2, 0.3])), Series("b", "val", x[1:], np.array([0.5, 0.75]))]
    text = Plot("p", "t", series, epoch_axis([x]), NumberAxis(0, 1, percent=True)).svg()
    assert "<b>" not in text
    found = json.loads(unescape(re.search(r"data-values='([^']*)'", text)[1]))
    assert found["x"] == ["1", "2", "3"]
    assert found["series"] == [
        {"name": "<b>", "y": ["10.00%", "20.00%", "30.00%"]},
        {"name": "b", "y": ["", "50.00%", "75.00%"]},
    ]


@pytest.mark.parametrize(
    ("values", "log"),
    [([0.1, 0.2], False), ([1e-4, 1.0], True), ([0.0, 10.0], False), ([np.nan, np.inf], False), ([3.0], False)],
)
def test_axis_of_losses_is_logarithmic_over_orders_of_magnitude(values, log):
    axis = value_axis([np.array(values)])
    assert axis.log is log
    assert axis.high > axis.low
    for value in values:
        if np.isfinite(value):
            assert 0 <= axis.place(value) <= 1


def test_thinned_values_keep_the_ends():
    assert thinned(np.arange(5), 10).tolist() == [0, 1, 2, 3, 4]
    some = thinned(np.arange(10_000), 400)
    assert (some[0], some[-1]) == (0, 9999)
    assert len(some) == 400


def test_sparkline_of_zeros_on_a_logarithmic_axis_is_empty():
    assert sparkline([0.0, float("nan")], log=True) == ""
    assert "<path class='guide'" in sparkline([1e-4, 1e-2], log=True, guide=1e-3)
    assert "<path class='guide'" not in sparkline([1e-4, 2e-4], log=True, guide=1e-3)


def test_interval_is_told_to_screen_readers():
    text = interval_chart(0.9, 0.85, 0.94, 0.1, "g")
    assert "90.0%, 95% interval 85.0% to 94.0%; the best constant answer is right on 10%" in text
