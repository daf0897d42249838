"""The cost: size of the model, time of the epochs, speed and memory."""

from __future__ import annotations

from collections.abc import Sequence

from cnnrecipes.report.facts import Facts
from cnnrecipes.report.line_chart import thinned
from cnnrecipes.report.section import Section, duration, render
from cnnrecipes.report.small_charts import sparkline
from cnnrecipes.runs.records import PARAMETERS, TRAINABLE

KEY, TITLE = "cost", "Cost and time"


def cost(facts: Facts) -> Section:
    """Return a table of what the model and its training cost."""
    rows: list[tuple[str, str, object]] = []
    metrics, history = facts.metrics or {}, facts.history
    if PARAMETERS in metrics:
        rows.append(("parameters", f"{metrics[PARAMETERS]:,}", ""))
        if metrics.get(TRAINABLE, metrics[PARAMETERS]) != metrics[PARAMETERS]:
            rows.append(("trained parameters", f"{metrics[TRAINABLE]:,}", ""))
    model = facts.run.folder / "model.keras"
    if facts.state == "finished" and model.is_file():
        rows.append(("model.keras", f"{model.stat().st_size / 2**20:.2f} MiB", ""))
    if history is not None and len(history):
        seconds, speed = history["seconds"], history["images_per_second"]
        rows.append(("training", duration(facts.seconds), f"{len(history)} epochs"))
        rows.append(("seconds an epoch", f"{seconds.median():.3g} (median)", sparkline(_some(seconds))))
        rows.append(("training images/s", f"{speed.median():,.0f} (median)", sparkline(_some(speed))))
        if "memory_mib" in history:
            rows.append(("peak memory of the process", f"{history['memory_mib'].max():,.0f} MiB", ""))
    if facts.environment:
        devices = ", ".join(str(one) for one in facts.environment.get("devices", ()))
        rows.append(("devices", devices or "unknown", f"{facts.environment.get('cpu_count')} CPU cores"))
    if not rows:
        return Section(KEY, TITLE, why="nothing of it is recorded")
    command = f"cnnrecipes profile {facts.recipe.name}" if facts.recipe.transfer.how == "none" else ""
    return Section(KEY, TITLE, render("cost.html", rows=rows, command=command))


def _some(values) -> Sequence[float]:
    return thinned(values.to_numpy(float), 60).tolist()
