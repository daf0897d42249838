"""Helpers: a recipe whose training takes a second, on a few of scikit-learn's digits."""

from __future__ import annotations

from sklearn.datasets import load_digits

DIGITS = load_digits()
IMAGES = (DIGITS.images * 15.9).astype("uint8")[..., None]


def part(first: int, last: int):
    return IMAGES[first:last], DIGITS.target[first:last]


DATA = {"train": part(0, 160), "validation": part(160, 220), "test": part(220, 300)}
RECIPE = {
    "name": "small",
    "data": {"name": "arrays", "batch_size": 40},
    "model": {"name": "resnet8", "depths": [1], "widths": [16]},
    "optimizer": {"learning_rate": 0.1},
    "train": {"epochs": 2},
    "logging": {"loggers": [], "watch": "off"},
}
SPACE = {"optimizer.learning_rate": "log(1e-3, 1)", "train.label_smoothing": [0.0, 0.1]}
