"""The devices and workers of a training, and communication between the workers."""

from __future__ import annotations

import contextlib
import functools
import os
import re
import signal
import socket
import threading
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from cnnrecipes._support.cluster import Cluster, find_cluster
from cnnrecipes.errors import RecipeError, TrainingError


class Devices:
    """The devices of a training. This process is worker `index` of `workers`; the first, the chief, writes all files.

    Attributes:
        strategy: TensorFlow's distribution strategy.
        count: devices of all workers together.
    """

    def __init__(self, strategy: tf.distribute.Strategy, workers: int = 1, index: int = 0):
        self.strategy, self.workers, self.index = strategy, workers, index
        self.count = strategy.num_replicas_in_sync
        self._mean: Callable[[tf.Tensor], Any] | None = None

    @classmethod
    def open(cls, strategy: str = "single") -> Devices:
        """Return the devices that `devices.strategy` selects. Must be called before any other use of TensorFlow.

        Args:
            strategy: "single": one device; "mirrored": all GPUs of this machine; "multi_worker": the machines that
                TF_CONFIG or SLURM names; "auto": multi_worker in a cluster, else mirrored with several GPUs.

        Raises:
            TrainingError: no cluster, or an invalid one, or its port is taken.
        """
        cluster = find_cluster(os.environ)
        if strategy == "multi_worker" and cluster is None:
            raise TrainingError(
                "devices.strategy = 'multi_worker', and neither TF_CONFIG nor SLURM names the workers; docs/scale.md "
                "shows both, and `cnnrecipes launch --workers 2 fit ...` starts them on this machine"
            )
        if cluster is not None and strategy in ("multi_worker", "auto"):
            return cls(_joined(cluster), len(cluster.workers), cluster.index)
        gpus = tf.config.list_logical_devices("GPU")
        if strategy == "mirrored" or (strategy == "auto" and len(gpus) > 1):
            devices = [device.name for device in gpus or tf.config.list_logical_devices("CPU")]
            return cls(_mirrored(tuple(devices)))
        return cls(tf.distribute.get_strategy())

    @property
    def is_chief(self) -> bool:
        """True in the chief, the worker that writes all files."""
        return self.index == 0

    def check_batch(self, images: int, microbatches: int = 1) -> None:
        """Raise RecipeError unless a batch divides evenly among the devices and into microbatches."""
        if images % (self.count * microbatches):
            each = f", in {microbatches} microbatches on each" if microbatches > 1 else ""
            raise RecipeError(
                f"a batch of {images} images does not divide among {self.count} device(s){each}; "
                f"set data.batch_size to a multiple of {self.count * microbatches}"
            )

    def mean(self, values: Sequence[float]) -> list[float]:
        """Return the mean of each number over all workers."""
        if self.workers == 1:
            return list(values)
        return self._averaged(np.asarray(values, np.float32)).tolist()

    def any(self, *flags: bool) -> list[bool]:
        """Return, for each flag, True if any worker passes True."""
        return [value > 0 for value in self.mean([float(flag) for flag in flags])]

    def same(self, text: str) -> bool:
        """Return True if all workers pass the same text."""
        return not self.any(self.broadcast(text) != text)[0]

    def broadcast(self, text: str) -> str:
        """Return the chief's text in all workers."""
        if self.workers == 1:
            return text
        content = text.encode() if self.is_chief else b""
        size = round(self._averaged(np.asarray([len(content)], np.float32))[0] * self.workers)
        if size == 0:
            return ""
        return self._from_chief(content, size).decode()

    def broadcast_arrays(self, arrays: Sequence[np.ndarray]) -> list[np.ndarray]:
        """Return the chief's arrays in all workers, bit-exactly; all pass arrays of the same shapes and dtypes."""
        if self.workers == 1:
            return list(arrays)
        content = self._from_chief(b"".join(array.tobytes() for array in arrays), sum(one.nbytes for one in arrays))
        ends = np.cumsum([array.nbytes for array in arrays])
        return [
            np.frombuffer(content[end - one.nbytes : end], one.dtype).reshape(one.shape)
            for one, end in zip(arrays, ends, strict=True)
        ]

    def _from_chief(self, content: bytes, size: int) -> bytes:
        """Return the chief's `content`, of `size` bytes, in all workers."""
        padded = np.zeros(size, np.float32)
        if self.is_chief:
            padded[:] = np.frombuffer(content, np.uint8)
        return np.rint(self._averaged(padded) * self.workers).astype(np.uint8).tobytes()

    @contextlib.contextmanager
    def naming_lost_workers(self, command: str) -> Iterator[None]:
        """Convert TensorFlow's errors about lost workers into a TrainingError; `command` restarts the workers."""
        try:
            yield
        except (tf.errors.UnavailableError, tf.errors.AbortedError, tf.errors.CancelledError) as error:
            if self.workers == 1:
                raise
            why = re.search(r"aborted by: (.+)", str(error))
            raise TrainingError(
                f"another worker has ended ({why[1] if why else _first_line(error)}); see its output, then start all "
                f"workers again: {command}"
            ) from None

    def _averaged(self, values: np.ndarray) -> np.ndarray:
        if self._mean is None:

            def mean(values: tf.Tensor) -> tf.Tensor:
                # Of this replica's device, which the argument is not.
                own = tf.identity(values)
                return tf.distribute.get_replica_context().all_reduce(tf.distribute.ReduceOp.MEAN, own)

            def run(values: tf.Tensor) -> tf.Tensor:
                return self.strategy.run(mean, (values,))

            self._mean = tf.function(run, reduce_retracing=True, autograph=False)
        return self.strategy.experimental_local_results(self._mean(tf.constant(values)))[0].numpy()

    def shard(self, pipeline: Callable[[tuple[int, int]], tf.data.Dataset]) -> tf.data.Dataset:
        """Return the data set for `fit`, with each batch sharded over the devices.

        Args:
            pipeline: function from a shard (index, count) to its batches.
        """
        if self.count == 1:
            return pipeline((0, 1))
        local = self.count // self.workers

        def of_worker(context: tf.distribute.InputContext) -> tf.data.Dataset:
            shards = [pipeline((self.index * local + device, self.count)) for device in range(local)]
            if local == 1:
                return shards[0]
            # The devices of a worker take one batch each, in turn.
            return tf.data.Dataset.choose_from_datasets(shards, tf.data.Dataset.range(local).repeat())

        return self.strategy.distribute_datasets_from_function(of_worker)


@functools.cache
def _mirrored(devices: tuple[str, ...]) -> tf.distribute.Strategy:
    """Return the strategy of these devices, one for all trainings of a process.

    A second one would number its collective operations from the start again, and those of a model with other shapes
    then fail: "Shape mismatch in the collective instance 100".
    """
    return tf.distribute.MirroredStrategy(devices)


@functools.cache
def _joined(cluster: Cluster) -> tf.distribute.Strategy:
    """Join the cluster and return its strategy as soon as all workers have joined; one for all trainings of a process.

    TensorFlow keeps the port until the process ends.
    """
    _check_port(cluster)
    config = {"cluster": {"worker": list(cluster.workers)}, "task": {"type": "worker", "index": cluster.index}}
    resolver = tf.distribute.cluster_resolver.SimpleClusterResolver(
        tf.train.ClusterSpec(config["cluster"]), task_type="worker", task_id=cluster.index, rpc_layer="grpc"
    )
    try:
        with _stoppable():
            return tf.distribute.MultiWorkerMirroredStrategy(resolver)
    except (RuntimeError, ValueError, tf.errors.OpError) as error:
        raise TrainingError(
            f"worker {cluster.index} of {len(cluster.workers)} cannot join the cluster ({_first_line(error)}); start "
            "every worker, and in each call fit before any other use of TensorFlow"
        ) from None


@contextlib.contextmanager
def _stoppable() -> Iterator[None]:
    """Restore the default action of Ctrl-C in the `with` block, which ends the process.

    TensorFlow holds Python's lock while it waits for other workers, so that no Python signal handler runs. SIGTERM has
    no effect meanwhile, since TensorFlow installs its own handler; besides Ctrl-C only SIGKILL ends the process.
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
    """Raise TrainingError if another program listens on this worker's port."""
    port = int(cluster.workers[cluster.index].rpartition(":")[2])
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("", port))
        except OSError as error:
            raise TrainingError(
                f"port {port} of worker {cluster.index} ({cluster.workers[cluster.index]}) cannot be used "
                f"({error.strerror}); stop the program that uses it, or give another port"
            ) from None


def _first_line(error: Exception) -> str:
    return str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
