"""Extension of a finished run by more epochs: the longer recipe and the checkpoint to start from."""

from __future__ import annotations

import shutil
import warnings
from pathlib import Path

import numpy as np

from cnnrecipes._support.atomic_files import write_whole
from cnnrecipes.errors import CNNRecipesWarning, RecipeError, RunError, UnknownNameError
from cnnrecipes.optim import methods, rescale
from cnnrecipes.recipe.schema import Recipe
from cnnrecipes.runs import checkpoint
from cnnrecipes.runs.run import Run


def extended(run: Run, epochs: int, schedule: str, learning_rate: float | None) -> tuple[Recipe, checkpoint.Checkpoint]:
    """Return the extended recipe and the checkpoint that its training starts from.

    Args:
        epochs: additional epochs, at least 1.
        schedule: a key of `optim.methods.EXTENSIONS`.
        learning_rate: of schedule "constant"; None for all others.

    Raises:
        RunError: an unfinished run, or one without a checkpoint.
        RecipeError: invalid epochs, schedule or learning rate.
    """
    if not run.finished:
        raise RunError(f"{str(run.folder)!r} is not finished; `cnnrecipes resume {run.folder}` goes on with it")
    start = checkpoint.newest(run.folder / "checkpoints")
    if start is None:
        raise RunError(f"{str(run.folder)!r} has no checkpoint; start a new run with train.start_from={run.folder}")
    done = start.state["parts"]["position"]["epoch"]
    for name in ("patience", "drop"):
        start.state["parts"].get(name, {})["waited"] = 0  # it would end where it ended
    if schedule == "restart":
        start.arrays["schedule/00000"] = np.float32(1.0)  # what plateaus have left of the rate
    recipe = longer(run.recipe, done, epochs, schedule, learning_rate)
    _say_scaled(run.recipe, recipe, epochs, schedule)
    start.state["recipe"] = recipe.to_dict()
    return recipe, start


def begun(workdir: str | Path, recipe: Recipe, start: checkpoint.Checkpoint) -> Run:
    """Return a new run with `start` as its first checkpoint, so it can be resumed at any time. Raises RunError."""
    run = Run.create(workdir, recipe)
    checkpoints, best = run.folder / "checkpoints", start.path.with_name("best.npz")
    try:
        checkpoint.write(checkpoints / start.path.name, start.arrays, start.state)
        if best.exists():
            write_whole(checkpoints / best.name, lambda beside: shutil.copyfile(best, beside))
    except OSError as error:
        raise RunError(f"cannot write the first checkpoint of {str(run.folder)!r} ({error}); make room") from None
    return run


def longer(recipe: Recipe, done: int, epochs: int, schedule: str, learning_rate: float | None = None) -> Recipe:
    """Return the recipe extended by `epochs` after `done` epochs. Raises RecipeError."""
    if schedule not in methods.EXTENSIONS:
        raise UnknownNameError("way to go on with the schedule", schedule, methods.EXTENSIONS)
    if isinstance(epochs, bool) or not isinstance(epochs, int) or epochs < 1:
        raise RecipeError(f"a training cannot be extended by {epochs!r} epochs; give a whole number above 0")
    if (schedule == "constant") != (learning_rate is not None):
        raise RecipeError("a learning rate belongs to schedule='constant', and to it alone; as learning_rate=0.001")
    if recipe.train.time_budget:
        raise RecipeError(
            "a run with train.time_budget cannot be extended by epochs; start a new one from its weights with "
            "train.start_from"
        )
    value = f", {learning_rate}" if learning_rate is not None else ""
    # Without it the schedule that was stopped early would be drawn, and checked, as one of these few epochs.
    value += f", planned={recipe.train.epochs}" if recipe.train.epochs > done else ""
    own = recipe.optimizer
    extensions = [*own.extensions, f"{schedule}({done}{value})"]
    # Warm-up and schedule are those of the epochs that were planned.
    kept = {"warmup": str(own.warmup), "schedule": own.schedule}
    return recipe.change(train={"epochs": done + epochs}, optimizer={"extensions": extensions, **kept})


def _say_scaled(before: Recipe, after: Recipe, epochs: int, schedule: str) -> None:
    """Warn if an extension is so short that the warm-up and milestones of its schedule are scaled down."""
    own, planned = before.optimizer, before.train.epochs
    here = {"restart": epochs, "stretch": after.train.epochs}.get(schedule, planned)
    if here < planned and not rescale.fit(own.warmup, own.schedule, here):
        warnings.warn(
            f"the schedule of {planned} epochs has no room in {here}: its lengths are scaled by {here}/"
            f"{planned}, the warm-up to {rescale.scaled(own.warmup, here / planned)}",
            CNNRecipesWarning,
            stacklevel=4,
        )
