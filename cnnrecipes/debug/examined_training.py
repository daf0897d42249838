"""The training that a debugging command examines: a recipe's job, opened without a run folder."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import keras

from cnnrecipes.models.variable_snapshot import restored
from cnnrecipes.recipe import catalog
from cnnrecipes.recipe.schema import Recipe
from cnnrecipes.training.model_plan import ModelPlan
from cnnrecipes.training.seeding import undisturbed_random_numbers
from cnnrecipes.training.start_or_resume import adjustable_keys, complete_recipe, find_start
from cnnrecipes.training.train_job import TrainJob
from cnnrecipes.transfer.training_setup import opened_job


@contextlib.contextmanager
def opened_subject(
    recipe: str | Path | Mapping[str, Any] | Recipe,
    data: Any = None,
    *,
    model: keras.Model | None = None,
    seed: int | None = None,
    progress: bool = False,
    changes: Mapping[str, Any] | None = None,
) -> Iterator[TrainJob]:
    """Context manager that opens a training as `fit` would, without a run folder, and yields its `TrainJob`.

    Random number generators are restored on exit.

    Args:
        recipe, data, seed, changes: as in `fit`.
        model: your own model, images (N, H, W, C) in 0..255 -> logits (N, classes), instead of the recipe's; its
            variables are restored on exit.
        progress: print messages.

    Raises:
        CNNRecipesError: as for `fit`.
    """
    base, changes = catalog.load(recipe), changes or {}
    complete = complete_recipe(base, data, seed, changes)
    start = find_start(complete, adjustable=adjustable_keys(base, complete, changes))
    with undisturbed_random_numbers():
        if model is None:
            with opened_job(start, data, progress=progress) as job:
                yield job
            return
        with (
            restored(model),
            opened_job(
                start, data, progress=progress, planned=lambda pipeline, *_: GivenModelPlan(pipeline, model=model)
            ) as job,
        ):
            yield job


@dataclass(frozen=True)
class GivenModelPlan(ModelPlan):
    """A training of a given model instead of the recipe's.

    Attributes:
        model: images (N, H, W, C) -> logits (N, classes).
    """

    model: keras.Model = field(kw_only=True, repr=False)

    def whole(self, norm: Callable | None = None) -> keras.Model:
        """Return the given model."""
        return self.model

    def initialize(self, model: keras.Model) -> None:
        """Do nothing: the given model has its weights."""
