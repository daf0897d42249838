"""The command tune: a search over keys of a recipe."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Optional

import typer

import cnnrecipes
from cnnrecipes._support.console import import_tensorflow
from cnnrecipes.cli import completion
from cnnrecipes.cli.command_registry import command
from cnnrecipes.cli.options import ChangesArgument, DataOption, JsonOption, parsed, recipe_and_overrides
from cnnrecipes.cli.output import print_json
from cnnrecipes.errors import RecipeError


@command("tune", group="Training")
def tune(
    recipe: Annotated[
        Optional[str],  # noqa: UP045
        typer.Argument(
            help="Name of a shipped recipe, or path of a .toml file; not with --resume.",
            autocompletion=completion.recipe_names,
        ),
    ] = None,
    changes: ChangesArgument = None,
    space: Annotated[
        Optional[list[str]],  # noqa: UP045
        typer.Option(
            help="Key and values to search, for example 'optimizer.learning_rate=log(1e-3, 1)' or "
            '\'model.norm=["batch", "group"]\'; may be given several times. Default: the recipe\'s [search.space], or '
            "a space around its learning rate and weight decay."
        ),
    ] = None,
    trials: Annotated[
        Optional[int],  # noqa: UP045
        typer.Option(help="Number of trials; default: 20, of hyperband all that it has."),
    ] = None,
    method: Annotated[
        Optional[str],  # noqa: UP045
        typer.Option(
            help="random, bayesian or hyperband; default: random.",
            autocompletion=completion.words("random", "bayesian", "hyperband"),
        ),
    ] = None,
    objective: Annotated[
        Optional[str],  # noqa: UP045
        typer.Option(
            help="val_accuracy or val_loss; default: val_accuracy.",
            autocompletion=completion.words("val_accuracy", "val_loss"),
        ),
    ] = None,
    pruning: Annotated[
        Optional[str],  # noqa: UP045
        typer.Option(
            help="none, median or halving, for example 'median(warmup=2)'; default: none.",
            autocompletion=completion.words("none", "median", "halving"),
        ),
    ] = None,
    best: Annotated[
        Optional[int],  # noqa: UP045
        typer.Option(help="Number of best trials that are trained again; default: 3."),
    ] = None,
    seeds: Annotated[
        Optional[int],  # noqa: UP045
        typer.Option(help="Trainings of each of them, with other seeds; default: 3."),
    ] = None,
    seed: Annotated[Optional[int], typer.Option(help="Seed of the search; default: 0.")] = None,  # noqa: UP045
    data: DataOption = None,
    workdir: Annotated[
        Optional[Path],  # noqa: UP045
        typer.Option(help="Parent folder of the folder of the search; default: runs."),
    ] = None,
    name: Annotated[
        Optional[str],  # noqa: UP045
        typer.Option(help="Name of the folder; default: search_ and the name of the recipe."),
    ] = None,
    workers: Annotated[
        int, typer.Option(help="Processes on this machine that run trials at the same time, each on a GPU of its own.")
    ] = 1,
    isolate: Annotated[bool, typer.Option("--isolate", help="Run each training in a process of its own.")] = False,
    resume: Annotated[
        Optional[Path],  # noqa: UP045
        typer.Option(help="Folder of an interrupted search to resume, instead of a recipe."),
    ] = None,
    as_json: JsonOption = False,
    quiet: bool = False,
) -> None:
    """Search over keys of a recipe: trials, then the best ones again with other seeds, then the test split.

    The same command resumes an interrupted search inside the trial where it was interrupted.

    Examples: `cnnrecipes tune resnet8_digits --trials 20`;
    `cnnrecipes tune mine.toml --space "optimizer.learning_rate=log(1e-3, 1)" --pruning median`
    """
    alone = workers == 1 and not isolate  # or the other processes get the devices
    run: dict[str, Any] = {"workers": workers, "isolate": isolate, "progress": not quiet}
    if resume is not None:
        given = {
            "RECIPE": recipe,
            "KEY=VALUE": changes,
            "--space": space,
            "--method": method,
            "--objective": objective,
            "--pruning": pruning,
            "--seed": seed,
            "--workdir": workdir,
            "--name": name,
        }
        if wrong := [name for name, value in given.items() if value is not None]:
            raise RecipeError(
                f"--resume continues a search as it is, and only --trials, --best and --seeds may change; leave "
                f"{', '.join(wrong)} out"
            )
        import_tensorflow(devices=alone)
        search = cnnrecipes.resume_search(resume, data, trials=trials, best=best, seeds=seeds, **run)
    elif recipe is None:
        raise RecipeError("tune needs a recipe, for example `cnnrecipes tune resnet8_digits`, or --resume FOLDER")
    else:
        spec, keys = recipe_and_overrides(recipe, changes)  # errors of the recipe, before the import of TensorFlow
        table: dict[str, Any] = {
            "trials": trials,
            "method": method,
            "objective": objective,
            "pruning": pruning,
            "best": best,
            "seeds": seeds,
            "seed": seed,
        }
        import_tensorflow(devices=alone)
        search = cnnrecipes.tune(
            spec, data, space=parsed(space) or None, workdir=workdir or "runs", name=name, **table, **run, **keys
        )
    if as_json:
        print_json({"folder": search.folder, "result": search.result, "trials": list(map(vars, search.records))})
    else:
        print(search.folder)
