"""Helper: folders of searches with given trials, without any training."""

from __future__ import annotations

import json
import random
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cnnrecipes as cr
from cnnrecipes.recipe import catalog
from cnnrecipes.tuning.records import Trial, name_of
from cnnrecipes.tuning.search import Search

SPACE = {
    "optimizer.learning_rate": "log(1e-3, 1)",
    "optimizer.name": ["sgd", "adamw"],
    "optimizer.momentum": {"values": "uniform(0.8, 0.99)", "when": {"optimizer.name": "sgd"}},
    "train.label_smoothing": [0.0, 0.1],
}


def search_with(folder: Path, trials: Sequence[Trial], space: dict[str, Any] | None = None, **settings: Any) -> Search:
    """Write the folder of a search with these records."""
    recipe = catalog.load("resnet8_digits").change(**settings)
    table = {"trials": 20, "space": SPACE if space is None else space, **settings.pop("search", {})}
    (folder / "trials").mkdir(parents=True)
    (folder / "recipe.toml").write_text(recipe.change(search=table).to_toml())
    (folder / "search.json").write_text(json.dumps({"format": 1}))
    for one in trials:
        one.write(folder)
    return cr.Search.open(folder)


def trial(number: int, values: dict[str, Any], score: float | None, status: str = "completed", **more: Any) -> Trial:
    """Return a record; each trial takes 10 s, one after the other."""
    start = 10 * (number - 1)
    started = f"2026-01-01T{start // 3600:02d}:{start // 60 % 60:02d}:{start % 60:02d}+00:00"
    more = {"epochs": 3, "seconds": 10.0, "best_epoch": 3 if score is not None else None, **more}
    return Trial(number, values, number, started, status, score=score, run=f"trials/{name_of(number)}", **more)


def values_of(random_numbers: random.Random) -> dict[str, Any]:
    """Return random values of SPACE."""
    values: dict[str, Any] = {
        "optimizer.learning_rate": 10 ** random_numbers.uniform(-3, 0),
        "optimizer.name": random_numbers.choice(["sgd", "adamw"]),
        "train.label_smoothing": random_numbers.choice([0.0, 0.1]),
    }
    if values["optimizer.name"] == "sgd":
        values["optimizer.momentum"] = random_numbers.uniform(0.8, 0.99)
    return values


def many_trials(count: int, seed: int = 0) -> list[Trial]:
    """Return trials of all statuses, whose score depends on the learning rate alone."""
    numbers, made = random.Random(seed), []
    for number in range(1, count + 1):
        values = values_of(numbers)
        score = max(0.95 - abs(values["optimizer.learning_rate"] - 0.1) + numbers.gauss(0, 0.01), 0.1)
        if number % 7 == 0:
            made.append(trial(number, values, None, "failed", reason="the loss became NaN at step 3 & <b>stopped</b>"))
        elif number % 4 == 0:
            made.append(trial(number, values, score, "pruned", reason="pruned after epoch 1", epochs=1))
        else:
            made.append(trial(number, values, score))
    return made
