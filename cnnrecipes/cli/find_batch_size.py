"""The command find-batch-size: the largest batch size that fits into memory, and the speed of each."""

from __future__ import annotations

from typing import Annotated, Optional

import typer

import cnnrecipes
from cnnrecipes._support.console import import_tensorflow, say
from cnnrecipes.cli.command_registry import command
from cnnrecipes.cli.options import (
    ChangesArgument,
    DataOption,
    JsonOption,
    RecipeArgument,
    SeedOption,
    recipe_and_overrides,
)
from cnnrecipes.cli.output import print_json


@command("find-batch-size", group="Experiments and checks")
def find_batch_size(
    recipe: RecipeArgument,
    changes: ChangesArgument = None,
    data: DataOption = None,
    memory: Annotated[
        Optional[str],  # noqa: UP045
        typer.Option(help="Limit of the memory, for example 8GiB; default: the GPU's, or 80% of what is available."),
    ] = None,
    refine: Annotated[bool, typer.Option("--refine", help="Also try sizes between powers of two.")] = False,
    seconds: Annotated[float, typer.Option(help="Longest time of the steps of one size.")] = 60.0,
    seed: SeedOption = None,
    as_json: JsonOption = False,
    quiet: bool = False,
) -> None:
    """Find the largest data.batch_size that fits into memory, and the smallest that is about as fast as any.

    Example: `cnnrecipes find-batch-size resnet20_cifar --memory 8GiB`
    """
    spec, keys = recipe_and_overrides(recipe, changes)
    import_tensorflow(devices=False)  # a GPU's memory is left to the trials
    how = {"memory": memory, "refine": refine, "seconds": seconds, "seed": seed, "progress": not quiet}
    found = cnnrecipes.find_batch_size(spec, data, **how, **keys)
    if as_json:
        print_json(found.record())
    else:
        say(found)
