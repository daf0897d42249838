"""Trials in TensorBoard's HParams tab, read back by TensorBoard's own plugin."""

from __future__ import annotations

from pathlib import Path

import pytest
from synthetic_search import search_with, trial
from tensorboard.backend.event_processing.data_provider import MultiplexerDataProvider
from tensorboard.backend.event_processing.plugin_event_multiplexer import EventMultiplexer
from tensorboard.context import RequestContext
from tensorboard.plugins.base_plugin import TBContext
from tensorboard.plugins.hparams import api_pb2, backend_context, list_session_groups

from cnnrecipes.tuning.display.page_writer import PageWriter

HISTORY = (
    "epoch,loss,accuracy,learning_rate,seconds,images_per_second,val_loss,val_accuracy\n"
    "1,1,0.5,0.1,1,9,1,0.75\n2,1,0.5,0.1,1,9,1,0.5\n"
)
VALUES = {"optimizer.learning_rate": 0.25, "optimizer.name": "adamw", "train.label_smoothing": 0.1}


def groups(folder: Path):
    """The columns and rows of the HParams tab."""
    multiplexer = EventMultiplexer(tensor_size_guidance={"tensors": 0}).AddRunsFromDirectory(str(folder)).Reload()
    context = backend_context.Context(TBContext(data_provider=MultiplexerDataProvider(multiplexer, str(folder))))
    contents = context.hparams_metadata(RequestContext(), "")
    experiment = context.experiment_from_metadata(RequestContext(), "", True, contents, [])
    asked = api_pb2.ListSessionGroupsRequest(
        start_index=0,
        slice_size=100,
        allowed_statuses=[api_pb2.STATUS_SUCCESS, api_pb2.STATUS_FAILURE],
        col_params=[api_pb2.ColParams(metric=info.name) for info in experiment.metric_infos],
    )
    handler = list_session_groups.Handler(RequestContext(), context, "", asked)
    return [info.name for info in experiment.hparam_infos], list(handler.run().session_groups)


def logged(folder: Path, loggers: list[str]):
    trials = [trial(1, VALUES, 0.75, best_epoch=1), trial(2, {**VALUES, "optimizer.name": "sgd"}, None, "failed")]
    search = search_with(folder, trials, **{"logging.loggers": loggers})
    (folder / "trials" / "0001").mkdir()
    (folder / "trials" / "0001" / "history.csv").write_text(HISTORY)
    for one in [*trials, trials[0]]:  # the first one again, as after a resume
        PageWriter(search, pytest.fail).trial_over(one)
    return search


def test_hparams_tab_has_values_and_score_of_each_trial(tmp_path):
    search = logged(tmp_path / "search", ["tensorboard"])
    columns, rows = groups(search.folder / "tensorboard")
    assert set(columns) == set(search.keys)
    by_name = {session.name: (group, session) for group in rows for session in group.sessions}
    assert set(by_name) == {"0001", "0002"}
    group, session = by_name["0001"]
    assert group.hparams["optimizer.learning_rate"].number_value == 0.25
    assert group.hparams["optimizer.name"].string_value == "adamw"
    metrics = {value.name.tag: (value.value, value.training_step) for value in session.metric_values}
    assert metrics == {"score": (0.75, 1), "val_accuracy": (0.5, 2)}
    assert session.status == api_pb2.STATUS_SUCCESS
    assert by_name["0002"][1].status == api_pb2.STATUS_FAILURE
    assert len(list((search.folder / "tensorboard" / "0001").iterdir())) == 1


def test_without_the_logger_nothing_is_written(tmp_path):
    assert not (logged(tmp_path / "search", []).folder / "tensorboard").exists()
