"""Two workers of one core each beside one worker of one core: ResNet-18 at 32 pixels, over loopback.

    python benchmarks/scaling.py

Every worker has a core of its own (Linux), one TensorFlow thread for operations, and batches of 64 images. Efficiency
is the images/s of two workers to twice those of one; each round runs both, one after the other, and an epoch of each
counts after one that compiles.
"""

from __future__ import annotations

import argparse
import json
import os
import socket
import statistics
import subprocess
import sys
import tempfile

import side_by_side

IMAGES_EACH = 64


def worker(steps: int) -> None:
    """One process of a training; prints its images/s, of all workers together."""
    import numpy as np

    import cnnrecipes as cr

    workers = len(json.loads(os.environ.get("TF_CONFIG", '{"cluster": {"worker": [1]}}'))["cluster"]["worker"])
    batch = IMAGES_EACH * workers
    random = np.random.default_rng(0)
    images = random.integers(0, 256, (batch * steps, 32, 32, 3), dtype=np.uint8)
    changes = {"data.batch_size": batch, "data.validation": 0.0, "train.epochs": 2, "optimizer.warmup": "0 epochs"}
    with tempfile.TemporaryDirectory() as folder:
        run = cr.fit(
            "resnet18_cifar", data=(images, np.arange(len(images)) % 10), workdir=folder, progress=False, **changes
        )
        if os.environ.get("CHIEF"):
            print(json.dumps(run.history.images_per_second.iloc[-1]))


def rate(workers: int, steps: int) -> float:
    """Images/s of so many workers, each on a core of its own."""
    addresses = [f"localhost:{port}" for port in free_ports(workers)]
    processes = []
    for index in range(workers):
        environment = {**os.environ, "TF_NUM_INTRAOP_THREADS": "1", "TF_CPP_MIN_LOG_LEVEL": "3"}
        environment |= {"CHIEF": "1"} if index == 0 else {}
        if workers > 1:
            task = {"type": "worker", "index": index}
            environment["TF_CONFIG"] = json.dumps({"cluster": {"worker": addresses}, "task": task})
        command = [sys.executable, __file__, "--worker", "--steps", str(steps)]
        pinned = (lambda core=index: os.sched_setaffinity(0, {core})) if hasattr(os, "sched_setaffinity") else None
        processes.append(
            subprocess.Popen(
                command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, preexec_fn=pinned
            )
        )
    outputs = [process.communicate() for process in processes]
    for process, (_, error) in zip(processes, outputs, strict=True):
        if process.returncode:
            sys.exit(error[-2000:])
    return float(next(line for line in reversed(outputs[0][0].splitlines()) if line[:1].isdigit()))


def free_ports(count: int) -> list[int]:
    """Ports of this machine that nobody uses now."""
    sockets = [socket.socket() for _ in range(count)]
    for one in sockets:
        one.bind(("localhost", 0))
    ports = [one.getsockname()[1] for one in sockets]
    for one in sockets:
        one.close()
    return ports


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--steps", type=int, default=12)
    parser.add_argument("--worker", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.worker:
        worker(options.steps)
        return
    print(side_by_side.machine(options.rounds) + "\n")
    one, two = [], []
    for _ in range(options.rounds):
        one.append(rate(1, options.steps))
        two.append(rate(2, options.steps))
    found = statistics.median(two) / (2 * statistics.median(one))
    print("| workers | images/s |\n|---|---|")
    print(f"| 1 | {statistics.median(one):.1f} |\n| 2 | {statistics.median(two):.1f} |\n\nefficiency {found:.2f}")


if __name__ == "__main__":
    main()
