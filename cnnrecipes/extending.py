"""What a finished run becomes when it is trained for more epochs."""

from __future__ import annotations

from cnnrecipes import methods
from cnnrecipes.errors import RecipeError, RunError, UnknownNameError
from cnnrecipes.recipe import Recipe
from cnnrecipes.run import Run
from cnnrecipes.training import checkpoint


def extended(run: Run, epochs: int, schedule: str, learning_rate: float | None) -> tuple[Recipe, checkpoint.Checkpoint]:
    """The longer recipe, and the state that it begins with.

    Raises:
        RunError: an unfinished run, or one whose last state is gone.
        RecipeError: epochs or a learning rate that make no sense.
    """
    if not run.finished:
        raise RunError(f"{str(run.folder)!r} is not finished; `cnnrecipes resume {run.folder}` goes on with it")
    start = checkpoint.newest(run.folder / "checkpoints")
    if start is None:
        raise RunError(f"{str(run.folder)!r} has no checkpoint; start a new run with train.start_from={run.folder}")
    done = start.state["parts"]["position"]["epoch"]
    start.state["parts"].get("patience", {})["waited"] = 0  # it would end where it ended
    return longer(run.recipe, done, epochs, schedule, learning_rate), start


def longer(recipe: Recipe, done: int, epochs: int, schedule: str, learning_rate: float | None = None) -> Recipe:
    """The recipe of a training that goes on after `done` epochs. Raises RecipeError."""
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
    extensions = [*recipe.train.extensions, f"{schedule}({done}{value})"]
    return recipe.change(**{"train.epochs": done + epochs, "train.extensions": extensions})
