"""Commands about data: check-data, show-batch."""

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
    JsonOption,
    OverwriteOption,
    PictureOption,
    RecipeArgument,
    load_recipe,
)
from cnnrecipes.cli.output import print_json, print_picture, print_written

GROUP = "Data"


@command("check-data", group=GROUP)
def check_data(
    data: Annotated[
        str,
        typer.Argument(help="A folder with one sub-folder per class, its .zip or .tar, a table, a URL or a TFDS name."),
    ],
    output: Annotated[
        Optional[Path],  # noqa: UP045
        typer.Option(help="Folder of the report and its pictures; default: check/NAME, numbered if it exists."),
    ] = None,
    layout: Annotated[
        str,
        typer.Option(
            help="Meaning of a folder's sub-folders: auto, splits or classes; as the recipe key data.layout.",
            autocompletion=completion.values_of("data.layout"),
        ),
    ] = "auto",
    overwrite: OverwriteOption = False,
    as_json: JsonOption = False,
    quiet: bool = False,
) -> None:
    """Check a data set for unreadable, unusual and duplicate images, also across classes and splits.

    The exit status is 0 if training is possible, without the unreadable files, and 1 if not.
    """
    import_tensorflow()
    report, files = cnnrecipes.write_data_report(data, output, overwrite=overwrite, layout=layout, progress=not quiet)
    if as_json:
        print_json(report.to_dict())
    else:
        result_printing.print_report(report)
    if not quiet:
        print_written(files)
    raise typer.Exit(0 if report.trainable else 1)


@command("show-batch", group=GROUP)
def show_batch(
    recipe: RecipeArgument,
    changes: ChangesArgument = None,
    data: DataOption = None,
    step: Annotated[int, typer.Option(help="Training step, from 0.")] = 0,
    images: Annotated[int, typer.Option(help="Number of images of its batch.")] = 8,
    per_op: Annotated[bool, typer.Option("--per-op", help="Draw one row per operation.")] = False,
    output: PictureOption = None,
    overwrite: OverwriteOption = False,
    quiet: bool = False,
) -> None:
    """Draw the images of a training step before and after augmentation, with their labels, into batch.png.

    Example: `cnnrecipes show-batch photos_from_scratch --data photos/ --per-op`
    """
    spec = load_recipe(recipe, changes)
    path = choose_output(output, Path("batch.png"), overwrite=overwrite)
    import_tensorflow()
    cnnrecipes.analysis.plot_batch(spec, data=data, step=step, images=images, per_op=per_op, path=path)
    print_picture(path, quiet)
