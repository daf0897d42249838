"""The command learning-curve: accuracy by the number of training images."""

from __future__ import annotations

import dataclasses
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
    recipe_and_overrides,
)
from cnnrecipes.cli.output import print_json, print_written
from cnnrecipes.errors import RecipeError


@command("learning-curve", group="Data")
def learning_curve(
    recipe: RecipeArgument,
    changes: ChangesArgument = None,
    data: DataOption = None,
    repeats: Annotated[
        Optional[int],  # noqa: UP045
        typer.Option(help="Number of drawn subsets of each size; default: 5, or 3 trainings."),
    ] = None,
    train: Annotated[
        bool, typer.Option("--train", help="Train the recipe on each subset, instead of heads on frozen features.")
    ] = False,
    sizes: Annotated[
        Optional[str],  # noqa: UP045
        typer.Option(help="With --train: numbers of training images, for example 100,200,400; default: halves of all."),
    ] = None,
    same_steps: Annotated[
        bool, typer.Option("--same-steps", help="With --train: more epochs for fewer images, for as many steps.")
    ] = False,
    workdir: Annotated[
        Optional[Path],  # noqa: UP045
        typer.Option(help="With --train: parent folder of the runs; default: comparisons."),
    ] = None,
    name: Annotated[
        Optional[str],  # noqa: UP045
        typer.Option(help="With --train: folder of the runs; default: by the recipe."),
    ] = None,
    seed: SeedOption = None,
    output: PictureOption = None,
    overwrite: OverwriteOption = False,
    as_json: JsonOption = False,
    quiet: bool = False,
) -> None:
    """Measure the accuracy by the number of training images, and what more would bring; writes learning_curve.png.

    By default of logistic heads on a pretrained backbone's features; with --train of trainings of any recipe.

    Examples: `cnnrecipes learning-curve features_photos --data photos/`;
    `cnnrecipes learning-curve resnet8_digits --train --sizes 100,200,400,800`
    """
    options = {"sizes": sizes, "same_steps": same_steps or None, "workdir": workdir, "name": name}
    given: dict[str, Any] = {key: value for key, value in options.items() if value is not None}
    if given and not train:
        raise RecipeError(f"--{next(iter(given)).replace('_', '-')} is for --train: give that too")
    if sizes is not None:
        given["sizes"] = _whole_numbers(sizes)
    spec, keys = recipe_and_overrides(recipe, changes)
    path = choose_output(output, Path("learning_curve.png"), overwrite=overwrite)
    import_tensorflow()
    how = {"seed": seed, "progress": not quiet, **given, **({} if repeats is None else {"repeats": repeats})}
    if train:
        curve = cnnrecipes.training_curve(spec, data, **how, **keys)
        cnnrecipes.transfer.plot_learning_curve(curve, path=path)
    else:
        curve = cnnrecipes.transfer.write_learning_curve(spec, data, path=path, **how, **keys)
    doubling = curve.attrs["doubling"]
    if as_json:
        sizes = curve.to_dict("records")
        about = {"validation_images": curve.attrs["validation_images"], "doubling": dataclasses.asdict(doubling)}
        print_json({"sizes": sizes, **about, "conclusion": str(doubling), "picture": path})
    else:
        result_printing.print_learning_curve(curve)
        say(doubling)
    if not quiet:
        print_written([path])


def _whole_numbers(text: str) -> list[int]:
    """Return the numbers of a comma-separated list. Raises RecipeError."""
    try:
        return [int(number) for number in text.split(",")]
    except ValueError:
        raise RecipeError(f"--sizes {text!r} is no list of whole numbers; give for example 100,200,400,800") from None
