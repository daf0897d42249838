"""Layer records of a diagnosis, summarized from the table of the watch of a training."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cnnrecipes.diagnosis.evidence import LayerRecord

if TYPE_CHECKING:
    import pandas as pd

RECENT = 1 / 3  # last share of the completed steps whose observations count
COLUMNS = ("step", "layer", "kind", "dead", "update_ratio", "gradient_norm")


def first_recent_step(steps: int) -> int:
    """Return the first step of the last third of `steps` completed steps."""
    return round(steps * (1 - RECENT))


def layer_records(table: pd.DataFrame, steps: int | None = None) -> tuple[LayerRecord, ...]:
    """Return each layer's median update ratio, gradient norm and dead share over the last third of the completed steps.

    () without an observation in it. Earlier observations do not count: the watch of a short training may have seen its
    first steps only, when warm-up and drawn weights make other updates. Only convolutions and dense layers have update
    ratios: norms with weights near 0 have far larger ones.

    Args:
        table: with the columns `COLUMNS` of `Run.watch`, one row for each observed step and layer.
        steps: completed steps of the training; None: it ended with the last observation.
    """
    done = max(steps or 0, int(table["step"].max())) if len(table) else 0
    recent = table[table["step"] >= first_recent_step(done)]
    recent = recent.assign(update_ratio=recent["update_ratio"].where(recent["kind"] == "weighted"))
    medians = recent.groupby("layer", sort=False)[["dead", "update_ratio", "gradient_norm"]].median()
    return tuple(
        LayerRecord(str(row.Index), row.dead, row.update_ratio, row.gradient_norm) for row in medians.itertuples()
    )
