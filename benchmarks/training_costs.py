"""Costs of a training beside its steps: checkpoints, logs, an average of the weights, memory.

    python benchmarks/training_costs.py

checkpoints: ResNet-18 at 32 pixels, batches of 64, SGD with momentum. Steps are timed one by one, with a checkpoint at
every eighth; what the steps from one until its file is written take longer than the median of the others is its cost,
given as a share of a minute.
logs: the time inside TensorBoard, history.csv and the progress lines, of a real training of two epochs.
average: `optimizer.ema` on and off, alternately, step by step; the ratio of the medians.
memory: peak resident memory of `cnnrecipes.fit` and of plain Keras `fit` on the same arrays and graph, each in a
process of its own, without and with the checkpoints that plain Keras does not make.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import statistics
import tempfile
import time
from pathlib import Path

import side_by_side

PIXELS, BATCH = 32, 64


def arrays(steps: int):
    """Images and labels of so many batches."""
    import numpy as np

    random = np.random.default_rng(0)
    images = random.integers(0, 256, (BATCH * steps, PIXELS, PIXELS, 3), dtype=np.uint8)
    return images, np.arange(len(images)) % 10


def recipe(**changes):
    """ResNet-18, without augmentation, so that Keras does the same."""
    from cnnrecipes.recipe import catalog

    return catalog.load("resnet18_cifar").change(
        **{
            "data.batch_size": BATCH,
            "data.validation": 0.0,
            "augment.ops": [],
            "train.epochs": 2,
            "optimizer.warmup": "0 epochs",
            **changes,
        }
    )


def prepared(**changes):
    """A training job whose training function makes one step, and the batch that it is made on."""
    import tensorflow as tf

    from cnnrecipes.data.input_pipeline import InputPipeline
    from cnnrecipes.data.sources.opening import open_source
    from cnnrecipes.training.distributed.devices import Devices
    from cnnrecipes.training.model_plan import ModelPlan
    from cnnrecipes.training.train_job import TrainJob

    whole = recipe(**changes)
    source = open_source(arrays(2), whole.data)
    job = TrainJob.build(ModelPlan(InputPipeline(source, whole)), Devices.open())
    model = job.model
    model.make_train_function()
    batch = next(iter(job.training_batches(0, 1)))
    batches = iter(tf.data.Dataset.from_tensors(batch).repeat(1000))

    def step() -> float:
        start = time.perf_counter()
        model.progress.step = 0
        float(model.train_function(batches)["loss"])
        return time.perf_counter() - start

    return job, step


def checkpoint_cost(rounds: int) -> str:
    """Seconds that a checkpoint takes from the steps."""
    import cnnrecipes  # noqa: F401
    from cnnrecipes.runs import checkpoint
    from cnnrecipes.runs.training_progress import TrainState

    job, step = prepared()
    for _ in range(3):
        step()
    costs, size = [], sum(array.nbytes for array in checkpoint.capture(job.model.checkpoint_variables()).values())
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / checkpoint.FOLDER).mkdir()
        writer = checkpoint.Writer(Path(folder))
        for number in range(rounds):
            usual = statistics.median(step() for _ in range(6))
            start, steps = time.perf_counter(), 0
            state = TrainState(steps_per_epoch=1, epoch=number)
            writer.write(checkpoint.capture(job.model.checkpoint_variables()), state, job.fingerprint)
            while writer.busy or steps < 2:
                step()
                steps += 1
            costs.append(time.perf_counter() - start - steps * usual)
    cost = statistics.median(costs)
    return (
        f"| a checkpoint every minute | {size / 2**20:.0f} MiB, {cost:.2f} s of {usual:.2f} s steps "
        f"({', '.join(f'{c:.2f}' for c in costs)}) | {cost / 60:.2%} |"
    )


def logging_cost() -> str:
    """Share of a training that is spent in what writes and prints."""
    import cnnrecipes as cr
    from cnnrecipes.training import loggers
    from cnnrecipes.training.callbacks import progress, validation_and_history

    spent = {"seconds": 0.0}

    def timed(function):
        def wrapped(*args, **kwargs):
            start = time.perf_counter()
            try:
                return function(*args, **kwargs)
            finally:
                spent["seconds"] += time.perf_counter() - start

        return wrapped

    for cls in (
        loggers.TensorBoardLogger,
        validation_and_history.HistoryFile,
        progress.ProgressDisplay,
        validation_and_history.EpochMetrics,
    ):
        for name in ("on_train_batch_end", "on_epoch_begin", "on_epoch_end", "on_train_batch_begin"):
            setattr(cls, name, timed(getattr(cls, name)))
    with tempfile.TemporaryDirectory() as folder, contextlib.redirect_stdout(io.StringIO()):
        run = cr.fit(recipe(), data=arrays(20), workdir=folder, **{"data.name": "arrays"})
        seconds = run.history.seconds.sum()
    taken = spent["seconds"]
    return f"| logging | {taken:.2f} s in {seconds:.0f} s of 2 epochs of 20 steps | {taken / seconds:.2%} |"


def average_cost(rounds: int) -> str:
    """Ratio of steps with and without an average of the weights."""
    import cnnrecipes  # noqa: F401

    steps = {on: prepared(**({"optimizer.ema": 0.999} if on else {}))[1] for on in (False, True)}
    seconds: dict[bool, list[float]] = {False: [], True: []}
    for number in range(6 * rounds + 2):
        for on in (False, True):
            taken = steps[on]()
            if number >= 2:
                seconds[on].append(taken)
    ratio = statistics.median(seconds[True]) / statistics.median(seconds[False])
    return f"| average of the weights | {statistics.median(seconds[False]):.3f} s a step without | {ratio - 1:+.2%} |"


def peak(contender: str) -> float:
    """MiB of a process that trains two epochs of eight steps."""
    side_by_side.import_for("cnnrecipes")
    import cnnrecipes as cr
    from cnnrecipes.training.callbacks.validation_and_history import peak_memory

    images, labels = arrays(8)
    if contender != "keras":
        every = "1 steps" if contender == "checkpoints" else "1 h"
        with tempfile.TemporaryDirectory() as folder:
            changes = {"data.name": "arrays", "logging.checkpoint_every": every}
            cr.fit(recipe(), data=(images, labels), workdir=folder, progress=False, **changes)
        return peak_memory() / 2**20
    import functools

    import keras
    import numpy as np

    from cnnrecipes.layers.norm import EPSILON, MOMENTUM

    norm = functools.partial(keras.layers.BatchNormalization, momentum=MOMENTUM, epsilon=EPSILON)
    model = cr.build(
        recipe().model, input_shape=(PIXELS, PIXELS, 3), classes=10, norm=norm, mean=[120.0] * 3, std=[60.0] * 3
    )
    model.compile(
        optimizer=keras.optimizers.SGD(0.1, momentum=0.9, nesterov=True, weight_decay=5e-4),
        loss=keras.losses.CategoricalCrossentropy(from_logits=True),
        metrics=["accuracy"],
        jit_compile=False,
    )
    with tempfile.TemporaryDirectory() as folder:
        model.fit(images, np.eye(10)[labels], batch_size=BATCH, epochs=2, verbose=0)
        model.save(Path(folder) / "model.keras")
    return peak_memory() / 2**20


def memory(rounds: int) -> str:
    """Ratio of the peaks."""
    found = {
        name: statistics.median(side_by_side.run(__file__, name, "peak", None) for _ in range(rounds))
        for name in ("keras", "cnnrecipes", "checkpoints")
    }
    keras, ours, saving = (found[name] for name in ("keras", "cnnrecipes", "checkpoints"))
    return (
        f"| peak memory | Keras {keras:.0f} MiB, cnnrecipes {ours:.0f}, with a checkpoint at every step {saving:.0f} "
        f"| {ours / keras:.2f}x, {saving / keras:.2f}x |"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--only", choices=("checkpoints", "logs", "average", "memory"))
    parser.add_argument("--worker", help=argparse.SUPPRESS)
    parser.add_argument("--case", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.worker:
        print(json.dumps(peak(options.worker)))
        return
    print(side_by_side.machine(options.rounds) + "\n\n| what | measured | cost |\n|---|---|---|")
    jobs = {
        "checkpoints": lambda: checkpoint_cost(options.rounds),
        "logs": logging_cost,
        "average": lambda: average_cost(options.rounds),
        "memory": lambda: memory(options.rounds),
    }
    for name, job in jobs.items():
        if options.only in (None, name):
            print(job(), flush=True)


if __name__ == "__main__":
    main()
