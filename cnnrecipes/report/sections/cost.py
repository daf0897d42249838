"""The cost: size of the model and of its stages, time of the epochs and of the parts of a step, speed and memory."""

from __future__ import annotations

import shlex
import warnings
from collections.abc import Sequence
from typing import Any

import pandas as pd

from cnnrecipes.errors import CNNRecipesError, counted
from cnnrecipes.models.cost import cost as cost_of_model
from cnnrecipes.report.facts import Facts
from cnnrecipes.report.line_chart import thinned
from cnnrecipes.report.section import Section, duration, render
from cnnrecipes.report.small_charts import sparkline
from cnnrecipes.report.step_time import step_time
from cnnrecipes.runs.records import PARAMETERS, PROFILE, TRAINABLE

KEY, TITLE = "cost", "Cost and time"
_STAGES = 30  # rows


def cost(facts: Facts) -> Section:
    """Return what the model and its training cost, and where in the model."""
    rows = [*_model_rows(facts), *_time_rows(facts)]
    if facts.environment:
        devices = ", ".join(str(one) for one in facts.environment.get("devices", ()))
        rows.append(("devices", devices or "unknown", f"{facts.environment.get('cpu_count')} CPU cores"))
    if not rows:
        return Section(KEY, TITLE, why="nothing of it is recorded")
    step = step_time(facts.profile)
    body = render("cost.html", rows=rows, step=step, hint="" if step else _hint(facts), stages=_stages(facts))
    return Section(KEY, TITLE, body)


def _hint(facts: Facts) -> str:
    """Return how the time of a step is measured, as a sentence; "" of a training without steps or that is running."""
    if not facts.recipe.transfer.trains_by_steps or facts.training:
        return ""
    damaged = facts.why.get("profile") or (f"{PROFILE} is damaged" if facts.profile is not None else "")
    call = f"cnnrecipes profile {shlex.quote(str(facts.run.folder))}"
    if facts.given:
        call = "cr.profile(run, data).keep(run)"
    return f"{damaged}{'; ' if damaged else ''}`{call}` measures where the time of a step goes, for the next report."


def _model_rows(facts: Facts) -> list[tuple[str, str, object]]:
    rows: list[tuple[str, str, object]] = []
    metrics = facts.metrics or {}
    if PARAMETERS in metrics:
        rows.append(("parameters", f"{metrics[PARAMETERS]:,}", ""))
        if metrics.get(TRAINABLE, metrics[PARAMETERS]) != metrics[PARAMETERS]:
            rows.append(("trained parameters", f"{metrics[TRAINABLE]:,}", ""))
    model = facts.run.folder / "model.keras"
    if facts.state == "finished" and model.is_file():
        rows.append(("model.keras", f"{model.stat().st_size / 2**20:.2f} MiB", ""))
    return rows


def _time_rows(facts: Facts) -> list[tuple[str, str, object]]:
    history = facts.history
    if history is None or not len(history):
        return []
    seconds, speed = history["seconds"], history["images_per_second"]
    rows: list[tuple[str, str, object]] = [
        ("training", duration(facts.seconds), counted(len(history), "epoch")),
        ("seconds an epoch", f"{seconds.median():.3g} (median)", sparkline(_some(seconds))),
        ("training images/s", f"{speed.median():,.0f} (median)", sparkline(_some(speed))),
    ]
    if "memory_mib" in history:
        rows.append(("peak memory of the process", f"{history['memory_mib'].max():,.0f} MiB", ""))
    return rows


def _some(values: pd.Series) -> Sequence[float]:
    return thinned(values.to_numpy(float), 60).tolist()


def _stages(facts: Facts) -> list[dict[str, Any]]:
    """Return parameters, multiply-adds and activation memory of each stage for one image; [] without the model."""
    if not facts.thorough or facts.state != "finished":
        return []
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            table = cost_of_model(facts.run.model, by="stage")
    except CNNRecipesError:
        return []
    return [
        {
            "name": str(name),
            "layers": int(row["layers"]),
            "shape": " \u00d7 ".join(str(size) for size in row["output_shape"][1:]),
            "parameters": int(row["parameters"]),
            "operations": f"{row['multiply_adds'] / 1e6:,.4g}",
            "memory": f"{row['activation_bytes'] / 2**20:,.3g}",
        }
        for name, row in table.tail(_STAGES).iterrows()
    ]
