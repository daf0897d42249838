"""The command find-lr: a sweep of the learning rate, or a grid of short trainings."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated, Any, Optional

import typer

import cnnrecipes
from cnnrecipes._support.atomic_files import choose_output
from cnnrecipes._support.console import import_tensorflow, say
from cnnrecipes.cli import result_printing
from cnnrecipes.cli.command_registry import command
from cnnrecipes.cli.options import (
    ChangesArgument,
    DataOption,
    JsonOption,
    OverwriteOption,
    PictureOption,
    RecipeArgument,
    SeedOption,
    overrides,
    recipe_and_overrides,
)
from cnnrecipes.cli.output import print_json, print_written
from cnnrecipes.errors import RecipeError

_SWEEP, _GRID = ("--low", "--high", "--seeds", "--take", "--write"), ("--rates", "--decays", "--epochs")


@command("find-lr", group="Training")
def find_lr(
    recipe: RecipeArgument,
    changes: ChangesArgument = None,
    data: DataOption = None,
    low: Annotated[Optional[float], typer.Option(help="Lowest learning rate; default: 1e-6.")] = None,  # noqa: UP045
    high: Annotated[Optional[float], typer.Option(help="Highest learning rate; default: 10.")] = None,  # noqa: UP045
    steps: Annotated[
        Optional[int],  # noqa: UP045
        typer.Option(help="Steps of each sweep, by default 100; with --grid of each training, instead of epochs."),
    ] = None,
    seeds: Annotated[
        Optional[int],  # noqa: UP045
        typer.Option(help="Sweeps with other weights and batches; default: 3."),
    ] = None,
    take: Annotated[
        Optional[str],  # noqa: UP045
        typer.Option(
            metavar="KIND",
            help="Suggestion to print and write: valley, steepest, minimum (/ 10) or high (end of the range); "
            "default: high if the recipe's rate decays, else valley.",
        ),
    ] = None,
    write: Annotated[
        Optional[Path],  # noqa: UP045
        typer.Option(help="Recipe file to write, which extends the recipe with the suggested learning rate."),
    ] = None,
    grid: Annotated[
        bool, typer.Option("--grid", help="Short trainings at several learning rates and weight decays instead.")
    ] = False,
    rates: Annotated[
        Optional[str],  # noqa: UP045
        typer.Option(help="Learning rates of the grid, for example 0.01,0.1,1; default: around the recipe's."),
    ] = None,
    decays: Annotated[
        Optional[str],  # noqa: UP045
        typer.Option(help="Weight decays of the grid, for example 0,1e-4; default: around the recipe's."),
    ] = None,
    epochs: Annotated[
        Optional[int],  # noqa: UP045
        typer.Option(help="Epochs of each training of the grid; default: 3."),
    ] = None,
    seed: SeedOption = None,
    output: PictureOption = None,
    overwrite: OverwriteOption = False,
    as_json: JsonOption = False,
    quiet: bool = False,
) -> None:
    """Suggest a learning rate, with a plot: sweep it over the first steps of the training, without changing anything.

    The exit status is 1 if the curves are uninformative, or all trainings of the grid diverge.

    Examples: `cnnrecipes find-lr resnet8_digits --write my.toml`; `cnnrecipes find-lr resnet8_digits --grid`
    """
    _check_options(
        _SWEEP, (low, high, seeds, take, write), allowed=not grid, why="is for the sweep: leave it or --grid out"
    )
    _check_options(_GRID, (rates, decays, epochs), allowed=grid, why="is for --grid: give that too")
    recipe_and_overrides(recipe, changes)  # errors of the recipe, before the slow import of TensorFlow
    picture = choose_output(output, Path("rate_grid.png" if grid else "learning_rates.png"), overwrite=overwrite)
    how: dict[str, Any] = {"seed": seed, "picture": picture, "progress": not quiet, **overrides(changes)}
    if steps is not None:
        how["steps"] = steps
    import_tensorflow()
    if grid:
        axes: dict[str, Any] = {
            "rates": _numbers("--rates", rates),
            "decays": _numbers("--decays", decays),
            "epochs": epochs,
        }
        cells = cnnrecipes.rate_grid(recipe, data, **axes, **how)
        best = None if cells.best is None else vars(cells.best)
        document: dict[str, Any] = {"cells": list(map(vars, cells.trainings)), "best": best, "extend": cells.border()}
        _report(cells, document, lambda: result_printing.print_rate_grid(cells), [picture], as_json, quiet)
        raise typer.Exit(int(best is None))
    bounds: dict[str, Any] = {
        key: value
        for key, value in (("low", low), ("high", high), ("seeds", seeds), ("take", take))
        if value is not None
    }
    found = cnnrecipes.find_lr(recipe, data, write=write, overwrite=overwrite, **bounds, **how)
    document = {
        "suggested": found.suggested,
        "take": found.take,
        "suggestions": found.table(),
        "fall": found.reading.fall,
        "fall_error": found.reading.error,
        "seconds": found.seconds,
        "rates": found.rates,
        "losses": found.losses,
    }
    written = [picture, *([write] if write and found.suggested else [])]
    _report(found, document, lambda: result_printing.print_rates(found), written, as_json, quiet)
    if write and not found.suggested:
        say(f"{write} is not written: there is no learning rate to suggest")
    raise typer.Exit(int(found.suggested is None))


def _report(
    found: object, document: dict, print_table: Callable[[], None], written: list[Path], as_json: bool, quiet: bool
) -> None:
    if as_json:
        print_json({**document, "conclusion": str(found), "written": written})
    else:
        print_table()
        say(found)
    if not quiet:
        print_written(written)


def _check_options(names: Sequence[str], values: Sequence[object], *, allowed: bool, why: str) -> None:
    """Raise RecipeError, with the reason `why`, for an option that is given and not allowed."""
    for name, value in zip(names, values, strict=True):
        if value is not None and not allowed:
            raise RecipeError(f"{name} {why}")


def _numbers(option: str, text: str | None) -> list[float] | None:
    """Return the numbers of a comma-separated list. Raises RecipeError."""
    if text is None:
        return None
    try:
        return [float(number) for number in text.split(",")]
    except ValueError:
        raise RecipeError(f"{option} {text!r} is no list of numbers; give for example {option} 0.01,0.1,1") from None
