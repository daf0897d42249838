"""Overhead of `fit` over the bare train step: pipeline, augmentation, metrics, callbacks, checkpoints.

    python benchmarks/fit_overhead.py

One model is trained in turn on one constant batch by calls of its train function ("bare"), and by
`cnnrecipes.training.trainer.Trainer` on an array source with the recipe's augmentation and all callbacks ("fit"),
several rounds. A round of fit is two epochs, of which the second counts. Printed are medians; the aim is 95%.
"""

from __future__ import annotations

import argparse
import os
import statistics
import tempfile
import time
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")  # as cnnrecipes does where it is imported first

import numpy as np
import pandas as pd
import tensorflow as tf

from cnnrecipes.data.input_pipeline import InputPipeline
from cnnrecipes.data.sources.opening import open_source
from cnnrecipes.recipe import catalog
from cnnrecipes.runs.run import Run
from cnnrecipes.runs.training_progress import TrainState
from cnnrecipes.training.distributed.devices import Devices
from cnnrecipes.training.model_plan import ModelPlan
from cnnrecipes.training.train_job import TrainJob
from cnnrecipes.training.trainer import Trainer


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--recipes", nargs="+", default=["resnet20_cifar", "resnet18_cifar"])
    parser.add_argument("--rounds", type=int, default=6)
    parser.add_argument("--steps", type=int, default=20)
    options = parser.parse_args()
    print("| recipe | bare step, images/s | fit, images/s | fit / bare |\n|---|---|---|---|")
    for name in options.recipes:
        bare, whole = measure(name, options.rounds, options.steps)
        print(f"| {name} | {bare:.1f} | {whole:.1f} | {whole / bare:.1%} |", flush=True)


def measure(name: str, rounds: int, steps: int) -> tuple[float, float]:
    """Median images/s of the bare step and of fit."""
    recipe = catalog.load(name).change(**{"train.epochs": 2, "optimizer.warmup": "0 epochs", "train.artifact": "last"})
    size, n = recipe.data.batch_size, recipe.data.batch_size * steps
    random = np.random.default_rng(0)
    images = random.integers(0, 256, (n, 32, 32, 3), dtype=np.uint8)
    labels = np.arange(n) % 10
    held_out = (images[:64], labels[:64])
    source = open_source({"train": (images, labels), "validation": held_out}, recipe.data)
    job = TrainJob.build(ModelPlan(InputPipeline(source, recipe)), Devices.open())
    constant = (tf.constant(images[:size]), tf.one_hot(labels[:size], 10))
    bare, whole = [], []
    for _ in range(rounds):
        bare.append(bare_step(job.model, constant, steps))
        with tempfile.TemporaryDirectory() as folder:
            (Path(folder) / "checkpoints").mkdir()
            Trainer(job, Run(folder)).fit()
            whole.append(pd.read_csv(Path(folder) / "history.csv").images_per_second.iloc[-1])
    # The first round compiles.
    return size / statistics.median(bare[1:]), statistics.median(whole[1:])


def bare_step(model, batch, steps: int) -> float:
    """Mean seconds of a step."""
    function = model.make_train_function() or model.train_function
    batches = iter(tf.data.Dataset.from_tensors(batch).repeat(steps))
    model.progress = TrainState(steps_per_epoch=steps)
    start = time.perf_counter()
    for _ in range(steps):
        logs = function(batches)
    float(logs["loss"])
    return (time.perf_counter() - start) / steps


if __name__ == "__main__":
    main()
