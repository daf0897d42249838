"""The command watch: a picture of the layers over a training, and the layer that stands out."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

import cnnrecipes
from cnnrecipes._support.atomic_files import choose_output
from cnnrecipes._support.console import import_tensorflow, say
from cnnrecipes.cli.command_registry import command
from cnnrecipes.cli.options import JsonOption, OverwriteOption, PictureOption
from cnnrecipes.cli.output import print_json, print_written


@command("watch", group="Experiments and checks")
def watch(
    run: Annotated[Path, typer.Argument(help="Run folder of a training with logging.watch.")],
    output: PictureOption = None,
    overwrite: OverwriteOption = False,
    as_json: JsonOption = False,
    quiet: bool = False,
) -> None:
    """Plot updates, dead channels and activations of each layer over a training; watch.png.

    Example: `cnnrecipes fit resnet8_digits logging.watch="1 epoch"`, then `cnnrecipes watch runs/...`
    """
    path = choose_output(output, Path("watch.png"), overwrite=overwrite)
    import_tensorflow()
    finding = cnnrecipes.write_watch(run, path=path)
    if as_json:
        print_json({**vars(finding), "picture": path})
    else:
        say(finding)
    if not quiet:
        print_written([path])
