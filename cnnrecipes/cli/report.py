"""The command report: the page of a run, or of several runs beside each other."""

from __future__ import annotations

import webbrowser
from pathlib import Path
from typing import Annotated, Optional

import typer

import cnnrecipes
from cnnrecipes._support.atomic_files import choose_output
from cnnrecipes._support.console import import_tensorflow
from cnnrecipes.cli import completion
from cnnrecipes.cli.command_registry import command
from cnnrecipes.cli.options import DataOption, JsonOption, OverwriteOption
from cnnrecipes.cli.output import print_json, print_picture
from cnnrecipes.errors import RunError


@command("report", group="Evaluation and prediction")
def report(
    runs: Annotated[list[Path], typer.Argument(metavar="RUN...", help="Run folder; several are compared.")],
    data: DataOption = None,
    output: Annotated[
        Optional[Path],  # noqa: UP045
        typer.Option("--output", "-o", help="File to write; default: report.html in the run folder."),
    ] = None,
    pictures: Annotated[bool, typer.Option(help="Show images of the data, with Grad-CAM.")] = True,
    split: Annotated[
        Optional[str],  # noqa: UP045
        typer.Option(
            help="Of several runs: compare their predictions of this split; default: validation.",
            autocompletion=completion.words("validation", "test"),
        ),
    ] = None,
    show: Annotated[bool, typer.Option("--open", help="Open the page in the browser.")] = False,
    overwrite: OverwriteOption = False,
    as_json: JsonOption = False,
    quiet: bool = False,
) -> None:
    """Write the report of a run, one HTML file: result, curves, classes, confusions, mistakes, data, layers, recipe.

    Several runs are compared on one page: results, curves over each other, differences of recipes and classes.

    Examples: `cnnrecipes report runs/2026-11-29_photos_1 --open`; `cnnrecipes report RUN1 RUN2`
    """
    if len(runs) == 1 and split is not None:
        raise RunError("--split is for the comparison of several runs; leave it out")
    import_tensorflow()
    if len(runs) == 1:
        if output is not None:
            output = choose_output(output, output, overwrite=overwrite)
        path = cnnrecipes.write_report(runs[0], data, pictures=pictures, path=output)
    else:
        path = choose_output(output, Path("comparison.html"), overwrite=overwrite)
        cnnrecipes.write_comparison(runs, split=split, path=path)
    if as_json:
        print_json({"page": path})
    else:
        print_picture(path, quiet)
    if show:
        webbrowser.open(path.resolve().as_uri())
