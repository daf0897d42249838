"""Commands that check a training before it starts: sanity, overfit."""

from __future__ import annotations

from typing import Annotated, Optional

import typer

import cnnrecipes
from cnnrecipes._support.console import import_tensorflow, say
from cnnrecipes.cli import result_printing
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

KeepOption = Annotated[
    Optional[list[str]],  # noqa: UP045
    typer.Option(help="Keep weight_decay, dropout or label_smoothing; may be given several times."),
]


@command("sanity", group="Experiments and checks")
def sanity(
    recipe: RecipeArgument,
    changes: ChangesArgument = None,
    data: DataOption = None,
    seed: SeedOption = None,
    as_json: JsonOption = False,
    quiet: bool = False,
) -> None:
    """Check data, labels, loss, gradients and a first step before the training, in seconds.

    The exit status is 1 if a check fails.

    Example: `cnnrecipes sanity resnet20_cifar`
    """
    spec, keys = recipe_and_overrides(recipe, changes)
    import_tensorflow()
    report = cnnrecipes.sanity(spec, data, seed=seed, progress=not quiet, **keys)
    if as_json:
        print_json(report.to_dict())
    else:
        result_printing.print_checks([one for one in report.checks if not quiet or one.status != "ok"])
        say(report.conclusion)
    raise typer.Exit(0 if report.passed else 1)


@command("overfit", group="Experiments and checks")
def overfit(
    recipe: RecipeArgument,
    changes: ChangesArgument = None,
    data: DataOption = None,
    images: Annotated[int, typer.Option(help="Number of images to memorize.")] = 20,
    steps: Annotated[int, typer.Option(help="Number of training steps at most.")] = 300,
    keep: KeepOption = None,
    seed: SeedOption = None,
    as_json: JsonOption = False,
    quiet: bool = False,
) -> None:
    """Train on a handful of images until they are memorized; if that fails, find out why.

    The exit status is 1 if it fails.

    Example: `cnnrecipes overfit resnet20_cifar --images 20`
    """
    spec, keys = recipe_and_overrides(recipe, changes)
    import_tensorflow()
    how = {"images": images, "steps": steps, "keep": keep or (), "seed": seed, "progress": not quiet}
    result = cnnrecipes.overfit(spec, data, **how, **keys)
    if as_json:
        print_json(result.to_dict())
    else:
        if not quiet:
            say(f"off for this experiment: {', '.join(result.switched_off)}")
            result_printing.print_checks(result.remarks)
        say(result)
    raise typer.Exit(0 if result.passed else 1)
