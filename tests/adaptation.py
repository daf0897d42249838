"""A narrow pretrained run, and trainings that adapt it to other images."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
from PIL import Image

import cnnrecipes as cr
from cnnrecipes.runs import checkpoint
from cnnrecipes.runs.weights import BEST, read_weights

RANDOM = np.random.default_rng(0)
LABELS = np.arange(60) % 2
IMAGES = (RANDOM.integers(0, 150, (60, 16, 16, 3)) + 60 * LABELS[:, None, None, None]).astype(np.uint8)
DATA = (IMAGES, LABELS)
# Some labels are noise: gradients of an image that the linear probe is sure of would be lost in rounding.
OTHER = (IMAGES[::-1, ::-1], np.where(np.arange(60) % 4, 1 - LABELS[::-1], RANDOM.integers(0, 2, 60)))
SMALL = {
    "model.name": "resnet8",
    "data.image_size": 16,
    "data.batch_size": 16,
    "data.validation": 0.2,
    "train.epochs": 2,
    "optimizer.warmup": "0 epochs",
    "optimizer.learning_rate": 0.01,
    "augment.ops": [],
    "logging.checkpoint_every": "1 steps",
    "logging.loggers": [],
    "devices.steps_per_execution": 1,
}


# Two of the three stages of resnet8, of one width, for tests of what surrounds a training.
NARROW = {"model.depths": (1, 1), "model.widths": (16, 16)}


def write_photos(folder: Path, train: int = 20, validation: int = 8, size: int = 24) -> Path:
    """Write PNG photos of three classes, evenly, into train/ and validation/, and return the folder."""
    random = np.random.default_rng(0)
    for split, count in (("train", train), ("validation", validation)):
        for number in range(count):
            path = folder / split / "abc"[number % 3] / f"{number:04}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            pixels = random.integers(0, 150, (size, size, 3)) + np.roll([80, 20, 0], number)
            Image.fromarray(pixels.astype(np.uint8)).save(path)
    return folder


def pretrain(folder: Path, **changes) -> cr.Run:
    """Train the backbone that `adapt` starts from; `changes` are keys of the recipe."""
    return cr.fit("resnet20_cifar", data=DATA, workdir=folder, progress=False, **{**SMALL, **NARROW, **changes})


def adapt(how: str, pretrained: cr.Run, folder: Path, progress: bool = False, **changes) -> cr.Run:
    """Adapt the pretrained run to other images by `transfer.how`; `changes` are keys of the recipe.

    Without cross-validation, which takes half of the time and has tests of its own.
    """
    settings = {**SMALL, **NARROW, "transfer.how": how, "transfer.cross_validation": "never", **changes}
    settings.setdefault("train.start_from", str(pretrained.folder))
    return cr.fit("resnet20_cifar", data=OTHER, workdir=folder, progress=progress, **settings)


def stopped(run: cr.Run, folder: Path, best: bool = False, checkpoints: bool | None = None) -> Path:
    """Copy a finished run as a kill between its last two checkpoints leaves it.

    With `best` best.npz is kept even if it is of an epoch after the kill. With `checkpoints` it is a kill before the
    evaluation, which leaves all files; False: before the first checkpoint.
    """
    copy = shutil.copytree(run.folder, folder / run.folder.name)
    for name in ("model.keras", "metrics.json"):
        (copy / name).unlink()
    if checkpoints is not None:
        for path in () if checkpoints else (copy / "checkpoints").iterdir():
            path.unlink()
        return copy
    newest, _ = checkpoint.found(copy)
    newest.unlink()
    path = copy / "checkpoints" / BEST
    if not best and read_weights(path)[1]["epoch"] > checkpoint.newest(copy).state.epoch:
        path.unlink()
    return copy


def by_path(weights, model) -> dict[str, np.ndarray]:
    """Return weights in the order of `model.weights` by the path of their variable."""
    return {variable.path: value for variable, value in zip(model.weights, weights, strict=True)}


def is_statistic(path: str) -> bool:
    """Return True for the path of a moving mean or variance."""
    return path.rpartition("/")[2].startswith("moving_")
