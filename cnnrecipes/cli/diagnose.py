"""The command diagnose: what went wrong in a run, and what to try next."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

import cnnrecipes
from cnnrecipes._support.console import import_tensorflow, say
from cnnrecipes.cli.command_registry import command
from cnnrecipes.cli.options import DataOption, JsonOption
from cnnrecipes.cli.output import print_json


@command("diagnose", group="Experiments and checks")
def diagnose(
    run: Annotated[Path, typer.Argument(help="Run folder: finished, unfinished, or ended by NaN.")],
    data: DataOption = None,
    measure: Annotated[
        bool, typer.Option(help="Also predict training and validation images with the run's model.")
    ] = True,
    images: Annotated[int, typer.Option(help="Number of images of each split to predict at most.")] = 2000,
    as_json: JsonOption = False,
    quiet: bool = False,
) -> None:
    """Diagnose a run: what went wrong, by which evidence, and what to try next, with the recipe keys to change.

    The exit status is 1 if the model is of no use as it is: it diverged, did not learn, or predicts few classes.

    Example: `cnnrecipes diagnose runs/2026-11-23_resnet20_cifar_1`
    """
    import_tensorflow()
    found = cnnrecipes.diagnose(run, data, measure=measure, images=images, progress=not quiet and not as_json)
    if as_json:
        print_json(found.record())
    else:
        say(found, indent=0)
    raise typer.Exit(0 if found.ok else 1)
