"""Accuracy on parts of a split: by image size, brightness, source folder and group; with the parts that are worse."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pandas as pd
import tensorflow as tf

from cnnrecipes.data.audit.file_info import inspect_files
from cnnrecipes.data.images.decode import decode
from cnnrecipes.data.images.header import kind_of
from cnnrecipes.data.images.image_store import ArrayImages
from cnnrecipes.data.sources.random_access_dataset import Split
from cnnrecipes.errors import DataError
from cnnrecipes.runs.intervals import wilson
from cnnrecipes.runs.predictions import Predictions

_PARTS = 3  # of a number: small, middle and large
_MOST_VALUES = 20  # folders or groups up to which each is a slice
_LEVEL = 0.05
_GRAY = (0.299, 0.587, 0.114)  # weights of red, green and blue (ITU-R 601-2)
COLUMNS = ("slice", "value", "n", "accuracy", "accuracy_low", "accuracy_high", "p", "worse")


def slices(predictions: Predictions, split: Split | None) -> pd.DataFrame:
    """Return the accuracy of parts of a split with its 95% interval, and whether it is lower than on the rest.

    The parts are thirds by image size (the shorter side in pixels, of files) and by brightness (mean gray value), the
    source folders (below the data folder, without the folder of the class) and the groups, if there are 2 to 20.

    Args:
        predictions: of the split.
        split: the same split of the data, by which images and files are read; None: by folder and group only.

    Returns:
        columns slice, value, n, accuracy (0..1), accuracy_low and accuracy_high (Wilson 1927), p (one-sided exact test
        of Fisher against the rest, corrected for the number of parts by the method of Holm 1979), and worse (p < 0.05).

    Raises:
        DataError: the split has other images than the predictions, or an image cannot be read.
    """
    if split is not None and not np.array_equal(predictions.positions, split.positions):
        raise DataError(
            f"{len(predictions):,} predictions are not of the {len(split):,} images of the {split.name} split; give "
            "the data of the run, unchanged"
        )
    rows = [_row(predictions.right, *part) for part in _parts(predictions, split)]
    table = pd.DataFrame(rows, columns=list(COLUMNS[:-1]))
    table["p"] = _holm(table["p"].to_numpy(float))
    return table.assign(worse=table["p"] < _LEVEL)


def _parts(predictions: Predictions, split: Split | None) -> Iterator[tuple[str, str, np.ndarray]]:
    """Yield name, value and mask (N,) of each part."""
    if split is not None:
        if (files := split.files()) is not None:
            sides = np.asarray([min(one.width, one.height) for one in inspect_files(files)], float)
            yield from _thirds("image size", sides, " px")
        yield from _thirds("brightness", brightness(split))
    # Images of arrays have no folder: their names are like "train[17]".
    yield from _values("folder", [_folder(name, predictions.class_names) for name in predictions.files])
    if predictions.groups is not None:
        yield from _values("group", list(predictions.groups))


def _thirds(name: str, numbers: np.ndarray, unit: str = "") -> Iterator[tuple[str, str, np.ndarray]]:
    """Yield the thirds of a number as parts; nothing if all are about equal."""
    edges = np.unique(np.quantile(numbers, np.arange(1, _PARTS) / _PARTS))
    places = np.searchsorted(edges, numbers, side="left")
    present = np.unique(places)
    for place in present.tolist() if len(present) > 1 else ():
        own = places == place
        low, high = (f"{bound:.0f}" for bound in (numbers[own].min(), numbers[own].max()))
        yield name, f"{low if low == high else f'{low} to {high}'}{unit}", own


def _values(name: str, values: Sequence[str]) -> Iterator[tuple[str, str, np.ndarray]]:
    """Yield each value of 2 to 20 as a part."""
    found = np.asarray(values, dtype=object)
    distinct = sorted(set(values))
    for value in distinct if 1 < len(distinct) <= _MOST_VALUES else ():
        yield name, value, found == value


def _folder(file: str, class_names: Sequence[str]) -> str:
    """Return the folder of a file's name without the folders that are class names."""
    return "/".join(part for part in file.split("/")[:-1] if part not in class_names) or "."


def _row(right: np.ndarray, name: str, value: str, own: np.ndarray) -> tuple:
    from scipy.stats import fisher_exact

    hits, n = int(right[own].sum()), int(own.sum())
    other_hits, others = int(right[~own].sum()), int((~own).sum())
    p = fisher_exact([[hits, n - hits], [other_hits, others - other_hits]], alternative="less").pvalue
    low, high = wilson(hits, n)
    return name, value, n, hits / n, low, high, float(p)


def _holm(p_values: np.ndarray) -> np.ndarray:
    """Return p-values (N,) corrected by the step-down method of Holm (1979)."""
    order = np.argsort(p_values, kind="stable")
    scaled = np.minimum(p_values[order] * np.arange(len(p_values), 0, -1), 1)
    corrected = np.empty(len(p_values))
    corrected[order] = np.maximum.accumulate(scaled)
    return corrected


def brightness(split: Split) -> np.ndarray:
    """Return the mean gray value of each image of a split, (N,) float, 0..255.

    JPEG files are decoded at an eighth of their size, which is several times faster and keeps the mean.

    Raises:
        DataError: an image cannot be read.
    """
    images = split.images
    if isinstance(images, ArrayImages):
        return np.asarray([_mean_gray(images.read(position)) for position in split.positions.tolist()])

    def one(index: int) -> float:
        try:
            content, _ = split.read(index)
            return _mean_gray(content if isinstance(content, np.ndarray) else _small(content))
        except (OSError, tf.errors.OpError):
            name = images.label(int(split.positions[index]))
            raise DataError(f"cannot read {name} ({split.name}); restore or remove the file") from None

    with ThreadPoolExecutor() as pool:
        return np.asarray(list(pool.map(one, range(len(split)))))


def _small(content: bytes) -> np.ndarray:
    if kind_of(content[:64]) == "jpeg":
        return tf.io.decode_jpeg(content, channels=1, ratio=8).numpy()
    return decode(content, 1).numpy()


def _mean_gray(image: np.ndarray) -> float:
    means = image.mean(axis=(0, 1))
    return float(means @ _GRAY) if len(means) == 3 else float(means.mean())
