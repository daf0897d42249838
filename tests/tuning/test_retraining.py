"""Trainings after a search that other processes hold, or held when they were killed."""

from __future__ import annotations

import threading
import time

from small_search import DATA, RECIPE, SPACE

import cnnrecipes as cr
from cnnrecipes._support.locks import NAME, locked
from cnnrecipes.tuning.open_data import OpenData
from cnnrecipes.tuning.retraining import record_path, retrain, tasks, unfinished_retrainings


def test_training_of_a_dying_worker_is_waited_for_and_not_failed(tmp_path):
    search = cr.tune(
        RECIPE, DATA, space=SPACE, trials=1, best=0, workdir=tmp_path, progress=False, **{"train.epochs": 1}
    )
    (search.folder / "recipe.toml").write_text(search.recipe.change(**{"search.best": 1, "search.seeds": 1}).to_toml())
    search = cr.Search.open(search.folder)
    ((trial, seed),) = tasks(search)
    path = record_path(search, trial.trial, seed)
    folder = path.with_suffix("")
    folder.mkdir(parents=True)
    ready = threading.Event()

    def worker() -> None:
        """Hold the locks of a training for a second, as a worker that writes its last checkpoint."""
        with locked(path.with_suffix(".lock")) as first, locked(folder / NAME) as second:
            assert first
            assert second
            ready.set()
            time.sleep(1)

    thread = threading.Thread(target=worker)
    thread.start()
    ready.wait()
    said: list[str] = []
    with OpenData(DATA) as data:
        retrain(search, data, said.append)
        assert unfinished_retrainings(search) == 1  # left to the other process
        retrain(search, data, said.append, all_of_them=True)
    thread.join()
    assert unfinished_retrainings(search) == 0
    assert "failed" not in " ".join(said)
