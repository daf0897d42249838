"""The parts of an explanation: one function each, which adds a sentence, tables and pictures."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd

from cnnrecipes.data.image_names import image_names
from cnnrecipes.data.split_part import spread_part
from cnnrecipes.errors import DataError, counted
from cnnrecipes.explain.confusion import confusion
from cnnrecipes.explain.confusion_plot import plot_confusion
from cnnrecipes.explain.embedding import embed, plot_embedding
from cnnrecipes.explain.explained_run import ExplainedRun, Explanation
from cnnrecipes.explain.features import features
from cnnrecipes.explain.grad_cam import GradCam
from cnnrecipes.explain.heat_overlay import draw_heat
from cnnrecipes.explain.image_sheet import plot_images
from cnnrecipes.explain.mistakes import top_losses
from cnnrecipes.explain.robustness import plot_robustness, robustness, robustness_sentence
from cnnrecipes.explain.slices import slices
from cnnrecipes.runs.prediction_inputs import read_file
from cnnrecipes.runs.records import EMBEDDING, ROBUSTNESS

_EMBEDDED = 1000  # images


def _confusion(subject: ExplainedRun, found: Explanation) -> None:
    matrix = confusion(subject.predictions)
    plot_confusion(matrix, path=subject.file(found, "confusion.png"))
    found.sentences.append(str(matrix))
    subject.keep(found, "confusion", matrix.pairs)


def _top_losses(subject: ExplainedRun, found: Explanation) -> None:
    table = top_losses(subject.predictions, subject.n)
    first = table.iloc[0]
    found.sentences.append(
        f"largest loss ({found.split}): {first['file']}, {first['truth']} predicted as {first['predicted']} with "
        f"{first['probability_predicted']:.0%}"
    )
    subject.keep(found, "top-losses", table)
    if subject.data is None:
        found.sentences.append(f"no pictures of the largest losses: {subject.missing}")
        return
    images = [(subject.fitted(name),) for name in table["file"]]
    sheet = plot_images(f"Largest losses of the {found.split} split", images, _captions(table))
    subject.picture(found, sheet, "top_losses.png")


def _captions(table: pd.DataFrame) -> list[str]:
    return [
        f"{row['truth']} → {row['predicted']} {row['probability_predicted']:.0%}\n{Path(row['file']).name}"
        for row in table.to_dict("records")
    ]


def _grad_cam(subject: ExplainedRun, found: Explanation) -> None:
    model = GradCam(subject.run)
    if subject.images:
        images = [subject.resized(_read(path, subject)) for path in subject.images]
        names, title = [Path(path).name for path in subject.images], "Grad-CAM of the predicted class"
    else:
        table = top_losses(subject.predictions, subject.n)
        read = [(subject.fitted(row["file"]), row) for row in table.to_dict("records")]
        images = [image for image, _ in read if isinstance(image, np.ndarray)]
        names = [f"{row['truth']}: {row['file']}" for image, row in read if isinstance(image, np.ndarray)]
        title = f"Grad-CAM of the predicted class: largest losses of the {found.split} split"
    if not images:
        raise DataError(subject.missing or "none of the images can be read")
    stack = np.stack(images)
    artifact = subject.run.artifact
    numbers = subject.examined.logits(stack).argmax(axis=1).astype(np.int32)
    heats = model.of_fitted(stack, numbers)
    captions = [f"{artifact.class_names[number]}\n{name}" for number, name in zip(numbers, names, strict=True)]
    tiles = [(image, draw_heat(image, heat)) for image, heat in zip(images, heats, strict=True)]
    subject.picture(found, plot_images(title, tiles, captions), "grad_cam.png")
    found.sentences.append(f"Grad-CAM of {counted(len(images), 'image')} at the layer {model.layer}")


def _read(path: str | Path, subject: ExplainedRun) -> np.ndarray:
    """Return an image (H, W, C) uint8: by its name in the data, or the file at a path."""
    if subject.data is not None and str(path) in subject.data:
        return subject.data.read(str(path))
    return read_file(Path(path), subject.run.artifact.input_shape[-1])


def _slices(subject: ExplainedRun, found: Explanation) -> None:
    table = slices(subject.predictions, subject.opened().source.split(found.split))
    subject.keep(found, "slices", table)
    worse = [
        f"{row['slice']} {row['value']} ({row['accuracy']:.0%} of {row['n']:,})"
        for row in table[table["worse"]].sort_values("accuracy").to_dict("records")
    ]
    whole = f"{subject.predictions.right.mean():.0%} of {len(subject.predictions):,}"
    found.sentences.append(
        f"slices worse than the rest: {', '.join(worse)}; all: {whole}"
        if worse
        else f"no slice of {len(table)} (image size, brightness, folder, group) is significantly worse than the rest"
    )


def _embedding(subject: ExplainedRun, found: Explanation) -> None:
    source = subject.opened().source
    part = spread_part(source.split(found.split), _EMBEDDED)
    positions = embed(features(subject.run, part, progress=subject.progress), method="tsne")
    files, names = image_names(part, source), subject.predictions.class_names
    images = [subject.resized(subject.opened().read(file)) for file in files]
    subject.picture(found, plot_embedding(positions, part.labels, names, images), "embedding.png")
    labels = [names[number] for number in part.labels.tolist()]
    columns = {"file": files, "position": part.positions, "label": labels, "x": positions[:, 0], "y": positions[:, 1]}
    subject.keep(found, "embedding", pd.DataFrame(columns))
    subject.keep_for_report(found, EMBEDDING, found.tables["embedding"])
    found.sentences.append(f"t-SNE of the features of {len(part):,} {found.split} images")


def _robustness(subject: ExplainedRun, found: Explanation) -> None:
    split = subject.opened().source.split(found.split)
    table = robustness(subject.run, split, progress=subject.progress)
    plot_robustness(table, path=subject.file(found, "robustness.png"))
    subject.keep(found, "robustness", table)
    subject.keep_for_report(found, ROBUSTNESS, table)
    found.sentences.append(robustness_sentence(table))


PARTS: dict[str, Callable[[ExplainedRun, Explanation], None]] = {
    "confusion": _confusion,
    "top-losses": _top_losses,
    "grad-cam": _grad_cam,
    "slices": _slices,
    "embedding": _embedding,
    "robustness": _robustness,
}

DEFAULT_PARTS = tuple(PARTS)[:4]  # the others take longer
