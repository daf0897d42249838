"""Extension of a finished run by more epochs: the longer recipe and the checkpoint to start from."""

from __future__ import annotations

import shutil
import warnings

from cnnrecipes._support.atomic_files import write_whole
from cnnrecipes.errors import CNNRecipesWarning, RecipeError, RunError, UnknownNameError
from cnnrecipes.optim import shortened_schedules
from cnnrecipes.optim.schedule_extension_registry import EXTENSIONS
from cnnrecipes.recipe.schema import Recipe
from cnnrecipes.runs import checkpoint
from cnnrecipes.runs.checkpoint import Checkpoint
from cnnrecipes.runs.run import Run
from cnnrecipes.runs.weights import BEST


def extended(run: Run, epochs: int, schedule: str, learning_rate: float | None) -> tuple[Recipe, Checkpoint]:
    """Return the longer recipe, and the last checkpoint of the run, adapted to that recipe, to continue from.

    Args:
        epochs: additional epochs, at least 1.
        schedule: a key of `optim.schedule_extension_registry.EXTENSIONS`.
        learning_rate: of schedule "constant"; None for all others.

    Raises:
        RunError: an unfinished run, or one without a checkpoint, or without epochs.
        RecipeError: invalid epochs, schedule or learning rate.
    """
    if not run.finished:
        raise RunError(f"{str(run.folder)!r} is not finished; `cnnrecipes resume {run.folder}` continues it")
    if not run.recipe.transfer.trains_by_steps:
        raise RunError(
            f"{str(run.folder)!r} is a logistic regression on frozen features, which has no epochs to extend; "
            f"train its backbone with transfer.how=finetune and model.weights={run.folder}"
        )
    last = checkpoint.newest(run.folder)
    if last is None:
        raise RunError(f"{str(run.folder)!r} has no checkpoint; start a new run with train.start_from={run.folder}")
    recipe = longer(run.recipe, last.state.epoch, epochs, schedule, learning_rate)
    _warn_scaled(run.recipe, recipe, epochs, schedule)
    return recipe, last.extended(recipe.to_dict(), full_rate=schedule == "restart")


def copy_start(start: Checkpoint, run: Run) -> None:
    """Write an extension's first checkpoint, and the best weights so far, into the new run folder.

    Raises:
        RunError: they cannot be written.
    """
    folder, best = run.folder / checkpoint.FOLDER, start.path.with_name(BEST)
    try:
        start.write(folder / start.path.name)
        if best.exists():
            write_whole(folder / BEST, lambda beside: shutil.copyfile(best, beside))
    except OSError as error:
        raise RunError(f"cannot write the first checkpoint of {str(run.folder)!r} ({error}); free disk space") from None


def longer(recipe: Recipe, done: int, epochs: int, schedule: str, learning_rate: float | None = None) -> Recipe:
    """Return the recipe of a training of `done` + `epochs` epochs, whose schedule is extended by `schedule`.

    Raises RecipeError for invalid arguments, or a recipe with a time budget.
    """
    if schedule not in EXTENSIONS:
        raise UnknownNameError("extension of the schedule", schedule, EXTENSIONS)
    if isinstance(epochs, bool) or not isinstance(epochs, int) or epochs < 1:
        raise RecipeError(f"a training cannot be extended by {epochs!r} epochs; give a whole number above 0")
    if (schedule == "constant") != (learning_rate is not None):
        raise RecipeError(
            "learning_rate is required for schedule='constant' and not allowed for others; give, for example, "
            "learning_rate=0.001 with schedule='constant'"
        )
    if recipe.train.time_budget:
        raise RecipeError(
            "a run with train.time_budget cannot be extended by epochs; start a new one from its weights with "
            "train.start_from"
        )
    value = f", {learning_rate}" if learning_rate is not None else ""
    # Without it the schedule of a training that stopped early would be rescaled to the completed epochs.
    value += f", planned={recipe.train.epochs}" if recipe.train.epochs > done else ""
    plan = recipe.optimizer
    extensions = [*plan.extensions, f"{schedule}({done}{value})"]
    own = {"extensions": extensions, "warmup": str(plan.warmup), "schedule": plan.schedule}
    return recipe.change(train={"epochs": done + epochs}, optimizer=own)


def _warn_scaled(before: Recipe, after: Recipe, epochs: int, schedule: str) -> None:
    """Warn if an extension is so short that the warm-up and milestones of its schedule are scaled down."""
    planned, plan = before.train.epochs, before.optimizer
    here = {"restart": epochs, "stretch": after.train.epochs}.get(schedule, planned)
    if here < planned and not shortened_schedules.fit(plan.warmup, plan.schedule, here):
        warnings.warn(
            f"the schedule of {planned} epochs does not fit into {here}: its lengths are scaled by {here}/{planned}, "
            f"the warm-up to {shortened_schedules.scaled(plan.warmup, here / planned)}",
            CNNRecipesWarning,
            stacklevel=4,
        )
