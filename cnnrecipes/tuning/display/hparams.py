"""Trials in TensorBoard's HParams tab: hyperparameters, score and curve of each, in tensorboard/ of a search."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import tensorflow as tf

from cnnrecipes.recipe.keys_and_defaults import LoggerName
from cnnrecipes.recipe.ranges import Choice, Int, LogInt
from cnnrecipes.recipe.space import Entry
from cnnrecipes.tuning.records import FAILED, Trial, name_of

if TYPE_CHECKING:
    from cnnrecipes.tuning.search import Search

FOLDER = "tensorboard"
_NAME: LoggerName = "tensorboard"
SCORE = "score"


def log_trial(search: Search, trial: Trial) -> None:
    """Write a trial that is over, once, if the recipe's loggers include TensorBoard.

    The HParams tab of `tensorboard --logdir FOLDER/tensorboard` has a session per trial, with the keys of the space and
    two metrics: `score`, and the objective of each epoch.
    """
    folder = search.folder / FOLDER / name_of(trial.trial)
    if _NAME not in search.recipe.logging.loggers or folder.exists():
        return
    if not list((search.folder / FOLDER).glob("events.*")):
        _log_space(search.folder / FOLDER, search.settings.entries, search.settings.objective)
    from tensorboard.plugins.hparams import api, api_pb2, summary  # takes half a second

    status = api_pb2.STATUS_FAILURE if trial.status == FAILED else api_pb2.STATUS_SUCCESS
    writer = tf.summary.create_file_writer(str(folder))
    with writer.as_default():
        api.hparams({key: _plain(value) for key, value in trial.values.items()}, trial_id=name_of(trial.trial))
        for epoch, value in trial.history(search.folder, search.settings.objective).items():
            tf.summary.scalar(search.settings.objective, value, step=epoch)
        if trial.score is not None:
            tf.summary.scalar(SCORE, trial.score, step=trial.best_epoch or 0)
        tf.summary.experimental.write_raw_pb(summary.session_end_pb(status).SerializeToString(), step=0)
    writer.close()


def _log_space(folder: Path, entries: tuple[Entry, ...], objective: str) -> None:
    """Write the space, the columns of the tab."""
    from tensorboard.plugins.hparams import api

    metrics = [api.Metric(SCORE, display_name=f"score ({objective})"), api.Metric(objective, display_name="last epoch")]
    writer = tf.summary.create_file_writer(str(folder))
    with writer.as_default():
        api.hparams_config(hparams=[api.HParam(entry.key, _domain(entry)) for entry in entries], metrics=metrics)
    writer.close()


def _domain(entry: Entry) -> Any:
    from tensorboard.plugins.hparams import api

    if isinstance(entry.values, (Int, LogInt)):
        return api.IntInterval(*entry.values.ends)
    if not isinstance(entry.values, Choice):
        return api.RealInterval(*map(float, entry.values.ends))
    choices = [_plain(value) for value in entry.values.values]
    return api.Discrete(choices) if len(set(map(type, choices))) == 1 else None


def _plain(value: Any) -> bool | int | float | str:
    """Return a value that TensorBoard can store: lists as JSON."""
    return value if isinstance(value, (bool, int, float, str)) else json.dumps(value)
