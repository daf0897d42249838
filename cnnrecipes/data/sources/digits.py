"""The digits data set of scikit-learn."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from cnnrecipes.data.sources import arrays
from cnnrecipes.data.sources.contents import Contents
from cnnrecipes.data.sources.data_source_base import DataSource, ReadOptions
from cnnrecipes.data.sources.registry import data_source


@data_source("digits", order=10)
class Digits(DataSource):
    """The 1,797 handwritten digits of scikit-learn, (8, 8, 1); their range 0..16 is scaled to 0..255."""

    def matches(self, data: Any) -> bool:
        return isinstance(data, (str, Path)) and str(data) == "digits"

    def read(self, data: Any, options: ReadOptions) -> Contents:
        from sklearn.datasets import load_digits

        loaded = load_digits()
        images = (loaded.images * (255 / 16)).round().astype(np.uint8)
        class_names = [str(name) for name in loaded.target_names]
        return Contents(*arrays.read({"train": (images, loaded.target), "class_names": class_names}))

    def names(self) -> Sequence[str]:
        return ("digits",)
