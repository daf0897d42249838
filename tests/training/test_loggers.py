"""TensorBoard, W&B and MLflow loggers have the numbers of history.csv, also after an error and a resume."""

from __future__ import annotations

import contextlib
import importlib.util
import json
import struct
import sys
import time
from pathlib import Path
from typing import get_args

import keras
import numpy as np
import pandas as pd
import pytest
from tensorboard.backend.event_processing.data_provider import MultiplexerDataProvider
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.backend.event_processing.plugin_event_multiplexer import EventMultiplexer
from tensorboard.context import RequestContext
from tensorboard.plugins.base_plugin import TBContext
from tensorboard.plugins.hparams import api_pb2, backend_context, list_session_groups
from tensorboard.util import tensor_util

from cnnrecipes.errors import RunError, TrainingError
from cnnrecipes.recipe import schema
from cnnrecipes.recipe.keys_and_defaults import LoggerName
from cnnrecipes.runs.training_progress import TrainState
from cnnrecipes.training import loggers
from cnnrecipes.training.callbacks.validation_and_history import HistoryFile

RANDOM = np.random.default_rng(0)
IMAGES = RANDOM.integers(0, 256, (48, 4, 4, 1), np.uint8)
LABELS = np.eye(3, dtype=np.float32)[np.arange(48) % 3]


def installed(name):
    found = importlib.util.find_spec(name)
    return found is not None and found.origin is not None


def recipe_of(*names):
    tables = {
        "name": "tiny",
        "data": {"name": "arrays"},
        "augment": {"ops": ["flip_lr", "pad_crop(2)"]},
        "model": {"name": "resnet8"},
        "optimizer": {"warmup": "1 epoch"},
        "train": {"epochs": 3},
        "logging": {"loggers": names},
    }
    return schema.Recipe.from_dict(tables, "test")


class Record(keras.callbacks.Callback):
    def on_epoch_end(self, epoch, logs=None):
        logs |= {"learning_rate": 0.5 ** (epoch + 1), "images_per_second": 100.0 + epoch, "memory_mib": 300.5}


class Stop(keras.callbacks.Callback):
    def on_epoch_end(self, epoch, logs=None):
        raise KeyboardInterrupt


def trained(made, folder, first=0, last=3, stop=False, history="history.csv"):
    """Train epochs `first` to `last` of a linear model with loggers; return the history."""
    model = keras.Sequential([keras.Input((4, 4, 1)), keras.layers.Rescaling(1 / 255), keras.layers.Flatten()])
    model.add(keras.layers.Dense(3))
    model.compile("sgd", keras.losses.CategoricalCrossentropy(from_logits=True), metrics=["accuracy"])
    callbacks = [Record(), HistoryFile(TrainState(1), folder / history), *made, *([Stop()] if stop else [])]
    try:
        model.fit(
            IMAGES,
            LABELS,
            batch_size=16,
            validation_data=(IMAGES, LABELS),
            initial_epoch=first,
            epochs=last,
            callbacks=callbacks,
            verbose=0,
        )
    except KeyboardInterrupt:
        assert stop
    finally:
        for logger in made:
            logger.close()
    return pd.read_csv(folder / history)


def scalars(folder: Path) -> dict[str, list[tuple[int, float]]]:
    """Tag -> [(step, value)] of all event files in a folder, in the order of writing."""
    events = EventAccumulator(str(folder), size_guidance={"tensors": 0}).Reload()
    tags = [tag for tag in events.Tags()["tensors"] if tag.startswith("epoch_")]
    return {
        tag: [(e.step, tensor_util.make_ndarray(e.tensor_proto).item()) for e in events.Tensors(tag)] for tag in tags
    }


def assert_events_match(history, folder):
    """The event files have each number of a history exactly once, at its epoch."""
    found = {f"val_{tag[6:]}": rows for tag, rows in scalars(folder / "tensorboard" / "validation").items()}
    found |= {tag[6:]: rows for tag, rows in scalars(folder / "tensorboard" / "train").items()}
    assert set(found) == set(history.columns) - {"epoch"}
    for name, rows in found.items():
        assert [step for step, _ in rows] == history.epoch.tolist(), name
        assert [value for _, value in rows] == pytest.approx(history[name].tolist(), rel=1e-6), name


def sessions(folder: Path) -> list:
    """The rows of TensorBoard's HParams page, as made by its own plugin."""
    multiplexer = EventMultiplexer(tensor_size_guidance={"tensors": 0}).AddRunsFromDirectory(str(folder)).Reload()
    context = backend_context.Context(TBContext(data_provider=MultiplexerDataProvider(multiplexer, str(folder))))
    contents = context.hparams_metadata(RequestContext(), "")
    experiment = context.experiment_from_metadata(RequestContext(), "", True, contents, [])
    asked = api_pb2.ListSessionGroupsRequest(
        start_index=0,
        slice_size=100,
        allowed_statuses=[api_pb2.STATUS_SUCCESS, api_pb2.STATUS_FAILURE, api_pb2.STATUS_RUNNING],
        col_params=[api_pb2.ColParams(metric=info.name) for info in experiment.metric_infos],
    )
    handler = list_session_groups.Handler(RequestContext(), context, "", asked)
    return [info.display_name for info in experiment.metric_infos], list(handler.run().session_groups)


def test_tensorboard_matches_the_history(tmp_path):
    assert_events_match(trained(loggers.loggers(recipe_of("tensorboard"), tmp_path), tmp_path), tmp_path)


def test_tensorboard_of_a_resumed_training_continues_in_new_event_files(tmp_path):
    """After an interrupt nothing is missing, since each epoch is flushed at its end."""
    parts = []
    for first, last, stop in ((0, 3, True), (1, 2, False), (2, 3, False)):
        made = loggers.loggers(recipe_of("tensorboard"), tmp_path)
        parts.append(trained(made, tmp_path, first, last, stop, f"{first}.csv"))
        time.sleep(1)  # TensorBoard orders event files by the second in their names
    assert_events_match(pd.concat(parts), tmp_path)
    assert len(list((tmp_path / "tensorboard" / "train").iterdir())) == 3
    _, (group,) = sessions(tmp_path)
    assert group.sessions[0].name == "tensorboard"


@pytest.mark.parametrize("stop", [False, True])
def test_hparams_page_has_the_recipe_and_the_last_validation(tmp_path, stop):
    history = trained(loggers.loggers(recipe_of("tensorboard"), tmp_path), tmp_path, stop=stop)
    names, (group,) = sessions(tmp_path)
    assert names == ["val_accuracy", "val_loss"]
    assert group.hparams["train.epochs"].number_value == 3
    assert group.hparams["augment.ops"].string_value == "flip_lr, pad_crop(2)"
    assert group.hparams["optimizer.warmup"].string_value == "1 epoch"
    assert group.hparams["optimizer.decay_all"].bool_value is False
    (session,) = group.sessions
    assert session.status == (api_pb2.STATUS_FAILURE if stop else api_pb2.STATUS_SUCCESS)
    found = {f"val_{value.name.tag[6:]}": value.value for value in session.metric_values}
    last = history.iloc[-1]
    assert found == pytest.approx({"val_accuracy": last.val_accuracy, "val_loss": last.val_loss}, rel=1e-6)


def test_first_batch_is_logged_once(tmp_path):
    calls = []

    def first_batch():
        calls.append(1)
        return IMAGES, LABELS

    for first in (0, 1):
        made = loggers.loggers(recipe_of("tensorboard"), tmp_path, first_batch=first_batch, class_names=("a", "b", "c"))
        trained(made, tmp_path, first, first + 1)
    assert calls == [1]
    events = EventAccumulator(str(tmp_path / "tensorboard" / "train"), size_guidance={"tensors": 0}).Reload()
    (event,) = events.Tensors("first_batch")
    width, height, png = tensor_util.make_ndarray(event.tensor_proto)
    assert (int(width), int(height)) == (800, 840)
    assert png.startswith(b"\x89PNG")


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize(("count", "rows"), [(1, 1), (5, 2), (40, 4)])
def test_batch_picture_shows_images_at_their_brightness(count, rows, channels):
    shades = np.linspace(0, 250, count).astype(np.uint8)
    images = np.broadcast_to(shades[:, None, None, None], (count, 8, 8, channels))
    picture = loggers.batch_picture(images, np.full((count, 2), 0.5))
    assert picture.dtype == np.uint8
    assert picture.shape == (210 * rows, 800, 3)
    shown = shades[:16]
    found = [
        picture[row * 210 + 60 : row * 210 + 180, column * 200 + 60 : column * 200 + 140].mean()
        for row in range(rows)
        for column in range(4)
    ]
    assert found[: len(shown)] == pytest.approx(shown.tolist(), abs=1)
    assert found[len(shown) :] == [255] * (4 * rows - len(shown))


def test_recipe_is_flattened_to_a_table_of_scalars():
    table = loggers.flat(recipe_of("tensorboard"))
    assert table["name"] == "tiny"
    assert table["optimizer.decay_all"] is False
    assert {type(value) for value in table.values()} <= {bool, int, float, str}
    assert set(table) <= set(schema.all_keys())


@pytest.mark.parametrize("name", ["wandb", "mlflow"])
def test_missing_logger_package_raises_with_install_command(name, monkeypatch, tmp_path):
    """Also where W&B has left a folder of its name, which Python would import as a namespace package."""
    monkeypatch.setattr(sys, "path", [str(tmp_path)])
    monkeypatch.delitem(sys.modules, name, raising=False)
    for folder in (None, tmp_path / name):
        if folder:
            folder.mkdir()
            importlib.invalidate_caches()
        with pytest.raises(TrainingError, match=rf"logging\.loggers has '{name}', which is not .*`pip install {name}`"):
            loggers.check(recipe_of("tensorboard", name).logging)


def test_every_logger_that_a_recipe_may_name_has_a_class(tmp_path):
    names = get_args(LoggerName)
    assert len({type(one) for one in loggers.loggers(recipe_of(*names), tmp_path)}) == len(names)


def test_tensorboard_is_a_dependency_of_the_package():
    loggers.check(recipe_of("tensorboard").logging)
    loggers.check(recipe_of().logging)
    assert loggers.loggers(recipe_of(), Path("nowhere")) == []


def test_logger_packages_are_imported_lazily(tmp_path):
    made = loggers.loggers(recipe_of("wandb", "mlflow"), tmp_path)
    assert [type(logger).__name__ for logger in made] == ["WandbLogger", "MlflowLogger"]
    for logger in made:
        logger.close()
    assert not list(tmp_path.iterdir())


def test_logger_ids_are_unique_per_run_folder_and_kept_on_resume(tmp_path):
    ids = iter("abcd")
    for folder in (tmp_path / "1" / "run", tmp_path / "2" / "run"):
        folder.mkdir(parents=True)
    found = [loggers.remembered(tmp_path / where / "run", "wandb", lambda: next(ids)) for where in "1212"]
    assert found == ["a", "b", "a", "b"]
    assert loggers.remembered(tmp_path / "1" / "run", "mlflow") is None


@pytest.mark.parametrize("content", ["", '{"wandb": "a', "[]", '{"wandb": 1}', "\xff"])
def test_damaged_file_of_logger_ids_raises(tmp_path, content):
    (tmp_path / "loggers.json").write_bytes(content.encode("latin-1"))
    with pytest.raises(RunError, match=r"cannot read .*loggers\.json.*delete it"):
        loggers.remembered(tmp_path, "wandb", lambda: "b")
    assert (tmp_path / "loggers.json").read_bytes() == content.encode("latin-1")


def wandb_records(path):
    """The records of W&B's file: 7 bytes, then LevelDB's log format in blocks of 32 KiB."""
    from wandb.proto import wandb_internal_pb2

    data, place, found, whole_record = path.read_bytes(), 7, [], b""
    while place + 7 <= len(data):
        if 2**15 - place % 2**15 < 7:  # the rest of a block is too short for a header
            place += 2**15 - place % 2**15
            continue
        _, size, kind = struct.unpack_from("<IHB", data, place)
        whole_record += data[place + 7 : place + 7 + size]
        place += 7 + size
        if kind in (1, 4):  # a whole record, or the last part of one
            found.append(wandb_internal_pb2.Record.FromString(whole_record))
            whole_record = b""
    return found


@pytest.mark.parametrize("outer", [False, True])
def test_loggers_are_marked_as_failed_only_by_an_exception_of_the_training(outer):
    """An outer `except` block in which the training is started does not count as a failure."""
    ends = []

    class Told(loggers.Logger):
        def open(self):
            pass

        def end(self, failed):
            ends.append(failed)

    def run(error=None):
        logger = Told()
        logger.on_train_begin()
        with contextlib.suppress(ValueError):
            try:
                if error:
                    raise error
            finally:
                logger.on_train_end()
                logger.close()

    def both():
        run()
        run(ValueError("x"))

    if outer:
        try:
            raise KeyError("before")
        except KeyError:
            both()
    else:
        both()
    assert ends == [False, True]


@pytest.mark.skipif(not installed("wandb"), reason="wandb is not installed")
@pytest.mark.parametrize("stop", [False, True])
def test_wandb_matches_the_history(tmp_path, monkeypatch, stop):
    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.setenv("WANDB_SILENT", "true")
    history = trained(loggers.loggers(recipe_of("wandb"), tmp_path), tmp_path, stop=stop)
    (path,) = tmp_path.glob("wandb/offline-run-*/*.wandb")
    records = wandb_records(path)
    rows = [
        {item.key or item.nested_key[0]: json.loads(item.value_json) for item in record.history.item}
        for record in records
        if record.WhichOneof("record_type") == "history"
    ]
    for row, expected in zip(rows, history.to_dict("records"), strict=True):
        assert row["_step"] == expected.pop("epoch")
        assert {key: row[key] for key in expected} == pytest.approx(expected)
    run = next(record.run for record in records if record.WhichOneof("record_type") == "run")
    assert (run.project, run.display_name) == ("cnnrecipes", tmp_path.name)
    assert run.run_id == loggers.remembered(tmp_path, "wandb")
    assert "train" in {item.key for item in run.config.update}
    (end,) = [record.exit for record in records if record.WhichOneof("record_type") == "exit"]
    assert end.exit_code == int(stop)


@pytest.mark.skipif(not installed("mlflow"), reason="mlflow is not installed")
def test_mlflow_resumes_the_same_run_with_recipe_and_history(tmp_path, monkeypatch):
    import mlflow

    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path / 'mlflow.db'}")
    monkeypatch.chdir(tmp_path)
    whole_recipe = recipe_of("mlflow")
    first = trained(loggers.loggers(whole_recipe, tmp_path), tmp_path, 0, 3, stop=True)
    (run,) = mlflow.search_runs(experiment_names=["cnnrecipes"], output_format="list")
    assert run.info.status == "FAILED"
    second = trained(loggers.loggers(whole_recipe, tmp_path), tmp_path, 1, 3)
    (run,) = mlflow.search_runs(experiment_names=["cnnrecipes"], output_format="list")
    assert (run.info.status, run.info.run_name) == ("FINISHED", tmp_path.name)
    assert run.info.run_id == loggers.remembered(tmp_path, "mlflow")
    values = loggers.flat(whole_recipe)
    assert run.data.params == {key: str(value)[:500] for key, value in values.items() if value != ""}
    history = pd.concat([first, second])
    for name in set(history.columns) - {"epoch"}:
        rows = mlflow.MlflowClient().get_metric_history(run.info.run_id, name)
        assert [row.step for row in rows] == history.epoch.tolist()
        assert [row.value for row in rows] == pytest.approx(history[name].tolist())


@pytest.mark.skipif(not installed("mlflow"), reason="mlflow is not installed")
def test_mlflow_error_does_not_end_the_training(tmp_path, monkeypatch):
    import mlflow

    def refuse(*args, **kwargs):
        raise mlflow.MlflowException("the server is away")

    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path / 'mlflow.db'}")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(mlflow, "log_metrics", refuse)
    with pytest.warns(UserWarning, match="MLflow did not record.*the server is away"):
        history = trained(loggers.loggers(recipe_of("mlflow"), tmp_path), tmp_path)
    assert len(history) == 3
