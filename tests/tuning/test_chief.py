"""The chief and its clients: exact values, and errors instead of waiting."""

from __future__ import annotations

import json
import os
import socket

import pytest
from keras_tuner.src.engine.trial import TrialStatus
from small_oracle import SPACE, oracle_in, run

import cnnrecipes as cr
from cnnrecipes.tuning.chief import Chief, Client
from cnnrecipes.tuning.kept_oracle import VALUES
from cnnrecipes.tuning.roles import NAMES, Role, chief_timeout, find_role, outside_of_cluster
from cnnrecipes.tuning.team import device_settings

CHIEF = dict(zip(NAMES, ("chief", "10.0.0.1", "5000"), strict=True))


@pytest.fixture(autouse=True)
def _environment(monkeypatch):
    for name in NAMES:
        monkeypatch.setenv(name, "")


@pytest.mark.parametrize("method", ["random", "hyperband"])
def test_workers_get_the_values_of_a_search_alone(tmp_path, method):
    alone = run(oracle_in(tmp_path / "a", method=method))
    with Chief(oracle_in(tmp_path / "b", method=method), "localhost:0") as chief:
        client = Client(Role("worker1", f"localhost:{chief.port}"), 20)
        assert run(client, name="worker1") == alone
        assert chief.searched


def test_replaced_worker_gets_the_trial_of_the_dead_one(tmp_path):
    with Chief(oracle_in(tmp_path / "a", SPACE, trials=2), "localhost:0") as chief:
        address = f"localhost:{chief.port}"
        first = Client(Role("worker1", address), 20).create_trial("worker1")
        other = Client(Role("worker2", address), 20).create_trial("worker2")
        again = Client(Role("worker1", address), 20).create_trial("worker1")
        assert again.trial_id == first.trial_id != other.trial_id
        assert json.loads(again.hyperparameters.values[VALUES]) == json.loads(first.hyperparameters.values[VALUES])
        assert chief.running == {first.trial_id: "worker1", other.trial_id: "worker2"}
        third = Client(Role("worker3", address), 20).create_trial("worker3")
        assert third.status == TrialStatus.STOPPED
        assert not chief.searched


def test_worker_keeps_its_trial_when_the_chief_is_started_again(tmp_path):
    with Chief(oracle_in(tmp_path / "a", trials=3, served=True), "localhost:0") as chief:
        first = Client(Role("worker1", f"localhost:{chief.port}"), 20).create_trial("worker1")
    with Chief(oracle_in(tmp_path / "a", trials=3, served=True), "localhost:0") as chief:
        one, two = (Client(Role(name, f"localhost:{chief.port}"), 20) for name in ("worker1", "worker2"))
        assert two.create_trial("worker2").trial_id != first.trial_id  # which worker1 may still be training
        one.update_trial(first.trial_id, {"val_accuracy": 0.5})
        first.status = TrialStatus.COMPLETED
        one.end_trial(first)
        assert first.trial_id not in chief.running
        assert chief.oracle.trials[first.trial_id].score == 0.5
        assert one.create_trial("worker1").trial_id not in (first.trial_id, two.create_trial("worker2").trial_id)
    # Alone, or with workers of its own, which have ended with it, all that were running are handed out again.
    again = oracle_in(tmp_path / "a", trials=3)
    assert {again.create_trial(name).trial_id for name in ("a", "b")} == {"1", "2"}


def test_workers_of_a_role_and_workers_on_this_machine_are_not_mixed(tmp_path, monkeypatch):
    for name, value in {**CHIEF, NAMES[0]: "worker1"}.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(cr.TrainingError, match="workers is 2, and this process is worker1 of a search of several"):
        cr.tune("resnet8_digits", workers=2, workdir=tmp_path, progress=False)
    assert not list(tmp_path.iterdir())


def test_unreachable_chief_is_an_error_after_a_timeout():
    with socket.socket() as free:
        free.bind(("localhost", 0))
        port = free.getsockname()[1]
    client = Client(Role("worker1", f"localhost:{port}"), 0.5)
    with pytest.raises(cr.TrainingError, match=rf"the chief at localhost:{port} did not answer within 0.5 s"):
        client.create_trial("worker1")


def test_taken_port_is_an_error(tmp_path):
    with Chief(oracle_in(tmp_path / "a"), "localhost:0") as chief, pytest.raises(cr.TrainingError) as error:
        Chief(oracle_in(tmp_path / "b"), f"localhost:{chief.port}")
    assert f"cannot listen at localhost:{chief.port}: the port is taken" in str(error.value)


def test_roles_are_read_from_the_variables():
    assert find_role({}) is None
    assert find_role(CHIEF) == Role("chief", "10.0.0.1:5000")
    assert find_role(CHIEF).is_chief
    assert not find_role({**CHIEF, NAMES[0]: "worker7"}).is_chief
    slurm = {"SLURM_NTASKS": "4", "SLURM_JOB_NODELIST": "gpu[1-2]", "SLURM_JOB_ID": "7"}
    assert find_role({**slurm, "SLURM_PROCID": "0"}) == Role("chief", "gpu1:12352")
    assert find_role({**slurm, "SLURM_PROCID": "3"}) == Role("worker3", "gpu1:12352")
    environment = {**slurm, "SLURM_PROCID": "3"}
    with outside_of_cluster(environment):
        assert find_role(environment) is None
    assert find_role(environment).name == "worker3"
    with pytest.raises(cr.TrainingError, match="KERASTUNER_ORACLE_PORT is not"):
        find_role({NAMES[0]: "chief", NAMES[1]: "localhost"})
    with pytest.raises(cr.TrainingError, match="a port is a whole number"):
        find_role({**CHIEF, NAMES[2]: "70000"})
    with pytest.raises(cr.TrainingError, match="give seconds above 0"):
        chief_timeout({"CNNRECIPES_CHIEF_TIMEOUT": "soon"})


def test_each_worker_gets_a_gpu():
    assert device_settings(2, {"CUDA_VISIBLE_DEVICES": "2,5"}) == [
        {"CUDA_VISIBLE_DEVICES": "2"},
        {"CUDA_VISIBLE_DEVICES": "5"},
    ]
    shared = device_settings(3, {"CUDA_VISIBLE_DEVICES": "2,5"})
    assert [one["CUDA_VISIBLE_DEVICES"] for one in shared] == ["2", "5", "2"]
    assert all(one["TF_FORCE_GPU_ALLOW_GROWTH"] == "true" for one in shared)
    threads = str(max(len(os.sched_getaffinity(0)) // 2, 1))
    shares = {"TF_NUM_INTRAOP_THREADS": threads, "TF_NUM_INTEROP_THREADS": threads}
    assert device_settings(2, {"CUDA_VISIBLE_DEVICES": ""}) == [shares, shares]
    asked = {"CUDA_VISIBLE_DEVICES": "", "TF_NUM_INTRAOP_THREADS": "7", "TF_NUM_INTEROP_THREADS": "7"}
    assert device_settings(2, asked) == [{}, {}]


def test_data_in_memory_cannot_go_to_workers(tmp_path):
    from small_search import DATA, RECIPE

    with pytest.raises(cr.RecipeError, match="give the path of the data"):
        cr.tune(RECIPE, DATA, workers=2, workdir=tmp_path, progress=False)
    with pytest.raises(cr.TrainingError, match="0 workers cannot search"):
        cr.tune(RECIPE, DATA, workers=0, workdir=tmp_path, progress=False)
