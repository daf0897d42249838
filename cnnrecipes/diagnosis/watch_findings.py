"""Findings on the watch of the layers: the layer that stands out, as a sentence."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from cnnrecipes.errors import counted

GUIDE = 1e-3  # of the update ratio (Karpathy, CS231n notes, "Neural networks part 3", ratio of weights to updates)
_FAR = 30.0  # factor from the guide at which an update ratio is reported
_DEAD = 0.5  # share of dead channels that is reported
_MOST_DRIFT = 100.0  # standard deviation of activations that is reported


@dataclass(frozen=True)
class LayerFinding:
    """The layer that stands out most in a training.

    Attributes:
        layer: its name.
        problem: "non-finite", "dead", "fast", "slow", "large"; "" if nothing is wrong: then it is the layer whose
            update ratio is furthest from 1e-3.
        sentence: the finding with its numbers.
    """

    layer: str
    problem: str
    sentence: str

    def __str__(self) -> str:
        return self.sentence


def worst_layer(table: pd.DataFrame) -> LayerFinding:
    """Return the layer that stands out most.

    The first of these rules that applies to a layer decides:

    - its output or its gradient was NaN or infinite first;
    - at the end, half of its channels are dead, or more;
    - the median of its update ratio is more than 30 times above or below 1e-3 (convolutions and dense layers);
    - at the end, the standard deviation of its output is above 100;
    - else, the median of its update ratio is the furthest from 1e-3.

    Args:
        table: `Run.watch()`.
    """
    for rule in (_nonfinite, _dead, _fast_or_slow, _large):
        if (finding := rule(table)) is not None:
            return finding
    ratios = _median_ratios(table)
    if ratios.empty:
        last = table[table["step"] == table["step"].max()]
        layer = str(last.loc[last["std"].idxmax(), "layer"])
        return LayerFinding(layer, "", "No layer stands out, and none has trained weights.")
    layer = str(_distance(ratios).idxmax())
    return LayerFinding(
        layer,
        "",
        f"No layer stands out: {layer} is the furthest from the guide, with a median update ratio of "
        f"{ratios[layer]:.1e} (guide {GUIDE:g}), and no layer has {_DEAD:.0%} dead channels.",
    )


def _nonfinite(table: pd.DataFrame) -> LayerFinding | None:
    weights = table["weight_norm"].notna()
    bad = (table["nonfinite"] > 0) | (weights & ~np.isfinite(table["gradient_norm"]))
    if not bad.any():
        return None
    row = table[bad].iloc[0]
    if row["nonfinite"] > 0:
        what = f"{counted(int(row['nonfinite']), 'NaN or infinite value')} in its output"
    else:
        what = f"a gradient norm of {row['gradient_norm']}"
    return LayerFinding(
        row["layer"],
        "non-finite",
        f"{row['layer']} is the first layer that is not finite: {what} after {counted(row['step'], 'step')}; lower "
        "optimizer.learning_rate, or set optimizer.clip_norm=1.",
    )


def _dead(table: pd.DataFrame) -> LayerFinding | None:
    last = _last(table).dropna(subset="dead")
    if last.empty or last["dead"].max() < _DEAD:
        return None
    layer, share = last.loc[last["dead"].idxmax(), ["layer", "dead"]]
    own = table[table["layer"] == layer]
    since = own.loc[own["dead"] >= _DEAD, "step"].min()
    return LayerFinding(
        layer,
        "dead",
        f"{share:.0%} of the channels of {layer} are dead at the end, at least {_DEAD:.0%} since step {since}; lower "
        "optimizer.learning_rate or lengthen optimizer.warmup, or set model.activation=leaky_relu.",
    )


def _fast_or_slow(table: pd.DataFrame) -> LayerFinding | None:
    ratios = _median_ratios(table)
    if ratios.empty or _distance(ratios).max() < np.log10(_FAR):
        return None
    layer = str(_distance(ratios).idxmax())
    ratio = ratios[layer]
    factor = f"{max(ratio / GUIDE, GUIDE / max(ratio, 1e-30)):,.0f} times"
    if ratio > GUIDE:
        problem, what = "fast", f"{factor} above the guide of {GUIDE:g}; lower optimizer.learning_rate."
    else:
        problem = "slow"
        what = f"{factor} below the guide of {GUIDE:g}: it hardly learns; raise optimizer.learning_rate" + (
            ", or look at the gradient norms of the layers: it may vanish." if ratio > 0 else "."
        )
    return LayerFinding(layer, problem, f"{layer} has a median update ratio of {ratio:.1e}, {what}")


def _large(table: pd.DataFrame) -> LayerFinding | None:
    last = _last(table).dropna(subset="std")
    if last.empty or last["std"].max() < _MOST_DRIFT:
        return None
    layer, std = last.loc[last["std"].idxmax(), ["layer", "std"]]
    return LayerFinding(
        layer,
        "large",
        f"The output of {layer} has a standard deviation of {std:,.0f} at the end; use a normalization (model.norm), "
        "or lower optimizer.learning_rate.",
    )


def _last(table: pd.DataFrame) -> pd.DataFrame:
    return table[table["step"] == table["step"].max()]


def _median_ratios(table: pd.DataFrame) -> pd.Series:
    """Return the median over time of the update ratio of each convolution and dense layer, in order of computation."""
    rows = table[(table["kind"] == "weighted") & table["update_ratio"].notna()]
    return rows.groupby("layer", sort=False)["update_ratio"].median()


def _distance(ratios: pd.Series) -> pd.Series:
    """Return the distance of update ratios from the guide, in decades."""
    return (np.log10(ratios.clip(lower=1e-30)) - np.log10(GUIDE)).abs()
