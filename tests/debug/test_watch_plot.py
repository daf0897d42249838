"""The layer that stands out in watch.csv, and the picture of the watch."""

from __future__ import annotations

import json
import math

import numpy as np
import pandas as pd
import pytest
from doc_blocks import run_block
from legible import assert_legible

import cnnrecipes as cr
from cnnrecipes.cli.app import app
from cnnrecipes.diagnosis.watch_findings import worst_layer
from cnnrecipes.errors import DataError, RunError
from cnnrecipes.runs.watch_records import BINS, COLUMNS, FILE, WatchFile

STEPS = (0, 1, 2, 4, 9, 19)


def watched(layers=6, **columns) -> pd.DataFrame:
    """A healthy table of convolutions and activations; `columns`: layer -> {column: value or values over the steps}."""
    rows = []
    for number, step in enumerate(STEPS):
        for depth in range(layers):
            for kind, layer in (("weighted", f"conv{depth}"), ("activation", f"relu{depth}")):
                weighted = kind == "weighted"
                row = {"step": step, "layer": layer, "kind": kind, "mean": 0.0, "std": 1.0, "nonfinite": 0}
                row["dead"] = math.nan if weighted else 0.05
                row |= dict.fromkeys(("gradient_norm", "weight_norm"), 1.0 if weighted else math.nan)
                row["update_ratio"] = 1e-3 * 1.1**depth if weighted else math.nan
                row |= dict(zip(BINS, np.random.default_rng(depth).integers(0, 99, len(BINS)), strict=True))
                values = columns.get(layer, {})
                row |= {name: value[number] if np.ndim(value) else value for name, value in values.items()}
                rows.append(row)
    return pd.DataFrame(rows)[list(COLUMNS)]


@pytest.mark.parametrize(
    ("columns", "layer", "problem", "words"),
    [
        ({}, "conv5", "", "median update ratio of 1.6e-03"),
        ({"relu3": {"nonfinite": [0, 0, 0, 7, 0, 0]}, "relu1": {"dead": 0.9}}, "relu3", "non-finite", "7 NaN or"),
        ({"conv2": {"gradient_norm": math.inf}}, "conv2", "non-finite", "a gradient norm of inf"),
        ({"relu2": {"dead": [0, 0, 0.6, 0.6, 0.7, 0.8]}}, "relu2", "dead", "80% of the channels of relu2"),
        ({"conv1": {"update_ratio": 0.08}}, "conv1", "fast", "80 times above the guide"),
        ({"conv0": {"update_ratio": 1e-6}}, "conv0", "slow", "1,000 times below the guide"),
        ({"conv0": {"update_ratio": 0.0}}, "conv0", "slow", "below the guide of 0.001: it hardly learns"),
        ({"conv4": {"std": [1, 2, 5, 20, 100, 2500]}}, "conv4", "large", "standard deviation of 2,500"),
    ],
)
def test_worst_layer_is_named(columns, layer, problem, words):
    finding = worst_layer(watched(**columns))
    assert (finding.layer, finding.problem) == (layer, problem)
    assert words in str(finding)
    assert_legible(cr.plot_watch(watched(**columns)))


def test_dead_channels_at_the_start_only_are_no_problem():
    assert worst_layer(watched(relu2={"dead": [0.9, 0.9, 0.6, 0.3, 0.1, 0.0]})).problem == ""


def test_update_ratio_of_a_norm_is_no_problem():
    """Its beta starts at 0."""
    assert worst_layer(watched(relu2={"kind": "norm", "update_ratio": 0.9})).problem == ""


def test_plot_of_many_layers_with_long_names_is_legible():
    table = watched(layers=80, conv79={"update_ratio": 0.2})
    table["layer"] = "a_very_long_prefix_of_a_layer/" + table["layer"] + "_in_$dollars$"
    assert_legible(cr.plot_watch(table))


def test_plot_without_trained_weights_or_activations():
    table = watched()
    assert_legible(cr.plot_watch(table[table["kind"] == "activation"]))
    assert_legible(cr.plot_watch(table[(table["kind"] == "weighted") & (table["step"] == 0)]))


def test_table_of_something_else_raises():
    with pytest.raises(DataError, match="the table has no column"):
        cr.plot_watch(pd.DataFrame({"step": [1]}))
    with pytest.raises(DataError, match="the table has no rows"):
        cr.plot_watch(watched().iloc[:0])


def test_command_writes_a_picture_and_names_the_layer(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    run = tmp_path / "run"
    run.mkdir()
    (run / "recipe.toml").touch()
    file = WatchFile(run / FILE)
    for step, rows in watched(relu2={"dead": 0.8}).groupby("step"):
        file.add(step, rows.to_dict("records"))
    app(["watch", str(run), "--json"], standalone_mode=False)
    found = json.loads(capsys.readouterr().out)
    assert found["layer"] == "relu2"
    assert (tmp_path / found["picture"]).stat().st_size > 20_000


def test_example_of_the_documentation_runs(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    found = run_block("debugging.md", "Watching layers", {'"train.epochs": 2': '"train.epochs": 1'})
    assert set(found["table"]["kind"]) >= {"weighted", "norm", "activation", "merge"}
    assert (tmp_path / "watch.png").stat().st_size > 20_000


def test_run_that_was_not_watched_raises(digits_run, tmp_path):
    with pytest.raises(RunError, match="no watch.csv"):
        cr.write_watch(digits_run, path=tmp_path / "a.png")
