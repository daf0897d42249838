"""Accuracy under corruptions of the images: noise, blur, exposure, compression."""

from __future__ import annotations

import os
from collections.abc import Sequence

import numpy as np
import pandas as pd

from cnnrecipes._support.progress import watch
from cnnrecipes.data import batching
from cnnrecipes.data.sources.random_access_dataset import Split
from cnnrecipes.data.split_part import spread_part
from cnnrecipes.explain.corruptions import CORRUPTIONS, STRENGTHS, corrupt
from cnnrecipes.figures import Picture, drawable, written
from cnnrecipes.runs.run import Run
from cnnrecipes.runs.trained_model import Artifact

CLEAN = "none"  # the row of the images without a corruption
IMAGES = 1000


def robustness(
    subject: Run | Artifact,
    split: Split,
    corruptions: Sequence[str] = CORRUPTIONS,
    strengths: Sequence[int] = STRENGTHS,
    *,
    images: int = IMAGES,
    seed: int = 0,
    progress: bool = False,
) -> pd.DataFrame:
    """Return the accuracy on a split whose images are corrupted, after ImageNet-C (Hendrycks and Dietterich 2019).

    The images are corrupted at the model's size, after resizing. Each combination is one forward pass of the images.

    Args:
        subject: the run or artifact.
        split: the images; validation or test.
        corruptions: names from CORRUPTIONS.
        strengths: of 1 to 5.
        images: at most this many of the split, evenly spaced.
        seed: of the random numbers.
        progress: show a progress bar.

    Returns:
        columns corruption, strength, accuracy (0..1) and n; the first row, corruption "none" of strength 0, are the
        images as they are.

    Raises:
        UnknownNameError: no such corruption.
        DataError: another strength, or images that cannot be read.
    """
    artifact = subject.artifact if isinstance(subject, Run) else subject
    part = spread_part(split, images)
    rows = [(CLEAN, 0), *((name, int(strength)) for name in corruptions for strength in strengths)]
    right, done = np.zeros(len(rows), int), 0
    batches = batching.arrays(part, artifact.spec, len(artifact.class_names))
    what = f"corrupting {len(part):,} {split.name} images in {len(rows) - 1} ways"
    for found, labels, weights in watch(batches, what, batching.evaluation_steps(part), progress, always=True):
        some, truth = found[weights > 0], labels[weights > 0].argmax(axis=1)
        indices = part.positions[done : done + len(some)].tolist()
        done += len(some)
        for place, (name, strength) in enumerate(rows):
            shown = some if name == CLEAN else corrupt(some, name, strength, seed=seed, indices=indices)
            right[place] += int((artifact.logits(shown).argmax(axis=1) == truth).sum())
    table = pd.DataFrame(rows, columns=["corruption", "strength"])
    return table.assign(accuracy=right / len(part), n=len(part))


def robustness_sentence(table: pd.DataFrame) -> str:
    """Return what a table of `robustness` says: the corruption that costs most, at its middle strength, and the mean.

    For example "loses 12 points under gaussian noise at strength 3 (92% to 80%); 71% on average over 12 corruptions".
    """
    clean = float(table.loc[table["corruption"] == CLEAN, "accuracy"].iloc[0])
    corrupted = table[table["corruption"] != CLEAN]
    if corrupted.empty:
        return f"{clean:.0%} without corruption"
    middle = sorted(corrupted["strength"].unique())[corrupted["strength"].nunique() // 2]
    at_middle = corrupted[corrupted["strength"] == middle].set_index("corruption")["accuracy"]
    worst, mean = str(at_middle.idxmin()), float(corrupted["accuracy"].mean())
    lowest = float(at_middle.min())
    average = f"{mean:.0%} on average over {counted_corruptions(corrupted)}"
    if lowest >= clean:
        return f"loses nothing at strength {middle} ({clean:.0%} without corruption); {average}"
    return (
        f"loses {100 * (clean - lowest):.0f} points under {worst.replace('_', ' ')} at strength {middle} "
        f"({clean:.0%} to {lowest:.0%}); {average}"
    )


def counted_corruptions(table: pd.DataFrame) -> str:
    """Return the number of corruptions and strengths of a table, in words."""
    names, strengths = table["corruption"].nunique(), table["strength"].nunique()
    return f"{names} corruption{'s' * (names > 1)} at {strengths} strength{'s' * (strengths > 1)}"


def plot_robustness(table: pd.DataFrame, *, path: str | os.PathLike | None = None) -> Picture:
    """Plot a table of `robustness` as a heat map: accuracy in percent, a row for each corruption, worst first.

    Args:
        table: result of `robustness`.
        path: file to write the figure to (.png, .svg or .pdf); None: not written.

    Raises:
        ModelError: an unsupported suffix.
        WriteError: the path cannot be written.
    """
    path = path and drawable(path)
    clean = float(table.loc[table["corruption"] == CLEAN, "accuracy"].iloc[0])
    values = table[table["corruption"] != CLEAN].pivot(index="corruption", columns="strength", values="accuracy")
    values = values.loc[values.mean(axis=1).sort_values().index]
    figure = Picture(figsize=(6.5, 1.6 + 0.34 * max(len(values), 2)), layout="constrained")
    axes = figure.subplots()
    axes.imshow(values, vmin=0, vmax=max(clean, 1e-9), cmap="viridis", aspect="auto")
    for row, column in np.ndindex(*values.shape):
        accuracy = values.iat[row, column]
        color = "white" if accuracy < 0.6 * clean else "black"
        axes.text(column, row, f"{100 * accuracy:.0f}", ha="center", va="center", color=color, fontsize=9)
    axes.set_xticks(range(values.shape[1]), [str(strength) for strength in values.columns])
    axes.set_yticks(range(len(values)), [str(name).replace("_", " ") for name in values.index])
    axes.set_xlabel("strength")
    axes.set_title(
        f"accuracy in % (without corruption {100 * clean:.0f}, n = {int(table['n'].iloc[0]):,})", fontsize=10
    )
    written(figure, path)
    return figure
