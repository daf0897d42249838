"""Searches in processes of their own that are killed: alone, and as a worker of several; the result is bit-equal."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import pandas as pd
import pytest

import cnnrecipes as cr
from cnnrecipes.recipe import catalog
from cnnrecipes.recipe.toml import parse_override
from cnnrecipes.tuning.chief import Chief
from cnnrecipes.tuning.open_data import OpenData
from cnnrecipes.tuning.oracles import open_oracle
from cnnrecipes.tuning.parallel import attend
from cnnrecipes.tuning.roles import NAMES
from cnnrecipes.tuning.search_folder import open_search, search_folder
from cnnrecipes.tuning.tune import search_recipe

CHANGES = [
    "model.depths=[1]",
    "model.widths=[16]",
    "data.test=0.8",
    "data.batch_size=32",
    "logging.loggers=[]",
    "logging.watch=off",
    "logging.checkpoint_every=1 epoch",
    "optimizer.warmup=0 epochs",
    "train.epochs=4",
]
NAME = "search_resnet8_digits"


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """The search without interruptions, in this process."""
    options = {"trials": 2, "best": 1, "seeds": 1, "workdir": tmp_path_factory.mktemp("whole"), "progress": False}
    return cr.tune("resnet8_digits", **options, **dict(map(parse_override, CHANGES)))


def start(folder: Path, *more: str, trials: int = 2, environment: dict[str, str] | None = None) -> subprocess.Popen:
    arguments = [*CHANGES, "--trials", str(trials), "--best", "1", "--seeds", "1", "--workdir", str(folder), *more]
    command = [sys.executable, "-m", "cnnrecipes", "tune", "resnet8_digits", *arguments]
    environment = {**os.environ, **(environment or {})}
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=environment)


def wait_for_checkpoint(process: subprocess.Popen, trial: Path) -> None:
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline and process.poll() is None:
        if list((trial / "checkpoints").glob("step_*.npz")):
            return
        time.sleep(0.002)
    process.kill()
    raise AssertionError(f"no checkpoint: {process.communicate()[0]}")


def check_equal(search: cr.Search, whole: cr.Search) -> None:
    columns = ["trial", "status", "reason", "seed", "score", "best_epoch", "epochs", *search.keys]
    pd.testing.assert_frame_equal(search.trials[columns], whole.trials[columns])
    for number in (1, 2):
        assert search.run(number).metrics["weights"] == whole.run(number).metrics["weights"]
    assert search.best.metrics == whole.best.metrics
    assert search.result["sentences"] == whole.result["sentences"]


def test_killed_search_continues_inside_its_trial(tmp_path, whole):
    process, folder = start(tmp_path), tmp_path / NAME
    wait_for_checkpoint(process, folder / "trials/0002")
    process.kill()
    process.communicate()
    record = json.loads((folder / "trials/0002.json").read_text())
    assert record["status"] == "running"
    assert not (folder / "trials/0002/metrics.json").exists()
    before = pd.read_csv(folder / "trials/0002/history.csv").seconds.tolist()
    assert 1 <= len(before) < 4

    search = cr.resume_search(folder, progress=False)
    assert search.records[1].started == record["started"]
    assert search.run(2).history.seconds.tolist()[0] == before[0]  # not trained again
    check_equal(search, whole)


def children() -> list[int]:
    return list(map(int, Path(f"/proc/self/task/{os.getpid()}/children").read_text().split()))


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="the children of a process are listed on Linux only")
def test_isolated_trial_ends_with_its_search_and_is_resumed_and_a_killed_training_has_failed(tmp_path, whole):
    process, folder = start(tmp_path, "--isolate", trials=1), tmp_path / NAME
    wait_for_checkpoint(process, folder / "trials/0001")
    process.kill()
    process.communicate()
    before, killed = children(), []

    def kill() -> None:
        """Kill the process that trains the best trial again."""
        while not killed:
            if list(folder.glob("retrained/*/checkpoints/step_*.npz")):
                killed.append(next(pid for pid in children() if pid not in before))
                os.kill(killed[0], signal.SIGKILL)
            time.sleep(0.002)

    threading.Thread(target=kill, daemon=True).start()
    search = cr.resume_search(folder, isolate=True, progress=False)  # the process of the trial may still be ending
    (trial,) = search.records
    assert trial.status == "completed"
    assert search.run(1).metrics["weights"] == whole.run(1).metrics["weights"]
    (again,) = search.result["candidates"][0]["again"]
    assert again["reason"].startswith("its process was killed by SIGKILL")
    assert "no winner can be relied on" in " ".join(search.result["sentences"])


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="the children of a process are listed on Linux only")
def test_killed_worker_is_replaced_and_its_trial_resumed(tmp_path, whole, capsys, monkeypatch):
    monkeypatch.setenv("TF_NUM_INTRAOP_THREADS", str(len(os.sched_getaffinity(0))))  # as here, for equal bits
    folder, before, killed = tmp_path / NAME, children(), []

    def kill() -> None:
        """Kill the first worker as soon as a trial has a checkpoint."""
        while not killed:
            if list(folder.glob("trials/*/checkpoints/step_*.npz")):
                killed.append(next(pid for pid in children() if pid not in before))
                os.kill(killed[0], signal.SIGKILL)
            time.sleep(0.002)

    threading.Thread(target=kill, daemon=True).start()
    options = {"trials": 2, "best": 1, "seeds": 1, "workdir": tmp_path, "workers": 2}
    search = cr.tune("resnet8_digits", **options, **dict(map(parse_override, CHANGES)))
    assert len(killed) == 1
    assert "worker 1 was killed by SIGKILL" in capsys.readouterr().out
    check_equal(search, whole)


def test_chief_and_worker_meet_by_the_variables_of_keras_tuner(tmp_path, whole, monkeypatch):
    changes = dict(map(parse_override, CHANGES))
    base = search_recipe(catalog.load("resnet8_digits").change(**changes), None, None, {"trials": 1, "best": 0}, print)
    folder = search_folder(base, tmp_path, None)
    chief_data = OpenData()
    search = open_search(base, folder, chief_data, print)
    chief = Chief(open_oracle(base, folder), "localhost:0")
    variables = ("worker1", "localhost", str(chief.port))
    for name, value in zip(NAMES, variables, strict=True):
        monkeypatch.setenv(name, value)
    with chief:
        thread = threading.Thread(target=attend, args=(search, chief, chief_data, print))
        thread.start()
        found = cr.tune("resnet8_digits", trials=1, best=0, workdir=tmp_path, progress=False, **changes)
        thread.join(20)
    assert not thread.is_alive()
    assert found.folder == folder
    columns = ["trial", "status", "seed", "score"]
    pd.testing.assert_frame_equal(found.trials[columns], whole.trials[columns][:1])
    assert not found.finished  # which is the chief's


def test_first_task_of_slurm_is_the_chief_and_a_finished_search_needs_none(tmp_path, monkeypatch, capsys):
    with socket.socket() as free:
        free.bind(("localhost", 0))
        port = str(free.getsockname()[1])
    tasks = {"SLURM_NTASKS": "2", "SLURM_JOB_NODELIST": "localhost", "MASTER_PORT": port}
    chief = start(tmp_path, trials=1, environment={**tasks, "SLURM_PROCID": "0"})
    worker = {**tasks, "SLURM_PROCID": "1", "CNNRECIPES_CHIEF_TIMEOUT": "60"}
    for name, value in worker.items():
        monkeypatch.setenv(name, value)
    options = {"best": 1, "seeds": 1, "workdir": tmp_path, **dict(map(parse_override, CHANGES))}
    search = cr.tune("resnet8_digits", trials=7, **options)  # the chief's number holds
    assert chief.wait(60) == 0, chief.communicate()[0]
    chief.communicate()
    assert "the chief's numbers hold for this worker: trials = 1" in " ".join(capsys.readouterr().out.split())
    assert len(search.records) == 1
    assert search.finished
    assert {name: os.environ[name] for name in worker} == worker
    assert cr.tune("resnet8_digits", trials=1, **options).finished  # without a chief
    assert "its chief has nothing to hand out" in capsys.readouterr().out
