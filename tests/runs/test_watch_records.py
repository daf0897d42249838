"""watch.csv: atomic, continued under a resume, and checked when it is read."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest

from cnnrecipes.errors import RunError
from cnnrecipes.runs.watch_records import BINS, COLUMNS, EDGES, FILE, STATISTICS, WatchFile, histogram, read_watch


def row(layer="conv", **values):
    numbers = dict.fromkeys(STATISTICS, 1 / 3) | dict(zip(BINS, range(len(BINS)), strict=True))
    return {"layer": layer, "kind": "weighted", **numbers, **values}


def test_rows_are_read_as_they_were_added(tmp_path):
    file = WatchFile(tmp_path / FILE)
    file.add(0, [row('odd, "name"'), row("NA", dead=math.nan, nonfinite=3, gradient_norm=math.inf)])
    table = read_watch(tmp_path / FILE)
    assert tuple(table.columns) == COLUMNS
    assert table["layer"].tolist() == ['odd, "name"', "NA"]
    assert table["mean"].tolist() == pytest.approx([1 / 3] * 2, rel=1e-5)
    assert np.isnan(table["dead"].iloc[1])
    assert np.isinf(table["gradient_norm"].iloc[1])
    assert table["bin_30"].tolist() == [30, 30]


def test_step_that_is_added_again_replaces_it_and_those_after_it(tmp_path):
    file = WatchFile(tmp_path / FILE)
    for step in (0, 1, 2, 1):
        file.add(step, [row()])
    assert read_watch(tmp_path / FILE)["step"].tolist() == [0, 1]


def test_continued_file_has_the_bytes_of_one_that_was_never_closed(tmp_path):
    whole = WatchFile(tmp_path / "whole.csv")
    random = np.random.default_rng(0)
    rows = [row(mean=value, std=value * 1e-9, dead=math.nan) for value in random.normal(size=6)]
    for step, one in enumerate(rows):
        whole.add(step, [one])
    first, second = WatchFile(tmp_path / FILE), WatchFile(tmp_path / FILE)
    for step in range(5):
        first.add(step, [rows[step]])
    second.keep_before(3)
    for step in range(3, 6):
        second.add(step, [rows[step]])
    assert (tmp_path / FILE).read_bytes() == (tmp_path / "whole.csv").read_bytes()


@pytest.mark.parametrize("content", ["", "step,layer\n", "{}", "nonsense\n1,2\n"])
def test_damaged_file_is_named_when_read_and_replaced_when_continued(tmp_path, content):
    path = tmp_path / FILE
    path.write_text(content)
    with pytest.raises(RunError, match=r"cannot read '.*watch.csv'"):
        read_watch(path)
    file = WatchFile(path)
    file.keep_before(5)
    file.add(5, [row()])
    assert read_watch(path)["step"].tolist() == [5]


def test_column_with_text_is_refused(tmp_path):
    WatchFile(tmp_path / FILE).add(0, [row()])
    table = pd.read_csv(tmp_path / FILE)
    table.assign(std="many").to_csv(tmp_path / FILE, index=False)
    with pytest.raises(RunError, match="its column 'std' has values that are not numbers"):
        read_watch(tmp_path / FILE)


def test_histogram_matches_numpy():
    values = np.concatenate([np.random.default_rng(0).normal(0, size, 1000) for size in (1e-3, 0.3, 5, 1e4)])
    values = np.append(values, [0.0, -0.0, 3e38, -3e38])
    np.testing.assert_array_equal(histogram(np.append(values, [np.nan, np.inf])), np.histogram(values, EDGES)[0])
    assert EDGES[16] == -EDGES[15] == 2.0**-7
