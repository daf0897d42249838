"""Commands that train: fit, resume, extend, launch; and plot-schedule, which draws the learning rate beforehand."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Optional

import typer

import cnnrecipes
from cnnrecipes._support.atomic_files import choose_output
from cnnrecipes._support.console import import_tensorflow
from cnnrecipes.cli import completion, result_printing
from cnnrecipes.cli.command_registry import command
from cnnrecipes.cli.options import (
    ChangesArgument,
    DataOption,
    OverwriteOption,
    PictureOption,
    RecipeArgument,
    SeedOption,
    load_recipe,
    overrides,
    recipe_and_overrides,
)
from cnnrecipes.cli.output import print_picture, verbosity

GROUP = "Training"


@command("fit", group=GROUP)
def fit(
    recipe: RecipeArgument,
    changes: ChangesArgument = None,
    data: DataOption = None,
    workdir: Annotated[Path, typer.Option(help="Parent folder of the run folder.")] = Path("runs"),
    name: Annotated[
        Optional[str],  # noqa: UP045
        typer.Option(help="Name of the run folder; default: date, recipe and a number."),
    ] = None,
    seed: SeedOption = None,
    quiet: bool = False,
) -> None:
    """Train a recipe and print the accuracy of the model; with --quiet the run folder only.

    Examples: `cnnrecipes fit resnet8_digits`; `cnnrecipes fit photos_from_scratch --data photos/ train.epochs=50`
    """
    spec, keys = recipe_and_overrides(recipe, changes)  # errors of the recipe, before the slow import of TensorFlow
    import_tensorflow()
    where = {"workdir": workdir, "name": name, "seed": seed}
    # mypy takes `cnnrecipes.fit` for the module of that name; it is the function (see cnnrecipes/__init__.py).
    run = cnnrecipes.fit(spec, data, **where, progress=not quiet, **keys)  # type: ignore[operator]
    result_printing.print_result(run, quiet)


@command("resume", group=GROUP)
def resume(
    run: Annotated[Path, typer.Argument(help="Run folder of an interrupted training.")],
    changes: Annotated[
        Optional[list[str]],  # noqa: UP045
        typer.Argument(
            metavar="[KEY=VALUE]...",
            help="Recipe keys that may change on resume, for example logging.checkpoint_every='5 min'.",
            autocompletion=completion.resumable_keys,
        ),
    ] = None,
    data: DataOption = None,
    quiet: bool = False,
) -> None:
    """Resume an interrupted training bit-exactly from its latest valid checkpoint.

    Example: `cnnrecipes resume runs/2026-11-23_resnet20_cifar_1`
    """
    keys = overrides(changes)
    import_tensorflow()
    result_printing.print_result(cnnrecipes.resume(run, data, progress=not quiet, **keys), quiet)


@command("extend", group=GROUP)
def extend(
    run: Annotated[Path, typer.Argument(help="Run folder of a finished training.")],
    epochs: Annotated[int, typer.Option(help="Number of additional epochs.")],
    schedule: Annotated[
        str,
        typer.Option(
            help="stretch: rescale the schedule to the total number of epochs; restart: repeat it from its start; "
            "constant: a constant learning rate; or the name of a registered extension.",
            autocompletion=completion.extensions,
        ),
    ],
    learning_rate: Annotated[
        Optional[float],  # noqa: UP045
        typer.Option(help="Learning rate of the schedule constant."),
    ] = None,
    data: DataOption = None,
    workdir: Annotated[
        Optional[Path],  # noqa: UP045
        typer.Option(help="Parent folder of the new run folder; default: that of the old one."),
    ] = None,
    draw_only: Annotated[bool, typer.Option("--draw-only", help="Draw the schedule, without training.")] = False,
    quiet: bool = False,
) -> None:
    """Train a finished run for more epochs, in a new run; draws the schedule first.

    Example: `cnnrecipes extend RUN --epochs 20 --schedule restart`
    """
    import_tensorflow()
    picture = choose_output(None, Path(f"{run.name}_{schedule}.png"))
    how = {"schedule": schedule, "learning_rate": learning_rate}
    cnnrecipes.analysis.plot_extension(run, epochs, **how, path=picture)
    if draw_only or not quiet:
        print_picture(picture, quiet)
    if not draw_only:
        new = cnnrecipes.extend(run, epochs, **how, data=data, workdir=workdir, progress=not quiet)
        result_printing.print_result(new, quiet)


@command("plot-schedule", group=GROUP)
def plot_schedule(
    recipe: RecipeArgument,
    changes: ChangesArgument = None,
    data: DataOption = None,
    steps_per_epoch: Annotated[
        Optional[int],  # noqa: UP045
        typer.Option(help="Steps per epoch, instead of --data; default: 100, if no duration is in steps."),
    ] = None,
    output: PictureOption = None,
    overwrite: OverwriteOption = False,
    quiet: bool = False,
) -> None:
    """Draw the learning rate of a recipe over the epochs into schedule.png, without training.

    Example: `cnnrecipes plot-schedule resnet20_cifar "optimizer.schedule=trapezoid(cooldown='20%')"`
    """
    spec = load_recipe(recipe, changes)
    path = choose_output(output, Path("schedule.png"), overwrite=overwrite)
    import_tensorflow()
    cnnrecipes.analysis.plot_schedule(spec, data=data, steps_per_epoch=steps_per_epoch, path=path)
    print_picture(path, quiet)


@command(
    "launch",
    group=GROUP,
    forwards=True,
    context_settings={"allow_extra_args": True, "ignore_unknown_options": True},
)
def launch(
    context: typer.Context,
    workers: Annotated[int, typer.Option(help="Number of processes on this machine.")] = 2,
    threads: Annotated[
        Optional[int],  # noqa: UP045
        typer.Option(help="CPU threads of each process; default: as many as the machine has cores, in each."),
    ] = None,
) -> None:
    """Run another command in several workers on this machine that train together.

    Example: `cnnrecipes launch --workers 2 fit resnet8_digits data.batch_size=64`
    """
    raise typer.Exit(cnnrecipes.launch([*verbosity.flags(), *context.args], workers, threads))
