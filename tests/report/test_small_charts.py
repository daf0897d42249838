"""Small charts of the report."""

from __future__ import annotations

import pytest

from cnnrecipes.report.small_charts import interval_chart


@pytest.mark.parametrize(("chance", "shown"), [(0.5, "50%"), (0.1, "10%"), (1 / 200, "0.5%"), (1 / 1000, "0.1%")])
def test_chance_of_many_classes_is_not_rounded_to_whole_percents(chance, shown):
    chart = interval_chart(0.6, 0.5, 0.7, chance, "accuracy")
    assert f"chance {shown}<" in chart
    assert f"the best constant answer is right on {shown}" in chart
