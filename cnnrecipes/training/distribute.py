"""On which devices and machines a training runs, and what its workers agree on."""

from __future__ import annotations

import json
import os
import re
import socket
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import tensorflow as tf

from cnnrecipes import recipe
from cnnrecipes.errors import TrainingError

# Where SLURM's tasks meet, if MASTER_PORT does not say; a job adds a part of its number, so that two do not meet.
_PORT = 12_345


@dataclass(frozen=True)
class Cluster:
    """The workers' addresses, "host:port", and which of them this process is."""

    workers: tuple[str, ...]
    index: int


class Placement:
    """The devices of a training: this process is worker `index` of `workers`, the first of which writes."""

    def __init__(self, strategy: tf.distribute.Strategy, workers: int = 1, index: int = 0):
        self.strategy, self.workers, self.index = strategy, workers, index
        self.devices = strategy.num_replicas_in_sync
        self._mean = None

    @property
    def is_chief(self) -> bool:
        return self.index == 0

    def check_batch(self, images: int, parts: int) -> None:
        """Raises TrainingError unless a batch divides among the devices, and there into parts."""
        if images % (self.devices * parts):
            each = f", in {parts} parts on each" if parts > 1 else ""
            raise TrainingError(
                f"a batch of {images} images does not divide among {self.devices} device(s){each}; "
                f"set data.batch_size to a multiple of {self.devices * parts}"
            )

    def agree(self, values: Sequence[float]) -> list[float]:
        """The mean over all workers of each number: above 0 wherever one of them said so."""
        if self.workers == 1:
            return list(values)
        return self._averaged(np.asarray(values, np.float32)).tolist()

    def same(self, text: str) -> bool:
        """Whether all workers have the same text here."""
        return self.agree([float(self.from_chief(text) != text)])[0] == 0

    def from_chief(self, text: str) -> str:
        """A text of the first worker, for all."""
        if self.workers == 1:
            return text
        content = text.encode() if self.is_chief else b""
        size = round(self._averaged(np.float32([len(content)]))[0] * self.workers)
        if size == 0:
            return ""
        padded = np.zeros(size, np.float32)
        padded[: len(content)] = np.frombuffer(content, np.uint8)
        return np.rint(self._averaged(padded) * self.workers).astype(np.uint8).tobytes().decode()

    def _averaged(self, values: np.ndarray) -> np.ndarray:
        if self._mean is None:

            def mean(values: tf.Tensor) -> tf.Tensor:
                # Of this replica's device, which the argument is not.
                own = tf.identity(values)
                return tf.distribute.get_replica_context().all_reduce(tf.distribute.ReduceOp.MEAN, own)

            run = lambda values: self.strategy.run(mean, (values,))  # noqa: E731
            self._mean = tf.function(run, reduce_retracing=True, autograph=False)
        return self.strategy.experimental_local_results(self._mean(tf.constant(values)))[0].numpy()

    def batches(self, pipeline: Callable[[int, int], tf.data.Dataset]) -> tf.data.Dataset:
        """What `fit` takes: each device gets its part of every batch.

        Args:
            pipeline: (which part, of how many) to the batches of that part.
        """
        if self.devices == 1:
            return pipeline(0, 1)
        local = self.devices // self.workers

        def of_worker(context: tf.distribute.InputContext) -> tf.data.Dataset:
            parts = [pipeline(self.index * local + device, self.devices) for device in range(local)]
            if local == 1:
                return parts[0]
            # The devices of a worker take one batch each, in turn.
            return tf.data.Dataset.choose_from_datasets(parts, tf.data.Dataset.range(local).repeat())

        return self.strategy.distribute_datasets_from_function(of_worker)


def place(spec: recipe.Train) -> Placement:
    """The devices that `train.strategy` means. Call it before TensorFlow has done anything else.

    Raises:
        TrainingError: a cluster that is not described as it should be, or a port that is taken.
    """
    cluster = find_cluster(os.environ)
    name = spec.strategy
    if name == "multi_worker" and cluster is None:
        raise TrainingError(
            "train.strategy = 'multi_worker', and neither TF_CONFIG nor SLURM says which workers there are; "
            "docs/scale.md shows both, and `cnnrecipes launch --workers 2 fit ...` starts them on this machine"
        )
    if name == "multi_worker" or (name == "auto" and cluster is not None):
        return _multi_worker(cluster)
    gpus = tf.config.list_logical_devices("GPU")
    if name == "mirrored" or (name == "auto" and len(gpus) > 1):
        devices = [device.name for device in gpus or tf.config.list_logical_devices("CPU")]
        return Placement(tf.distribute.MirroredStrategy(devices))
    return Placement(tf.distribute.get_strategy())


def find_cluster(environment: Mapping[str, str]) -> Cluster | None:
    """The workers that TF_CONFIG or SLURM describe; None where there is one process only."""
    if environment.get("TF_CONFIG"):
        return _of_tf_config(environment["TF_CONFIG"])
    if "SLURM_PROCID" in environment and _number(environment, "SLURM_NTASKS", 1) > 1:
        return _of_slurm(environment)
    return None


def _of_tf_config(text: str) -> Cluster | None:
    example = '{"cluster": {"worker": ["10.0.0.1:12345", "10.0.0.2:12345"]}, "task": {"type": "worker", "index": 0}}'
    try:
        config: Any = json.loads(text)
        cluster, task = config["cluster"], config["task"]
        workers = [*cluster.get("chief", []), *cluster["worker"]]
        index = int(task["index"]) + (len(cluster.get("chief", [])) if task["type"] == "worker" else 0)
        if set(cluster) - {"chief", "worker"} or task["type"] not in ("chief", "worker"):
            raise ValueError("only workers, and a chief, train")
        if not all(re.fullmatch(r"[^:\s]+:\d+|\[.+\]:\d+", worker) for worker in workers):
            raise ValueError("an address is host:port")
        if not all(0 < int(worker.rpartition(":")[2]) < 2**16 for worker in workers):
            raise ValueError("a port is from 1 to 65535")
        if twice := sorted({worker for worker in workers if workers.count(worker) > 1}):
            raise ValueError(f"{twice[0]} stands there twice")
        if not 0 <= index < len(workers):
            raise ValueError(f"task {index} of {len(workers)} workers")
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
            f"SLURM runs {tasks} tasks on {len(hosts)} nodes; ask for as many on each, with --ntasks-per-node"
        )
    each = tasks // len(hosts)
    first = _number(environment, "MASTER_PORT", _PORT + _number(environment, "SLURM_JOB_ID", 0) % 20_000)
    if not 0 < first <= 2**16 - each:
        raise TrainingError(f"MASTER_PORT is {first}; a port is from 1 to 65535, and each task of a node has its own")
    if not 0 <= index < tasks:
        raise TrainingError(f"SLURM_PROCID is {index} of {tasks} tasks; start with srun, which counts them from 0")
    return Cluster(tuple(f"{host}:{first + i}" for host in hosts for i in range(each)), index)


def _number(environment: Mapping[str, str], name: str, default: int | None = None) -> int:
    """A whole number of the environment. Raises TrainingError where it is none."""
    text = environment.get(name, default)
    try:
        return int(text)
    except ValueError:
        raise TrainingError(f"{name} is {text!r}; it must be a whole number, as SLURM sets it") from None


def expand_hosts(text: str) -> list[str]:
    """SLURM's list of nodes one by one: "gpu[01-03,7],login" is gpu01, gpu02, gpu03, gpu7 and login."""
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


def _multi_worker(cluster: Cluster) -> Placement:
    """All workers, joined. Returns when all of them are there."""
    _check_port(cluster)
    config = {"cluster": {"worker": list(cluster.workers)}, "task": {"type": "worker", "index": cluster.index}}
    resolver = tf.distribute.cluster_resolver.SimpleClusterResolver(
        tf.train.ClusterSpec(config["cluster"]), task_type="worker", task_id=cluster.index, rpc_layer="grpc"
    )
    try:
        strategy = tf.distribute.MultiWorkerMirroredStrategy(resolver)
    except (RuntimeError, ValueError, tf.errors.OpError) as error:
        raise TrainingError(
            f"worker {cluster.index} of {len(cluster.workers)} cannot join ({_first_line(error)}); start every worker, "
            "and let each import cnnrecipes and call fit before it uses TensorFlow otherwise"
        ) from None
    return Placement(strategy, len(cluster.workers), cluster.index)


def _check_port(cluster: Cluster) -> None:
    """Raises TrainingError where another program listens at this worker's port."""
    port = int(cluster.workers[cluster.index].rpartition(":")[2])
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("", port))
        except OSError as error:
            raise TrainingError(
                f"port {port} of worker {cluster.index} ({cluster.workers[cluster.index]}) cannot be used "
                f"({error.strerror}); stop what uses it, or give another port"
            ) from None


def _first_line(error: Exception) -> str:
    return str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
