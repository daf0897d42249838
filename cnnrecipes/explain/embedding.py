"""Maps of images in the plane, in which images with similar features are near: PCA, t-SNE or UMAP."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any, Literal

import keras
import numpy as np
from matplotlib.offsetbox import AnnotationBbox, OffsetImage
from threadpoolctl import threadpool_limits

from cnnrecipes._support.console import printable
from cnnrecipes.errors import DataError, UnknownNameError
from cnnrecipes.explain.features import features
from cnnrecipes.figures import Picture
from cnnrecipes.runs.run import Run
from cnnrecipes.runs.trained_model import Artifact

METHODS = ("pca", "tsne", "umap")
_LEAST = 3  # images
_ONE_THREAD = 2000  # images up to which more threads take longer, many times so on a busy machine
_AXES = 50  # principal components from which t-SNE and UMAP start, as van der Maaten and Hinton 2008, section 4.2
_LEGEND = 20  # classes with a legend
_GRID = 20  # cells a side, of which each shows at most one thumbnail


def embedding(
    subject: Run | Artifact | keras.Model,
    images: Any,
    *,
    method: Literal["pca", "tsne", "umap"] = "pca",
    seed: int = 0,
    progress: bool = False,
) -> np.ndarray:
    """Return a position in the plane for each image, by its features; see `embed`.

    Args:
        subject, images, progress: as for `features`.
        method, seed: as for `embed`.

    Returns:
        (N, 2) float32.

    Raises:
        CNNRecipesError: as for `features` and `embed`.
    """
    return embed(features(subject, images, progress=progress), method=method, seed=seed)


def embed(found: np.ndarray, *, method: Literal["pca", "tsne", "umap"] = "pca", seed: int = 0) -> np.ndarray:
    """Return features (N, D) as positions (N, 2) float32 in the plane.

    Args:
        found: (N, D) features.
        method: "pca": the two principal components; "tsne": t-SNE of scikit-learn (van der Maaten and Hinton 2008), in
            which only near neighbors have a meaning; "umap": UMAP (McInnes et al. 2018), if umap-learn is installed.
        seed: of t-SNE and UMAP.

    Raises:
        DataError: fewer than 3 images, or features that are NaN or infinite; or umap-learn is not installed.
        UnknownNameError: no such method.
    """
    if method not in METHODS:
        raise UnknownNameError("embedding method", method, METHODS)
    if len(found) < _LEAST:
        raise DataError(f"an embedding needs at least {_LEAST} images, not {len(found)}; give more")
    if not np.isfinite(found).all():
        raise DataError("some features are NaN or infinite; check the weights of the model")
    from sklearn.decomposition import PCA

    axes = 2 if method == "pca" else min(_AXES, *found.shape)
    components = PCA(min(axes, *found.shape), svd_solver="full" if len(found) < 500 else "auto", random_state=seed)
    reduced = components.fit_transform(np.asarray(found, np.float64))
    if method == "tsne":
        reduced = _tsne(reduced, seed)
    elif method == "umap":
        reduced = _umap(reduced, seed)
    reduced = np.pad(reduced, [(0, 0), (0, max(2 - reduced.shape[1], 0))])  # features of one dimension
    return reduced.astype(np.float32)


def _tsne(reduced: np.ndarray, seed: int) -> np.ndarray:
    from sklearn.manifold import TSNE

    perplexity = min(30.0, max((len(reduced) - 1) / 3, 1.0))
    start = "pca" if reduced.shape[1] > 1 else "random"
    with threadpool_limits(1 if len(reduced) <= _ONE_THREAD else None):
        return TSNE(2, perplexity=perplexity, init=start, random_state=seed).fit_transform(reduced)


def _umap(reduced: np.ndarray, seed: int) -> np.ndarray:
    try:
        from umap import UMAP
    except ImportError:
        raise DataError(
            "the embedding method 'umap' needs umap-learn, which is not installed; run `pip install umap-learn`, or "
            "use method='tsne'"
        ) from None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that a seed switches threads off
        return UMAP(n_neighbors=min(15, len(reduced) - 1), random_state=seed).fit_transform(reduced)


def plot_embedding(
    positions: np.ndarray,
    labels: np.ndarray,
    class_names: Sequence[str],
    thumbnails: Sequence[np.ndarray] | None = None,
) -> Picture:
    """Plot an embedding: a point of the class's color for each image, and thumbnails of some.

    Args:
        positions: (N, 2).
        labels: (N,) class numbers.
        class_names: in label order; with more than 20 classes there is no legend.
        thumbnails: image (H, W, C) uint8 of each point, at most one a cell of a grid of 20 x 20 is drawn; None: none.
    """
    from matplotlib import colormaps

    figure = Picture(figsize=(10, 8), layout="constrained")
    axes = figure.subplots()
    colors, many = colormaps["tab20"], len(class_names) > _LEGEND
    for number in np.unique(labels).tolist():
        own = labels == number
        name = None if many else printable(class_names[number]).replace("$", r"\$")
        axes.scatter(
            positions[own, 0], positions[own, 1], s=18, color=colors(number % colors.N), label=name, linewidths=0
        )
    if thumbnails is not None:
        low, extent = positions.min(axis=0), np.maximum(np.ptp(positions, axis=0), 1e-12)
        cells = np.minimum((positions - low) / extent * _GRID, _GRID - 1).astype(int)
        _, chosen = np.unique(cells, axis=0, return_index=True)
        for place in chosen.tolist():
            image = thumbnails[place]
            shown = OffsetImage(np.repeat(image, 3, -1) if image.shape[-1] == 1 else image, zoom=24 / max(image.shape))
            edge = {"edgecolor": colors(int(labels[place]) % colors.N), "linewidth": 2}
            axes.add_artist(AnnotationBbox(shown, positions[place], pad=0, bboxprops=edge))
    axes.set_xticks([])
    axes.set_yticks([])
    if not many:
        figure.legend(loc="outside right upper", frameon=False, fontsize=9)
    return figure
