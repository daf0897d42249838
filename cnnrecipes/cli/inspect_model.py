"""Commands about models: inspect."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Optional

import typer

import cnnrecipes
from cnnrecipes._support.console import import_tensorflow, printable
from cnnrecipes.cli import completion, result_printing
from cnnrecipes.cli.command_registry import command
from cnnrecipes.cli.options import ChangesArgument, JsonOption, OverwriteOption, overrides
from cnnrecipes.cli.output import print_json, print_written


@command("inspect", group="Models")
def inspect(
    model: Annotated[
        str,
        typer.Argument(
            help="A recipe, an architecture, for example resnet50, or a run folder.",
            autocompletion=completion.recipe_names,
        ),
    ],
    changes: ChangesArgument = None,
    folder: Annotated[
        Optional[Path],  # noqa: UP045
        typer.Option(help="Folder of the pictures; default: inspect/NAME, numbered if it exists."),
    ] = None,
    data: Annotated[
        Optional[str],  # noqa: UP045
        typer.Option(
            help="Data set of the images to inspect with; default: the recipe's if it is on this machine, else noise."
        ),
    ] = None,
    classes: Annotated[
        Optional[int],  # noqa: UP045
        typer.Option(help="Number of classes if the data set is not on this machine; inspects with noise."),
    ] = None,
    overwrite: OverwriteOption = False,
    as_json: JsonOption = False,
    quiet: bool = False,
) -> None:
    """Print parameters, multiply-adds and receptive field of a model by stage, and draw it. Nothing is downloaded.

    Examples: `cnnrecipes inspect resnet50`; `cnnrecipes inspect resnet20_cifar model.norm=group`
    """
    keys = overrides(changes)
    import_tensorflow()
    result = cnnrecipes.analysis.write_inspection(
        model, folder, data=data, classes=classes, overwrite=overwrite, **keys
    )
    if as_json:
        print_json(result.to_dict())
    else:
        result_printing.print_stages(result.stages)
    if result.note and not quiet:
        print(printable(result.note))
    if not quiet:
        print_written(result.files)
