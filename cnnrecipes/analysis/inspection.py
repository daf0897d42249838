"""Model inspection report: tables of costs, receptive fields and activations, and a folder of plots."""

from __future__ import annotations

import os
import warnings
from pathlib import Path
from typing import Any, NamedTuple

import keras
import numpy as np
import pandas as pd

from cnnrecipes._support.atomic_files import choose_output, make_folder, write_whole
from cnnrecipes.analysis import inspected_model
from cnnrecipes.analysis.activation_statistics import activation_statistics
from cnnrecipes.analysis.activation_statistics_plot import plot_activation_statistics
from cnnrecipes.analysis.dead_channels import dead_channel_warnings, dead_channels
from cnnrecipes.analysis.diagram import diagram
from cnnrecipes.analysis.effective_field import plot_receptive_field
from cnnrecipes.analysis.feature_plots import plot_feature_maps, plot_filters
from cnnrecipes.analysis.inspected_model import Subject
from cnnrecipes.analysis.receptive_field import receptive_field
from cnnrecipes.errors import CNNRecipesWarning
from cnnrecipes.models.cost import cost

# file -> content
PICTURES = {
    "diagram.svg": "block diagram by stages, with skip connections",
    "diagram.png": "the same",
    "receptive_field.png": "theoretical and effective receptive field of the last feature map's center",
    "activations.png": "standard deviation and dead channels of every layer, for the images",
    "filters.png": "kernels of the first convolution",
    "feature_maps.png": "feature maps of the first image in every stage",
}
FILES = ("layers.csv", *PICTURES)


class Inspection(NamedTuple):
    """The results of `inspect`.

    Attributes:
        stages: costs and receptive fields, one row per stage.
        layers: costs, receptive fields and activation statistics, one row per layer call.
        files: paths of the table and the plots.
        dead: result of `dead_channels`.
        name: name of the recipe, architecture, run or model.
        note: the reason for noise in place of images, and the remedy; "" if there are images.
    """

    stages: pd.DataFrame
    layers: pd.DataFrame
    files: tuple[Path, ...]
    dead: pd.DataFrame
    name: str
    note: str = ""

    def to_dict(self) -> dict[str, Any]:
        """Return all but `layers`, which is in layers.csv, as dictionaries and lists."""
        tables = {"stages": self.stages.reset_index().to_dict("records"), "dead": self.dead.to_dict("records")}
        return {"model": self.name, **tables, "files": list(map(str, self.files)), "note": self.note}


def write_inspection(
    name: str | Path,
    /,
    folder: str | Path | None = None,
    *,
    data: Any = None,
    classes: int | None = None,
    overwrite: bool = False,
    **changes: Any,
) -> Inspection:
    """Inspect a recipe, an architecture or a run by name; existing files are not overwritten by default.

    Args:
        name, data, classes, changes: see `subject.find`; nothing is downloaded.
        folder: folder of the table and the plots; None: inspect/NAME in the current folder, numbered if it exists.
        overwrite: replace existing files.

    Raises:
        CNNRecipesError: as for `subject.find` and `inspect`.
        WriteError: `folder` holds an inspection already.
    """
    found = inspected_model.find(str(name), changes, data, classes)
    given = None if folder is None else Path(folder)
    chosen = choose_output(given, Path("inspect") / found.name, names=FILES, overwrite=overwrite)
    return inspect(found, chosen)


def inspect(
    model: keras.Model | Subject | str | Path,
    folder: str | os.PathLike,
    images: np.ndarray | None = None,
    *,
    first: str = "",
) -> Inspection:
    """Analyze a model and write a table and plots into a folder.

    Args:
        model: functional or sequential, with a fixed input shape, trained or not; the name of a recipe or an
            architecture, or the path of a run, which bring their images; or what `subject.find` returns for these.
        folder: created if missing; gets `FILES`, which overwrite earlier ones.
        images: (N, H, W, C) in the model's input range; None: those of the recipe or the run, or 8 images of uniform
            noise, 0..255.
        first: description of the first image, for the title of its feature maps.

    Returns:
        the tables, of stages: `cost(model, by="stage")` with the receptive field at the end of each stage; of layers:
        `cost(model)` with receptive field and activation statistics.

    Raises:
        CNNRecipesError: there is no recipe, architecture or run of this name.
        ModelError: a model without a graph or without a fixed input shape.
        DataError: images of another shape.
        WriteError: the folder cannot be created or written.

    Warns:
        CNNRecipesWarning: each layer with dead channels, with the reason and the remedy.
    """
    name = note = ""
    if isinstance(model, (str, Path)):
        model = inspected_model.find(str(model))
    if isinstance(model, Subject):
        name, note = model.name, model.noise if images is None else ""
        images, first = (model.images, model.first) if images is None else (images, first)
        model = model.model
    folder = make_folder(folder)
    about = f"{len(images)} images" if images is not None else "8 images of uniform noise"
    if images is None:
        first = "uniform noise"
        images = np.random.default_rng(0).uniform(0, 255, (8, *model.input_shape[1:])).astype("float32")
    stages, layers = cost(model, by="stage"), cost(model)
    fields = receptive_field(model)
    layers["receptive_field"], layers["stride"] = fields["size"], fields["stride"]
    stages["receptive_field"] = layers.groupby("stage", sort=False)["receptive_field"].last()
    statistics = activation_statistics(model, images)
    layers = layers.merge(statistics.drop(columns=["type", "stage"]).drop_duplicates("layer"), on="layer", how="left")
    dead = dead_channels(model, images)
    for message in dead_channel_warnings(dead):
        warnings.warn(message, CNNRecipesWarning, stacklevel=2)
    write_whole(folder / "layers.csv", lambda path: layers.to_csv(path, index=False))
    diagram(model, folder / "diagram.svg")
    diagram(model, folder / "diagram.png")
    plot_receptive_field(model, path=folder / "receptive_field.png")
    title = f"{model.name}: size of activations over depth, for {about}"
    plot_activation_statistics(statistics, folder / "activations.png", title=title)
    plot_filters(model, path=folder / "filters.png")
    plot_feature_maps(model, images[0], path=folder / "feature_maps.png", about=first)
    return Inspection(stages, layers, tuple(folder / file for file in FILES), dead, name or model.name, note)
