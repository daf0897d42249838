"""The workers of a cluster, read from TF_CONFIG or SLURM."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from cnnrecipes.errors import TrainingError

# Where SLURM's tasks meet, if MASTER_PORT does not say; a job adds a part of its number, so that two do not meet.
_PORT = 12_345


@dataclass(frozen=True)
class Cluster:
    """The workers of a cluster: their addresses, "host:port", and the index of this process among them."""

    workers: tuple[str, ...]
    index: int


def find_cluster(environment: Mapping[str, str]) -> Cluster | None:
    """Return the cluster that TF_CONFIG or SLURM variables describe; None for a single process."""
    if environment.get("TF_CONFIG"):
        return _of_tf_config(environment["TF_CONFIG"])
    if "SLURM_PROCID" in environment and _number(environment, "SLURM_NTASKS", 1) > 1:
        return _of_slurm(environment)
    return None


def is_chief(environment: Mapping[str, str]) -> bool:
    """Return True in a cluster's first worker and in a single process. Raises TrainingError for an invalid cluster."""
    cluster = find_cluster(environment)
    return cluster is None or cluster.index == 0


def _of_tf_config(text: str) -> Cluster | None:
    example = '{"cluster": {"worker": ["10.0.0.1:12345", "10.0.0.2:12345"]}, "task": {"type": "worker", "index": 0}}'
    try:
        config: Any = json.loads(text)
        cluster, task = config["cluster"], config["task"]
        workers = [*cluster.get("chief", []), *cluster["worker"]]
        index = int(task["index"]) + (len(cluster.get("chief", [])) if task["type"] == "worker" else 0)
        if set(cluster) - {"chief", "worker"} or task["type"] not in ("chief", "worker"):
            raise ValueError("only the task types worker and chief are supported")
        if not all(re.fullmatch(r"[^:\s]+:\d+|\[.+\]:\d+", worker) for worker in workers):
            raise ValueError("an address is not host:port")
        if not all(0 < int(worker.rpartition(":")[2]) < 2**16 for worker in workers):
            raise ValueError("a port is not from 1 to 65535")
        if twice := sorted({worker for worker in workers if workers.count(worker) > 1}):
            raise ValueError(f"{twice[0]} is listed twice")
        if not 0 <= index < len(workers):
            raise ValueError(f"there is no task {index} of {len(workers)} workers, counted from 0")
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        why = f"it has no {error}" if isinstance(error, KeyError) else str(error)
        raise TrainingError(f"TF_CONFIG is {text!r}: {why}; write it as {example}") from None
    return Cluster(tuple(workers), index) if len(workers) > 1 else None


def _of_slurm(environment: Mapping[str, str]) -> Cluster:
    name = next((name for name in ("SLURM_STEP_NODELIST", "SLURM_JOB_NODELIST") if environment.get(name)), None)
    if name is None:
        raise TrainingError("SLURM runs many tasks and names no nodes: SLURM_JOB_NODELIST is not set; start with srun")
    try:
        hosts = expand_hosts(environment[name])
    except ValueError:
        hosts = []
    if not hosts:
        raise TrainingError(f"{name} is {environment[name]!r}; a list of nodes is written as gpu[01-03,7],login")
    tasks, index = _number(environment, "SLURM_NTASKS"), _number(environment, "SLURM_PROCID")
    if tasks % len(hosts):
        raise TrainingError(
            f"SLURM runs {tasks} tasks on {len(hosts)} nodes; ask for equally many on each node, with --ntasks-per-node"
        )
    each = tasks // len(hosts)
    first = _number(environment, "MASTER_PORT", _PORT + _number(environment, "SLURM_JOB_ID", 0) % 20_000)
    if not 0 < first <= 2**16 - each:
        raise TrainingError(f"MASTER_PORT is {first}; a port is from 1 to 65535, and each task of a node has its own")
    if not 0 <= index < tasks:
        raise TrainingError(f"SLURM_PROCID is {index} of {tasks} tasks; start with srun, which counts them from 0")
    return Cluster(tuple(f"{host}:{first + i}" for host in hosts for i in range(each)), index)


def _number(environment: Mapping[str, str], name: str, default: int | None = None) -> int:
    """Return an environment variable as an integer. Raise TrainingError if its value is not an integer."""
    text = environment.get(name)
    if text is None and default is not None:
        return default
    try:
        return int(text or "")
    except ValueError:
        raise TrainingError(f"{name} is {text!r}; it must be a whole number, as SLURM sets it") from None


def expand_hosts(text: str) -> list[str]:
    """Expand SLURM's list of nodes: "gpu[01-03,7],login" is gpu01, gpu02, gpu03, gpu7 and login."""
    hosts = []
    for item in re.findall(r"[^,\[\]]+(?:\[[^\]]*\][^,\[\]]*)*", text):
        hosts += _expand(item)
    return hosts


def _expand(item: str) -> list[str]:
    match = re.search(r"\[([^\]]*)\]", item)
    if match is None:
        return [item]
    found = []
    for part in match[1].split(","):
        low, _, high = part.partition("-")
        for number in range(int(low), int(high or low) + 1):
            found += _expand(f"{item[: match.start()]}{number:0{len(low)}d}{item[match.end() :]}")
    return found
