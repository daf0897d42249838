"""The data of a run, opened again, and its images by name."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from functools import cached_property
from typing import Any

import numpy as np
import tensorflow as tf

from cnnrecipes.data.image_names import image_names
from cnnrecipes.data.images.decode import decode, reason
from cnnrecipes.data.input_pipeline import InputPipeline
from cnnrecipes.data.sources.random_access_dataset import Source, Split
from cnnrecipes.errors import DataError, did_you_mean
from cnnrecipes.runs.run import Run


class RunData:
    """The data set of a run.

    Attributes:
        source: with the splits of the training.
        channels: of the model.
    """

    def __init__(self, source: Source, channels: int):
        self.source, self.channels = source, channels

    @classmethod
    @contextlib.contextmanager
    def open(cls, run: Run, data: Any = None) -> Iterator[RunData]:
        """Open the data of a run with its splits, and close them on exit.

        Args:
            run: the run.
            data: as in `fit`, for a run on arrays or on data that has been moved; None: the data of the recipe.

        Raises:
            DataError: the data cannot be opened, or has other classes than the run.
        """
        artifact = run.artifact
        with InputPipeline.open(run.recipe, data) as pipeline:
            pipeline.source.check_class_names(artifact.class_names)
            yield cls(pipeline.source, artifact.input_shape[-1])

    @cached_property
    def _places(self) -> dict[str, tuple[Split, int]]:
        """Name of an image -> its split, and its index there."""
        splits = self.source.splits.values()
        return {name: (split, i) for split in splits for i, name in enumerate(image_names(split, self.source))}

    def __contains__(self, name: str) -> bool:
        return name in self._places

    def read(self, name: str) -> np.ndarray:
        """Return the image with a name, (H, W, C) uint8, 0..255, at its stored size.

        Raises:
            DataError: there is no such image, or it cannot be read any more.
        """
        if name not in self._places:
            raise DataError(f"{self.source.name} has no image {name!r}{did_you_mean(name, self._places)}; give another")
        split, index = self._places[name]
        try:
            content, _ = split.read(index)
            return decode(content, self.channels).numpy() if isinstance(content, bytes) else content
        except (OSError, tf.errors.OpError) as error:
            raise DataError(f"cannot read {name!r} of {self.source.name}: {reason(error)}; restore the file") from None
