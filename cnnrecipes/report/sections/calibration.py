"""Calibration: do the probabilities tell how often the model is right, and when may it abstain."""

from __future__ import annotations

import numpy as np
import pandas as pd

from cnnrecipes.figures.number_axis import NumberAxis
from cnnrecipes.report.facts import Facts
from cnnrecipes.report.line_chart import Plot, Series, legend, thinned, value_axis
from cnnrecipes.report.section import Section, render
from cnnrecipes.runs.calibration import Calibration, calibration, coverage, fit_temperature, threshold_for
from cnnrecipes.runs.predictions import Predictions

KEY, TITLE = "calibration", "Calibration and coverage"
_FEWEST = 50  # images below which a reliability diagram shows chance
_TARGETS = (0.99, 0.95, 0.9)


def calibrated(facts: Facts) -> Section:
    """Return the reliability diagram before and after temperature scaling, and the accuracy by coverage."""
    predictions = facts.final
    if predictions is None:
        return Section(KEY, TITLE, why=facts.why.get("predictions", "the training is not finished"))
    if len(predictions.truth) < _FEWEST:
        return Section(KEY, TITLE, why=f"{len(predictions.truth)} images are too few to measure probabilities")
    found = {"as trained": calibration(predictions)}
    temperature = None
    if predictions.split != "validation" and "validation" in facts.predictions:
        temperature = fit_temperature(facts.predictions["validation"])
        found[f"temperature {temperature:.3g}"] = calibration(predictions, temperature=temperature)
    series = [_series(name, one, f"run{place}") for place, (name, one) in enumerate(found.items())]
    unit = NumberAxis(0.0, 1.0, percent=True)
    reliability = Plot(
        "reliability", "Reliability diagram", series, unit, unit, x_title="confidence", diagonal=True,
        described="Accuracy over confidence; a calibrated model is on the diagonal. "
        + "; ".join(f"{name}: expected calibration error {one.ece:.1%}" for name, one in found.items()),
    )  # fmt: skip
    by_coverage = coverage(predictions)
    body = render(
        "calibration.html",
        reliability=reliability,
        legend=legend(series),
        bins=found["as trained"].table.query("n > 0").to_dict("records"),
        errors=[(name, float(one.ece)) for name, one in found.items()],
        temperature=temperature,
        split=predictions.split,
        coverage=_coverage_plot(by_coverage),
        targets=_targets(facts.predictions.get("validation", predictions), predictions),
        chosen="validation" if "validation" in facts.predictions else predictions.split,
    )
    return Section(KEY, TITLE, body)


def _series(name: str, one: Calibration, kind: str) -> Series:
    table = one.table[one.table["n"] > 0]
    n = table["n"].to_numpy(float)
    x, y = table["confidence"].to_numpy(float), table["accuracy"].to_numpy(float)
    return Series(name, kind, x, y, weights=n / n.sum())


def _coverage_plot(table: pd.DataFrame) -> Plot:
    table = table.sort_values("coverage").reset_index(drop=True)
    table = table.iloc[thinned(np.arange(len(table)))]
    x, y = table["coverage"].to_numpy(float), table["accuracy"].to_numpy(float)
    band = table[["accuracy_low", "accuracy_high"]].to_numpy(float)
    known = x >= 0.05
    one = Series("accuracy", "run0", x[known], y[known], band=band[known])
    # The intervals of the first few images are as wide as the axis.
    up = value_axis([one.y, band[x >= 0.3].ravel()], percent=True)
    words = "Accuracy of the images whose confidence is above a threshold, over their share."
    title = "Accuracy by coverage, with 95% intervals"
    return Plot("coverage", title, [one], NumberAxis(0.0, 1.0, percent=True), up, x_title="coverage", described=words)


def _targets(chosen: Predictions, measured: Predictions) -> list[dict[str, float]]:
    """Return confidences from which on predictions have an accuracy on one split, and what they reach on another."""
    found = []
    for target in _TARGETS:
        threshold = threshold_for(chosen, target)
        if threshold is None or not (sure := measured.confidence >= threshold).any():
            continue
        accuracy = float(measured.right[sure].mean())
        found.append({"target": target, "threshold": threshold, "accuracy": accuracy, "coverage": float(sure.mean())})
    return found
