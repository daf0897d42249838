"""The learning rate: as planned by the recipe, and as recorded at the ends of the epochs."""

from __future__ import annotations

import numpy as np

from cnnrecipes.figures.number_axis import NumberAxis
from cnnrecipes.report.facts import Facts
from cnnrecipes.report.line_chart import Plot, Series, legend, thinned
from cnnrecipes.report.section import Section, render

KEY, TITLE = "schedule", "Learning rate"


def schedule(facts: Facts) -> Section:
    """Return the learning rate over the epochs."""
    series = []
    if facts.rates is not None and len(facts.rates):
        places = thinned(np.arange(len(facts.rates)))
        series.append(Series("planned", "other", facts.rates[places, 0], facts.rates[places, 1]))
    history = facts.history
    if history is not None and len(history):
        places = thinned(np.arange(len(history)))
        epochs, rates = (history[name].to_numpy(float)[places] for name in ("epoch", "learning_rate"))
        series.append(Series("at the end of the epoch", "val", epochs, rates, dots=True))
    if not series:
        return Section(KEY, TITLE, why=facts.why.get("history", "no epoch is completed"))
    last = max(float(one.x.max()) for one in series)
    highest = max(float(np.nanmax(one.y)) for one in series)
    plot = Plot(
        "schedule", "Learning rate", series, NumberAxis(0.0, max(last, 1.0)), NumberAxis(0.0, 1.05 * highest),
        described=f"Learning rate over {last:.0f} epochs, at most {highest:.3g}.",
    )  # fmt: skip
    table = facts.recipe.optimizer
    keys = {
        "optimizer": table.name,
        "learning rate": f"{table.learning_rate:g}",
        "schedule": table.schedule,
        "warm-up": str(table.warmup),
        "weight decay": f"{table.weight_decay:g}",
        "batch size": str(facts.recipe.data.batch_size),
    }
    return Section(KEY, TITLE, render("schedule.html", plot=plot, legend=legend(series), keys=keys))
