"""Start or resume of a training: random weights, given weights, or a checkpoint."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cnnrecipes import models
from cnnrecipes._support.atomic_files import is_utf8
from cnnrecipes.data.sources.opening import recorded_name, unrecordable
from cnnrecipes.errors import CNNRecipesWarning, DataError, RecipeError, RunError
from cnnrecipes.optim import shortened_schedules
from cnnrecipes.recipe.keys_and_defaults import RESUMABLE
from cnnrecipes.recipe.schema import Recipe, dotted
from cnnrecipes.runs import checkpoint
from cnnrecipes.runs.checkpoint import Checkpoint, Fingerprint
from cnnrecipes.runs.run import Run
from cnnrecipes.runs.weights import START


@dataclass(frozen=True)
class Start:
    """Recipe, run, checkpoint or weights that a training starts from.

    Attributes:
        recipe: the complete recipe.
        run: the run to continue in; None: a new run is created.
        checkpoint: the checkpoint to continue from; None: the training starts at step 0.
        weights: source of the initial weights at step 0; None: they are drawn.
        adjustable: keys of the schedule that are shortened if the training has too few steps for them.
    """

    recipe: Recipe
    run: Run | None = None
    checkpoint: Checkpoint | None = None
    weights: str | Path | None = None
    adjustable: tuple[str, ...] = ()

    @property
    def is_extension(self) -> bool:
        """True if a new run continues from the checkpoint of a finished one."""
        return self.checkpoint is not None and self.run is None

    def adjusted(self, steps_per_epoch: int) -> Recipe:
        """Return the recipe with warm-up and schedule shortened to fit the training, with a warning if they change."""
        found = (
            shortened_schedules.clipped(self.recipe.optimizer, self.recipe.train, steps_per_epoch)
            if self.adjustable
            else {}
        )
        changes = {key: value for key, value in found.items() if key in self.adjustable}
        if not changes:
            return self.recipe
        plan = self.recipe.optimizer
        before = {"optimizer.warmup": plan.warmup, "optimizer.schedule": plan.schedule}
        what = "; ".join(f"{key} = '{before[key]}' is now '{value}'" for key, value in changes.items())
        warnings.warn(
            f"a training of {self.recipe.train.epochs * steps_per_epoch} steps is too short for its schedule: {what}",
            CNNRecipesWarning,
            stacklevel=7,
        )
        return self.recipe.change(**changes)


def find_start(
    recipe: Recipe,
    *,
    run: Run | None = None,
    extension: Checkpoint | None = None,
    adjustable: tuple[str, ...] = (),
    say: Callable[[str], None] = print,
) -> Start:
    """Decide how a training starts.

    An extension continues from the last checkpoint of the finished run, in a new run. An unfinished run continues from
    its newest valid checkpoint, or, if it was killed before the first, starts again with its initial weights. A new run
    starts with the weights that `train.start_from` names, or with drawn ones.

    Args:
        recipe: the complete recipe.
        run: the unfinished run to resume.
        extension: the checkpoint of a finished run to extend.
        adjustable: keys of the schedule that may be shortened.
        say: receives a message for every damaged checkpoint.
    """
    if extension is not None:
        return Start(recipe, checkpoint=extension)
    if run is None:
        return Start(recipe, weights=recipe.train.start_from, adjustable=adjustable)
    if newest := checkpoint.newest(run.folder, say):
        return Start(recipe, run, newest)
    kept = run.folder / START
    return Start(recipe, run, weights=kept if kept.is_file() else recipe.train.start_from)


def complete_recipe(base: Recipe, data: Any, seed: int | None, changes: Mapping[str, Any]) -> Recipe:
    """Return the recipe that is trained and recorded, with the user's changes, the seed and the data's name.

    Raises:
        RecipeError: an unknown key or an invalid value.
        DataError: data of an unsupported type.
        RunError: `train.start_from` is not UTF-8.
    """
    changes = dict(changes)
    if data is not None:
        if problems := unrecordable(data):
            raise DataError.of(problems)
        changes["data.name"] = recorded_name(data)
    if seed is not None:
        changes["train.seed"] = seed
    recipe = base.change(**changes)
    if recipe.transfer.head == "mlp" and recipe.model.head is None:
        recipe = recipe.change(**{"model.head": "mlp"})
    recipe = with_backbone(recipe, asked="data.standardize" in dotted(changes))
    if recipe.data.corrections:
        path = Path(recipe.data.corrections).absolute()
        recipe = recipe.change(**{"data.corrections": str(path)})
    if not recipe.train.start_from:
        return recipe
    path = Path(recipe.train.start_from).absolute()  # a resume may run in another folder
    if not is_utf8(path):
        raise RunError(f"train.start_from = {recipe.train.start_from!r} is not UTF-8; rename it, or give a link to it")
    return recipe.change(**{"train.start_from": str(path)})


def with_backbone(recipe: Recipe, *, asked: bool) -> Recipe:
    """Return the recipe with an architecture for the model "auto", and the standardization that a backbone needs.

    Args:
        asked: the user changed data.standardize.

    Raises:
        RecipeError: the user asked for another standardization of a backbone of keras.applications, or for that of a
            backbone with another architecture.
    """
    model, data = models.resolved(recipe.model), recipe.data
    has_own = models.find(model.name).application is not None
    if has_own and asked and data.standardize != "model":
        raise RecipeError(
            f"data.standardize = {data.standardize!r}: {model.name} preprocesses images as in its pretraining; leave "
            "data.standardize out, or set 'model'"
        )
    if data.standardize == "model" and not has_own:
        twin = models.keras_twin(model.name)
        other = f"model.name={twin}, Keras' own variant of this network with ImageNet weights, or " if twin else ""
        raise RecipeError(
            f"data.standardize = 'model' needs a backbone of keras.applications, and {model.name} is none; set "
            f"{other}data.standardize=train"
        )
    if has_own:
        data = data.model_copy(update={"standardize": "model"})
    return recipe.model_copy(update={"model": model, "data": data})


def adjustable_keys(base: Recipe, recipe: Recipe, changes: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the schedule keys that may be shortened: those the user did not set, in a recipe the user changed."""
    if recipe == base or not shortened_schedules.fit(base.optimizer.warmup, base.optimizer.schedule, base.train.epochs):
        return ()
    return tuple(key for key in ("optimizer.warmup", "optimizer.schedule") if key not in dotted(changes))


def resumed_recipe(run: Run, changes: Mapping[str, Any]) -> Recipe:
    """Return the recipe of a run with changes. Raises RunError for keys that affect the trained weights."""
    recipe = run.recipe.change(**changes)
    before, after = (Fingerprint(each.to_dict(), {}) for each in (run.recipe, recipe))
    if fixed := before.differences(after):
        what = ", ".join(f"{key} ({old!r} to {new!r})" for key, old, new in fixed)
        tables = " and ".join(f"[{table}]" for table in RESUMABLE)
        raise RunError(
            f"a resumed run keeps what decides its training: {what} cannot change; only keys of {tables} can. For "
            f"more epochs `cnnrecipes extend` a finished run; for other settings start a new run with "
            f"train.start_from={run.folder}"
        )
    return recipe
