"""Cluster discovery from TF_CONFIG and SLURM variables."""

from __future__ import annotations

import json
import re

import pytest

from cnnrecipes._support.cluster import Cluster, expand_hosts, find_cluster
from cnnrecipes.errors import TrainingError

ADDRESSES = ["10.0.0.1:2000", "10.0.0.2:2000"]


def config(index=1, workers=ADDRESSES, **cluster):
    return json.dumps({"cluster": {"worker": workers, **cluster}, "task": {"type": "worker", "index": index}})


def test_tf_config_lists_workers_with_the_chief_first():
    assert find_cluster({"TF_CONFIG": config()}) == Cluster(tuple(ADDRESSES), 1)
    chief = config(0, ADDRESSES[1:], chief=ADDRESSES[:1])
    assert find_cluster({"TF_CONFIG": chief}) == Cluster(tuple(ADDRESSES), 1)
    assert find_cluster({"TF_CONFIG": config(0, ADDRESSES[:1])}) is None
    assert find_cluster({}) is None


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("{", "TF_CONFIG is '{'"),
        ("[]", "TF_CONFIG"),
        (json.dumps({"cluster": {"worker": ADDRESSES}}), "it has no 'task'"),
        (config(2), "there is no task 2 of 2 workers, counted from 0"),
        (config(0, ["a", "b"]), "an address is not host:port"),
        (config(0, ["a:1", "b:70000"]), "70000"),
        (config(0, ["a:1", "a:1"]), "a:1 is listed twice"),
        (config(0, ps=["a:1"]), "only the task types worker and chief are supported"),
    ],
)
def test_invalid_tf_config_raises_with_an_example(text, words):
    with pytest.raises(TrainingError, match=re.escape(words) + r".*write it as \{"):
        find_cluster({"TF_CONFIG": text})


@pytest.mark.parametrize(
    ("text", "hosts"),
    [
        ("gpu01", ["gpu01"]),
        ("gpu[01-03,7],login", ["gpu01", "gpu02", "gpu03", "gpu7", "login"]),
        ("r[1-2]n[08-09]", ["r1n08", "r1n09", "r2n08", "r2n09"]),
        ("a-1,b-[9-11]", ["a-1", "b-9", "b-10", "b-11"]),
    ],
)
def test_slurm_node_lists_are_expanded(text, hosts):
    assert expand_hosts(text) == hosts


def test_slurm_assigns_each_task_its_own_port():
    environment = {"SLURM_NTASKS": "4", "SLURM_PROCID": "2", "SLURM_JOB_NODELIST": "n[1-2]", "MASTER_PORT": "2000"}
    assert find_cluster(environment) == Cluster(("n1:2000", "n1:2001", "n2:2000", "n2:2001"), 2)
    with pytest.raises(TrainingError, match="3 tasks on 2 nodes"):
        find_cluster({**environment, "SLURM_NTASKS": "3"})


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"SLURM_NTASKS": "two"}, "SLURM_NTASKS is 'two'; it must be a whole number"),
        ({"SLURM_PROCID": ""}, "SLURM_PROCID is ''"),
        ({"SLURM_PROCID": "2"}, "SLURM_PROCID is 2 of 2 tasks"),
        ({"SLURM_JOB_NODELIST": ""}, "names no nodes"),
        ({"SLURM_JOB_NODELIST": "n[1-x]"}, r"SLURM_JOB_NODELIST is 'n\[1-x\]'; a list of nodes is written as"),
        ({"MASTER_PORT": "70000"}, "MASTER_PORT is 70000; a port is from 1 to 65535"),
    ],
)
def test_invalid_slurm_variables_raise(changes, words):
    environment = {"SLURM_NTASKS": "2", "SLURM_PROCID": "1", "SLURM_JOB_NODELIST": "n[1-2]", **changes}
    with pytest.raises(TrainingError, match=words):
        find_cluster(environment)
