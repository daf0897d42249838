"""On which devices and machines a training runs, and what its workers agree on."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import socket
import threading
from collections.abc import Callable, Iterator, Sequence

import numpy as np
import tensorflow as tf

from cnnrecipes.errors import TrainingError
from cnnrecipes.recipe import schema
from cnnrecipes.training.distributed.cluster import Cluster, find_cluster


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
        """Return whether all workers pass the same text."""
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

    @contextlib.contextmanager
    def naming_lost_workers(self, how_to_go_on: Callable[[], str]) -> Iterator[None]:
        """TensorFlow's errors about workers that are gone as a TrainingError."""
        try:
            yield
        except (tf.errors.UnavailableError, tf.errors.AbortedError, tf.errors.CancelledError) as error:
            if self.workers == 1:
                raise
            why = re.search(r"aborted by: (.+)", str(error))
            raise TrainingError(
                f"another worker is gone ({why[1] if why else _first_line(error)}); see what it said, then start all "
                f"of them again: {how_to_go_on()}"
            ) from None

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
        """Return the data set for `fit`, with each batch sharded over the devices.

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


def place(spec: schema.Devices) -> Placement:
    """The devices that `devices.strategy` means. Call it before TensorFlow has done anything else.

    Raises:
        TrainingError: a cluster that is not described as it should be, or a port that is taken.
    """
    cluster = find_cluster(os.environ)
    name = spec.strategy
    if name == "multi_worker" and cluster is None:
        raise TrainingError(
            "devices.strategy = 'multi_worker', and neither TF_CONFIG nor SLURM says which workers there are; "
            "docs/scale.md shows both, and `cnnrecipes launch --workers 2 fit ...` starts them on this machine"
        )
    if name == "multi_worker" or (name == "auto" and cluster is not None):
        return _multi_worker(cluster)
    gpus = tf.config.list_logical_devices("GPU")
    if name == "mirrored" or (name == "auto" and len(gpus) > 1):
        devices = [device.name for device in gpus or tf.config.list_logical_devices("CPU")]
        return Placement(tf.distribute.MirroredStrategy(devices))
    return Placement(tf.distribute.get_strategy())


def _multi_worker(cluster: Cluster) -> Placement:
    """All workers, joined. Returns when all of them are there."""
    _check_port(cluster)
    config = {"cluster": {"worker": list(cluster.workers)}, "task": {"type": "worker", "index": cluster.index}}
    resolver = tf.distribute.cluster_resolver.SimpleClusterResolver(
        tf.train.ClusterSpec(config["cluster"]), task_type="worker", task_id=cluster.index, rpc_layer="grpc"
    )
    try:
        with _stoppable():
            strategy = tf.distribute.MultiWorkerMirroredStrategy(resolver)
    except (RuntimeError, ValueError, tf.errors.OpError) as error:
        raise TrainingError(
            f"worker {cluster.index} of {len(cluster.workers)} cannot join ({_first_line(error)}); start every worker, "
            "and let each import cnnrecipes and call fit before it uses TensorFlow otherwise"
        ) from None
    return Placement(strategy, len(cluster.workers), cluster.index)


@contextlib.contextmanager
def _stoppable() -> Iterator[None]:
    """While within, Ctrl-C ends the process: TensorFlow waits for the others with Python's lock held, deaf to it.

    SIGTERM it takes for itself on the way, and passes over: only SIGKILL ends the process then.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGINT, signal.SIG_DFL)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


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
