"""Helpers: an oracle of a small space, and a loop that runs its trials without training."""

from __future__ import annotations

import json
import math

from keras_tuner.src.engine.trial import TrialStatus

from cnnrecipes.recipe import catalog
from cnnrecipes.tuning.kept_oracle import VALUES
from cnnrecipes.tuning.oracles import open_oracle

SPACE = {
    "optimizer.name": ["sgd", "adamw"],
    "optimizer.learning_rate": "log(1e-4, 1)",
    "optimizer.momentum": {"values": "uniform(0.5, 0.99)", "when": {"optimizer.name": "sgd"}},
    "augment.ops": [["flip_lr"], []],
}


def oracle_in(folder, space=SPACE, *, served=False, epochs=40, **table):
    folder.mkdir(exist_ok=True)
    changes = {"train": {"epochs": epochs}, "search": {"space": space, "trials": 12, **table}}
    return open_oracle(catalog.load({"extends": "resnet8_digits", **changes}), folder, served=served)


def score_of(values) -> float:
    """Best at a learning rate of 0.1."""
    return -abs(math.log10(values["optimizer.learning_rate"]) + 1)


def run(oracle, most=1000, score=score_of, name="one"):
    """Run trials, and return their values; a score of None is a failure."""
    found = []
    while len(found) < most:
        trial = oracle.create_trial(name)
        if trial.status == TrialStatus.STOPPED:
            break
        values = json.loads(trial.hyperparameters.values[VALUES])
        found.append(values)
        result = score(values)
        if result is not None:
            oracle.update_trial(trial.trial_id, {"val_accuracy": result})
        trial.status = TrialStatus.FAILED if result is None else TrialStatus.COMPLETED
        oracle.end_trial(trial)
    return found
