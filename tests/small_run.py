"""Helper: run folders with given results, without any training."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

import cnnrecipes as cr
from cnnrecipes.recipe.schema import Recipe
from cnnrecipes.runs.classification_metrics import classification_metrics
from cnnrecipes.runs.predictions import FILE, Predictions, write_predictions
from cnnrecipes.runs.watch_records import WatchFile, histogram

HOSTILE = (
    "<script>document.title = 'run'</script>",
    '"><img src=x onerror="document.title = \'run\'">',
    "\u0643\u0644\u0628 \u0635\u063a\u064a\u0631",  # right to left
    "reversed \u202e name",
    "long " + "x" * 195,
    "</td></table>{{ 7 * 7 }}",
)


def predictions(
    split: str = "test",
    class_names: Sequence[str] = ("ant", "bee", "cat"),
    n: int = 120,
    seed: int = 0,
    right: float = 0.8,
) -> Predictions:
    """Predictions of which about a share of `right` is correct; errors go to the next class."""
    random = np.random.default_rng(seed)
    classes = len(class_names)
    truth = np.sort(random.integers(0, classes, n))
    sharp = random.uniform(0.4, 1.0, n)
    answer = np.where(random.random(n) < right, truth, (truth + 1) % classes)
    probabilities = np.full((n, classes), 1.0) * ((1 - sharp) / classes)[:, None]
    probabilities[np.arange(n), answer] += sharp
    files = tuple(f"{class_names[label]}/{place}.png" for place, label in enumerate(truth.tolist()))
    positions = np.arange(n, dtype=np.int64)
    return Predictions(
        split,
        tuple(class_names),
        files,
        positions,
        truth.astype(np.int32),
        probabilities.astype(np.float32),
        None,
        "same",
    )


def write_run(
    folder: Path,
    *,
    epochs: int = 6,
    kept: Sequence[Predictions] = (),
    class_names: Sequence[str] = ("ant", "bee", "cat"),
    watch: int = 0,
    **changes: Any,
) -> cr.Run:
    """Write a run folder and return the run.

    Args:
        epochs: completed; 0: there is no history.csv.
        kept: the predictions of a finished run; none: it is not finished.
        class_names: in model.json.
        watch: layers in watch.csv.
        changes: of the recipe.
    """
    tables = {"name": folder.name, "data": {"name": "arrays"}, "model": {"name": "resnet8"}, "train": {"epochs": 6}}
    recipe = Recipe.from_dict(tables, "test").change(**changes)
    folder.mkdir(parents=True)
    (folder / "recipe.toml").write_text(recipe.to_toml(), encoding="utf-8")
    about = {"input_shape": [8, 8, 1], "class_names": list(class_names)}
    (folder / "model.json").write_text(json.dumps(about), encoding="utf-8")
    found = {"packages": {"keras": "3.10"}, "python": "3.12", "devices": ["/CPU:0"], "cpu_count": 2, "command": ["fit"]}
    (folder / "environment.json").write_text(json.dumps(found), encoding="utf-8")
    if epochs:
        history(epochs).to_csv(folder / "history.csv", index=False)
    if watch:
        write_watch(folder / "watch.csv", watch, max(epochs, 1))
    if kept:
        write_predictions(folder / FILE, kept)
        metrics = {one.split: classification_metrics(one) for one in kept}
        numbers = {"epoch": max(epochs, 0), "parameters": 78_000, "trainable_parameters": 78_000}
        (folder / "metrics.json").write_text(json.dumps({**numbers, **metrics}), encoding="utf-8")
    return cr.Run.open(folder)


def history(epochs: int) -> pd.DataFrame:
    """A history in which the validation is best in the last epoch but one."""
    epoch = np.arange(1, epochs + 1)
    value = 1 - 0.8**epoch
    return pd.DataFrame(
        {
            "epoch": epoch,
            "loss": 2.3 * 0.7**epoch,
            "accuracy": value,
            "val_loss": 2.2 * 0.75**epoch,
            "val_accuracy": 0.95 * value - 0.05 * (epoch == epochs),
            "learning_rate": 0.1 * (1 - epoch / (epochs + 1)),
            "seconds": 2.0,
            "images_per_second": 1000.0,
            "memory_mib": 500.0,
        }
    )


def write_watch(path: Path, layers: int, steps: int) -> None:
    """Write a watch.csv of convolutions."""
    file, random = WatchFile(path), np.random.default_rng(0)
    bins = {f"bin_{place}": int(count) for place, count in enumerate(histogram(random.normal(size=1000)))}
    for step in range(1, steps + 1):
        rows = [
            {
                "layer": f"stage{place // 4}_conv{place}", "kind": "weighted", "mean": 0.1, "std": 1.0 + place,
                "dead": 0.0, "nonfinite": 0, "gradient_norm": 0.1 / step, "weight_norm": 3.0,
                "update_ratio": 1e-3 / step, **bins,
            }
            for place in range(layers)
        ]  # fmt: skip
        file.add(step * 10, rows)
