"""The trials of a search as Parquet and CSV."""

from __future__ import annotations

import pandas as pd
import pytest
from synthetic_search import many_trials, search_with, trial

from cnnrecipes.errors import RunError, WriteError


def test_parquet_has_the_trials(tmp_path):
    search = search_with(tmp_path / "search", many_trials(20))
    path = search.write_table()
    assert path == search.folder / "trials.parquet"
    read = pd.read_parquet(path)
    assert list(read) == list(search.trials)
    assert read["score"].tolist() == pytest.approx(search.trials["score"].tolist(), nan_ok=True)
    assert read["optimizer.learning_rate"].tolist() == search.trials["optimizer.learning_rate"].tolist()
    assert read["optimizer.name"].tolist() == search.trials["optimizer.name"].tolist()


@pytest.mark.parametrize("suffix", ["parquet", "csv"])
def test_lists_and_mixed_choices_are_json(tmp_path, suffix):
    space = {"augment.ops": [["flip_lr"], ["flip_lr", "x"]], "data.image_size": [32, "auto"]}
    values = [{"augment.ops": ["flip_lr"], "data.image_size": 32}, {"augment.ops": ["flip_lr", "x"]}]
    search = search_with(tmp_path / "search", [trial(n, one, 0.5) for n, one in enumerate(values, 1)], space)
    path = search.write_table(tmp_path / f"trials.{suffix}")
    read = pd.read_parquet(path) if suffix == "parquet" else pd.read_csv(path)
    assert read["augment.ops"].tolist() == ['["flip_lr"]', '["flip_lr", "x"]']


def test_other_paths_are_refused(tmp_path):
    search = search_with(tmp_path / "search", many_trials(3))
    with pytest.raises(RunError, match=r"give \.parquet or \.csv"):
        search.write_table(tmp_path / "trials.xlsx")
    with pytest.raises(WriteError, match="create the folder first"):
        search.write_table(tmp_path / "missing" / "trials.csv")
