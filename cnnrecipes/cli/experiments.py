"""The command experiment, which reproduces a claim of the lecture."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Optional

import typer

import cnnrecipes
from cnnrecipes._support.console import import_tensorflow
from cnnrecipes.cli import completion, result_printing
from cnnrecipes.cli.command_registry import command
from cnnrecipes.cli.options import JsonOption, parsed
from cnnrecipes.cli.output import print_json, print_written


@command("experiment", group="Experiments and checks")
def experiment(
    name: Annotated[
        str,
        typer.Argument(
            help="Name of an experiment, for example plain_and_residual; docs/experiments.md describes them.",
            autocompletion=completion.experiments,
        ),
    ],
    settings: Annotated[
        Optional[list[str]],  # noqa: UP045
        typer.Argument(
            metavar="[KEY=VALUE]...", help="Settings: data, pixels, images, epochs, seed; for example epochs=5."
        ),
    ] = None,
    workdir: Annotated[
        Path, typer.Option(help="Parent folder of the results; cases that it already contains are not trained again.")
    ] = Path("experiments"),
    as_json: JsonOption = False,
    quiet: bool = False,
) -> None:
    """Train the networks of an experiment and print their accuracies."""
    import_tensorflow()
    asked = cnnrecipes.experiments.find(name)
    changes = vars(cnnrecipes.experiments.changed_setting(asked.setting, parsed(settings)))
    if not quiet:
        print(asked.question)
    frame = cnnrecipes.experiments.run(name, workdir=workdir, progress=not quiet, **changes)
    summary = cnnrecipes.experiments.summary(frame)
    files = [workdir / name / file for file in ("histories.csv", "histories.png")]
    if as_json:
        rows = summary.to_dict("records")
        print_json({"experiment": name, "question": asked.question, "size": asked.size, "cases": rows, "files": files})
    else:
        result_printing.print_experiment(summary, asked.size)
    if not quiet:
        print_written(files)
