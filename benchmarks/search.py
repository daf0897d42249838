"""Trials per hour of `cnnrecipes.tune` beside plain `keras_tuner.RandomSearch`, with the same space and epochs.

    python benchmarks/search.py

Both search the learning rate, the weight decay and the label smoothing of resnet8_digits, with the same model, split,
batches and cosine schedule; keras-tuner trains by Keras' `fit` on arrays, with Keras' own translation as augmentation.
The sides take turns, a few trials each (a round), so that a busy machine slows all of them; the first round, which also
compiles what is shared, does not count. Printed are medians of the rounds' seconds per trial, wall and processor time,
and their ratios. A third side prunes by successive halving and draws the same values as the second. The last column
compares the processor time of all rounds until a side had the lowest of the three best scores.
"""

from __future__ import annotations

import argparse
import os
import statistics
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import keras_tuner
import numpy as np

import cnnrecipes as cr
from cnnrecipes.data.input_pipeline import InputPipeline
from cnnrecipes.recipe import catalog

SPACE = {
    "optimizer.learning_rate": "log(0.003, 3)",
    "optimizer.weight_decay": "log(5e-5, 5e-3)",
    "train.label_smoothing": [0.0, 0.1],
}


@dataclass
class Side:
    """One way to search; `rounds` has (wall seconds, processor seconds, scores) of each round."""

    name: str
    rounds: list[tuple[float, float, list[float]]] = field(default_factory=list)

    def seconds(self, index: int, trials: int) -> float:
        """Median seconds per trial: index 0 wall, 1 processor time."""
        return statistics.median(one[index] for one in self.rounds[1:]) / trials

    def best(self) -> float:
        return max(score for one in self.rounds for score in one[2])

    def seconds_to(self, score: float) -> float:
        """Processor seconds until the end of the round in which a trial has reached the score."""
        spent = 0.0
        for _, cpu, scores in self.rounds:
            spent += cpu
            if max(scores) >= score:
                return spent
        return float("inf")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trials", type=int, default=20, help="trials of each side that count")
    parser.add_argument("--each", type=int, default=4, help="trials of a round")
    parser.add_argument("--epochs", type=int, default=10)
    options = parser.parse_args()
    recipe = catalog.load("resnet8_digits").change(**{"train.epochs": options.epochs})
    sides = {name: Side(name) for name in ("keras-tuner", "tune", "tune, halving")}
    with tempfile.TemporaryDirectory() as folder, InputPipeline.open(recipe) as pipeline:
        plain = PlainSearch(pipeline, options.epochs, Path(folder))
        for number in range(1, options.trials // options.each + 2):
            upto = number * options.each
            measure(sides["keras-tuner"], lambda upto=upto: plain.search(upto))
            measure(sides["tune"], lambda upto=upto: ours(recipe, upto, options.each, Path(folder), "none"))
            measure(sides["tune, halving"], lambda upto=upto: ours(recipe, upto, options.each, Path(folder), "halving"))
    report(list(sides.values()), options.each)


def measure(side: Side, search) -> None:
    wall, cpu = time.perf_counter(), time.process_time()
    scores = search()
    side.rounds.append((time.perf_counter() - wall, time.process_time() - cpu, scores))
    print(
        f"{side.name}: {side.rounds[-1][0]:.1f} s, processor {side.rounds[-1][1]:.1f} s, best {max(scores):.4f}",
        flush=True,
    )


def ours(recipe, upto: int, each: int, folder: Path, pruning: str) -> list[float]:
    """Search until there are `upto` trials; return the scores of the last `each`."""
    search = cr.tune(
        recipe, space=SPACE, trials=upto, best=0, pruning=pruning, workdir=folder, name=pruning, progress=False
    )
    return search.trials.score.fillna(0)[-each:].tolist()


class PlainSearch:
    """`keras_tuner.RandomSearch` with the recipe's model, data, optimizer and schedule in plain Keras."""

    def __init__(self, pipeline: InputPipeline, epochs: int, folder: Path):
        self.pipeline, self.epochs, self.folder = pipeline, epochs, folder
        self.train, self.validation = (self._arrays(split) for split in ("train", "validation"))

    def search(self, upto: int) -> list[float]:
        tuner = keras_tuner.RandomSearch(
            self._model, "val_accuracy", max_trials=upto, seed=1, directory=self.folder, project_name="plain"
        )
        before = set(tuner.oracle.trials)
        tuner.search(*self.train, validation_data=self.validation, epochs=self.epochs, batch_size=64, verbose=0)
        return [trial.score for name, trial in tuner.oracle.trials.items() if name not in before]

    def _arrays(self, split: str) -> tuple[np.ndarray, np.ndarray]:
        source = self.pipeline.source.split(split)
        images = np.stack([source.read(index)[0] for index in range(len(source))])
        return images.reshape(len(source), *self.pipeline.image_shape), np.eye(10, dtype=np.float32)[source.labels]

    def _model(self, hp: keras_tuner.HyperParameters) -> keras.Model:
        rate = hp.Float("learning_rate", 0.003, 3, sampling="log")
        decay = hp.Float("weight_decay", 5e-5, 5e-3, sampling="log")
        smoothing = hp.Choice("label_smoothing", [0.0, 0.1])
        steps = self.epochs * (len(self.train[0]) // 64)
        inner = cr.build("resnet8", **self.pipeline.for_model)
        model = keras.Sequential(
            [keras.Input(self.pipeline.image_shape), keras.layers.RandomTranslation(0.125, 0.125), inner]
        )
        model.compile(
            keras.optimizers.SGD(keras.optimizers.schedules.CosineDecay(rate, steps), 0.9, weight_decay=decay),
            keras.losses.CategoricalCrossentropy(from_logits=True, label_smoothing=smoothing),
            metrics=["accuracy"],
        )
        return model


def report(sides: list[Side], each: int) -> None:
    plain = sides[0]
    score = min(side.best() for side in sides)
    print(
        "\n| side | s/trial | processor s/trial | trials/h, ratio | processor, ratio | best | to common best, ratio |"
    )
    print("|---|---|---|---|---|---|---|")
    for side in sides:
        wall, cpu = (side.seconds(index, each) for index in (0, 1))
        ratios = [
            plain.seconds(0, each) / wall,
            plain.seconds(1, each) / cpu,
            plain.seconds_to(score) / side.seconds_to(score),
        ]
        print(
            f"| {side.name} | {wall:.2f} | {cpu:.2f} | {ratios[0]:.2f} | {ratios[1]:.2f} | {side.best():.4f} "
            f"| {ratios[2]:.2f} |"
        )


if __name__ == "__main__":
    main()
