"""The command resume-check, which verifies that a resumed training is bit-exact."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Optional

import typer

import cnnrecipes
from cnnrecipes._support.console import import_tensorflow, printable
from cnnrecipes.cli.command_registry import command
from cnnrecipes.cli.options import ChangesArgument, DataOption, JsonOption, RecipeArgument, load_recipe
from cnnrecipes.cli.output import print_json


@command("resume-check", group="Experiments and checks")
def resume_check(
    recipe: RecipeArgument,
    changes: ChangesArgument = None,
    data: DataOption = None,
    kills: Annotated[int, typer.Option(help="Number of killed and resumed trainings.")] = 5,
    workdir: Annotated[
        Optional[Path],  # noqa: UP045
        typer.Option(help="Folder of the runs; default: a temporary folder."),
    ] = None,
    seed: Annotated[int, typer.Option(help="Seed of the kill times.")] = 0,
    as_json: JsonOption = False,
    quiet: bool = False,
) -> None:
    """Kill a training at random times, resume it, and compare the results bit by bit.

    The exit status is 1 if a result differs.

    Example: `cnnrecipes resume-check resnet8_digits --kills 5`
    """
    spec = load_recipe(recipe, changes)
    import_tensorflow()
    say = (lambda text: None) if quiet else (lambda text: print(printable(text)))
    table = cnnrecipes.resume_check(spec, kills=kills, data=data, workdir=workdir, seed=seed, say=say)
    equal = int(table["equal"].sum())
    if as_json:
        print_json({"kills": kills, "equal": equal, "runs": table.to_dict("records")})
    else:
        print(f"{equal} of {kills} end with the same bits: weights, optimizer, metrics and history")
    raise typer.Exit(0 if equal == kills else 1)
