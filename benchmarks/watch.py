"""Cost of the watch of the layers: an observation beside a step, and `logging.watch` off, "auto" and "1 epoch".

    python benchmarks/watch.py                  # both tables
    python benchmarks/watch.py --rounds 0       # the first table only

First table: steps and observations (measurement, copies of the weights, update ratios, rows) in turn, in one process;
medians. "1 epoch" is the share of an epoch of the recipe's own data set that its one observation takes.

Second table: each training is a process of its own, on random images. The seconds are those of all epochs in
history.csv, with the compilation in the first; medians over the rounds. "measured" is the time inside the watch by its
own clock, and "a measurement" that time divided by the number of observed steps. The weights must be bit-equal.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

SETTINGS = ("off", "auto", "1 epoch")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--recipes", nargs="+", default=["resnet20_cifar", "resnet18_cifar"])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--pairs", type=int, default=11, help="steps and observations of the first table")
    parser.add_argument("--steps", type=int, default=40, help="of an epoch")
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--child", nargs=2, metavar=("RECIPE", "WATCH"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        print(json.dumps(train(*options.child, options.steps, options.epochs)))
        return
    print("| recipe | a step, s | an observation, s | observation / step | 1 epoch |\n|---|---|---|---|---|")
    for recipe in options.recipes:
        print(alternated(recipe, options.pairs), flush=True)
    if options.rounds:
        compared(options)


def compared(options: argparse.Namespace) -> None:
    """Print the second table."""
    print(f"\nload of the machine: {os.getloadavg()[0]:.1f}; {options.epochs} epochs of {options.steps} steps")
    print("| recipe | off, s | auto | 1 epoch | measured in auto | observed steps in auto | a measurement, s |")
    print("|---|---|---|---|---|---|---|")
    for recipe in options.recipes:
        print(row(recipe, options), flush=True)


def alternated(recipe: str, pairs: int) -> str:
    """One line of the first table."""
    import numpy as np

    import cnnrecipes  # noqa: F401
    from cnnrecipes.debug.examined_training import opened_subject
    from cnnrecipes.debug.step_timing import timed, training_function
    from cnnrecipes.runs.watch_records import WatchFile
    from cnnrecipes.training.layer_probe import LayerProbe, probe_batch

    images = np.random.default_rng(0).integers(0, 256, (512, 32, 32, 3), dtype=np.uint8)
    changes = {"data.validation": 0.0, "data.test": 0.0}
    with (
        tempfile.TemporaryDirectory() as folder,
        opened_subject(recipe, (images, np.arange(512) % 10), changes=changes) as job,
    ):
        file = WatchFile(Path(folder) / "watch.csv")
        step = training_function(job, iter(job.training_batches(0, pairs + 2)), pairs + 2)
        probe = LayerProbe(job.model, *probe_batch(job.model, job.pipeline))

        def observe() -> None:
            rows = probe.measure()
            probe.add_updates(rows, probe.copy_weights())
            file.add(len(seconds["step"]), rows)

        seconds: dict[str, list[float]] = {"step": [], "observation": []}
        for number in range(pairs + 2):
            for name, function in (("step", step), ("observation", observe)):
                taken = timed(function)
                if number >= 2:
                    seconds[name].append(taken)
        each, watch = (statistics.median(times) for times in seconds.values())
    epoch = 45_000 // job.recipe.data.batch_size  # of CIFAR-10, with a tenth held out
    return f"| {recipe} | {each:.3f} | {watch:.3f} | {watch / each:.2f} | {watch / each / epoch:.2%} of {epoch} steps |"


def row(recipe: str, options: argparse.Namespace) -> str:
    """One line of the table."""
    runs: dict[str, list[dict]] = {setting: [] for setting in SETTINGS}
    for _ in range(options.rounds):
        for setting, found in runs.items():
            command = [sys.executable, __file__, "--steps", str(options.steps), "--epochs", str(options.epochs)]
            done = subprocess.run([*command, "--child", recipe, setting], capture_output=True, text=True, check=True)
            found.append(json.loads(done.stdout.splitlines()[-1]))
    assert len({run["weights"] for found in runs.values() for run in found}) == 1, "the watch changes the weights"
    off, auto, every = (statistics.median(run["seconds"] for run in runs[setting]) for setting in SETTINGS)
    inside = statistics.median(run["watch_seconds"] / run["seconds"] for run in runs["auto"])
    steps = statistics.median(run["observed"] for run in runs["auto"])
    each = statistics.median(run["watch_seconds"] / run["observed"] for run in runs["1 epoch"])
    shares = f"{auto / off - 1:+.1%} | {every / off - 1:+.1%} | {inside:.1%}"
    return f"| {recipe} | {off:.1f} | {shares} | {steps:g} | {each:.2f} |"


def train(recipe: str, setting: str, steps: int, epochs: int) -> dict:
    """Train once in this process."""
    import numpy as np

    import cnnrecipes as cr
    from cnnrecipes.recipe import catalog
    from cnnrecipes.training.callbacks.watch import Watch

    spent, end = {"seconds": 0.0}, Watch.on_train_end

    def on_train_end(self, logs=None):
        spent["seconds"] = self.seconds
        end(self, logs)

    Watch.on_train_end = on_train_end
    spec = catalog.load(recipe)
    size = spec.data.image_size or 32
    random = np.random.default_rng(0)
    images = random.integers(0, 256, (steps * spec.data.batch_size, size, size, 3), dtype=np.uint8)
    changes = {"train.epochs": epochs, "data.validation": 0.0, "data.test": 0.0, "logging.watch": setting}
    with tempfile.TemporaryDirectory() as folder:
        run = cr.fit(spec, (images, np.arange(len(images)) % 10), workdir=folder, progress=False, **changes)
        watched = (run.folder / "watch.csv").exists()
        return {
            "seconds": float(run.history["seconds"].sum()),
            "weights": run.metrics["weights"],
            "observed": int(run.watch()["step"].nunique()) if watched else 0,
            "watch_seconds": spent["seconds"],
        }


if __name__ == "__main__":
    main()
