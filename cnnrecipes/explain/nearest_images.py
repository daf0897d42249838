"""The training images that a model sees as most similar to an image."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from cnnrecipes.data.image_names import image_names
from cnnrecipes.errors import DataError
from cnnrecipes.explain.features import FeatureModel
from cnnrecipes.explain.run_data import RunData
from cnnrecipes.runs.prediction_inputs import read_images
from cnnrecipes.runs.run import Run


def nearest_training_images(
    run: str | Path | Run, images: Any, n: int = 5, *, data: Any = None, progress: bool = False
) -> pd.DataFrame:
    """Return the training images that are nearest to images by the cosine distance of their features.

    The training images go through the model once for all queries.

    Args:
        run: the run.
        images: the name of an image of the data, for example "ants/a.jpg" from a table of mistakes; the path of another
            file; an array (H, W, C); or a list of these.
        n: number of training images for each.
        data: as in `fit`, for a run on arrays or on moved data; None: the data of the recipe.
        progress: show a progress bar for many training images.

    Returns:
        columns query (0, 1, ... in the order of `images`), file, position, class and distance (0..2, nearest first).

    Raises:
        DataError: images or data that cannot be read, or `n` below 1.
        RunError: the run has no model.
    """
    from sklearn.neighbors import NearestNeighbors

    if n < 1:
        raise DataError(f"n = {n} leaves no training image to return; give at least 1")
    run = Run.open(run)
    model = FeatureModel(run)
    with RunData.open(run, data) as opened:
        queries = list(images) if isinstance(images, (list, tuple)) else [images]
        found = np.concatenate([model(_read(one, opened)) for one in queries])
        train = opened.source.split("train")
        finder = NearestNeighbors(n_neighbors=min(n, len(train)), metric="cosine")
        distances, places = finder.fit(model(train, progress=progress)).kneighbors(found)
        names, classes = image_names(train, opened.source), opened.source.class_names
    rows = [
        (query, names[i], int(train.positions[i]), classes[int(train.labels[i])], max(float(distance), 0.0))
        for query in range(len(found))
        for i, distance in zip(places[query].tolist(), distances[query].tolist(), strict=True)
    ]
    return pd.DataFrame(rows, columns=["query", "file", "position", "class", "distance"])


def _read(query: Any, opened: RunData) -> list[np.ndarray]:
    """Return a query as a list of one image (H, W, C) uint8: by its name in the data, else as `predict` reads it."""
    if isinstance(query, str) and query in opened:
        return [opened.read(query)]
    found, single = read_images(query, opened.channels)
    if not single:
        raise DataError(f"a query has shape {np.shape(query)}; give one image (H, W, C), or a list of images")
    return found
