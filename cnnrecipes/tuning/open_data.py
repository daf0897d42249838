"""The data of a search, which stay open between trials."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable
from typing import Any

from cnnrecipes._support.console import silent
from cnnrecipes.data.input_pipeline import InputPipeline
from cnnrecipes.recipe.schema import Recipe

_KEPT = 2  # data tables whose data stay open: with other image sizes each has its own decoded images
_OF_BATCHES = {"batch_size", "balance"}  # keys of the `data` table that do not decide what is read


class OpenData:
    """The data of the trials, opened once for each `data` table; a context manager, which closes them.

    Args:
        data: as in `fit`.
    """

    def __init__(self, data: Any = None):
        self.data = data
        self._open: dict[str, tuple[InputPipeline, contextlib.ExitStack]] = {}

    def pipeline(self, recipe: Recipe, say: Callable[[str], None] = silent, *, progress: bool = False) -> InputPipeline:
        """Return the data of a recipe with its splits, and with its statistics computed.

        Raises:
            DataError: the data cannot be opened.
        """
        key = json.dumps(recipe.data.model_dump(mode="json", exclude=_OF_BATCHES), sort_keys=True)
        if key not in self._open:
            while len(self._open) >= _KEPT:
                self._open.pop(next(iter(self._open)))[1].close()
            stack = contextlib.ExitStack()
            opened = stack.enter_context(InputPipeline.open(recipe, self.data, say, progress=progress))
            _ = opened.statistics, opened.image_shape
            self._open[key] = opened, stack
        return self._open[key][0].with_recipe(recipe)

    def __enter__(self) -> OpenData:
        return self

    def __exit__(self, *error: object) -> None:
        for _, stack in self._open.values():
            stack.close()
        self._open.clear()
