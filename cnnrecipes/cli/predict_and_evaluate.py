"""Commands that use a trained model: predict, evaluate."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Optional

import typer

import cnnrecipes
from cnnrecipes._support.console import import_tensorflow, printable
from cnnrecipes.cli import completion, evaluation_tables, result_printing
from cnnrecipes.cli.command_registry import command
from cnnrecipes.cli.options import AverageOption, JsonOption, TTAOption
from cnnrecipes.cli.output import print_json
from cnnrecipes.errors import one_line

GROUP = "Evaluation and prediction"


@command("evaluate", group=GROUP)
def evaluate(
    run: Annotated[Path, typer.Argument(help="Run folder.")],
    data: Annotated[
        Optional[str],  # noqa: UP045
        typer.Option(help="Other data, evaluated as a whole; a subset of the run's classes is allowed."),
    ] = None,
    split: Annotated[
        Optional[str],  # noqa: UP045
        typer.Option(
            help="train, validation or test; default: test, or validation if there is no test split.",
            autocompletion=completion.words("train", "validation", "test"),
        ),
    ] = None,
    tta: TTAOption = None,
    average: AverageOption = "probabilities",
    as_json: JsonOption = False,
) -> None:
    """Measure a run's model on a split: accuracy with its interval, calibration, precision and recall by class.

    With --tta everything is measured with the views and without. --json adds all classes and the reliability diagram.

    Example: `cnnrecipes evaluate RUN --tta flip_lr --tta "shift(2)"`
    """
    import_tensorflow()
    found = cnnrecipes.Run.open(run).evaluate(data=data, split=split, tta=tta or None, average=average)
    if as_json:
        print_json(evaluation_tables.document(found))
        return
    result_printing.print_evaluation(found)
    evaluation_tables.print_tables(found)


@command("predict", group=GROUP)
def predict(
    run: Annotated[Path, typer.Argument(help="Run folder, or a model.keras.")],
    images: Annotated[
        list[str], typer.Argument(help="Image files, folders of them, or patterns, for example 'photos/*.jpg'.")
    ],
    as_json: JsonOption = False,
    tta: TTAOption = None,
    average: AverageOption = "probabilities",
) -> None:
    """Predict the classes of images; with --json the probability of every class.

    The exit status is 1 if some images are unreadable, and 2 if all are.

    Examples: `cnnrecipes predict RUN cat.jpg`; `cnnrecipes predict RUN photos/ --json`
    """
    import_tensorflow()
    predictions, unreadable = cnnrecipes.load(run).predict_files(images, tta=tta or None, average=average)
    if as_json:
        print_json({one.file: one.probabilities for one in predictions})
    else:
        result_printing.print_predictions(predictions)
    for why in unreadable.values():
        print(f"cnnrecipes: {printable(one_line(why))}", file=sys.stderr)
    raise typer.Exit(2 if not predictions else 1 if unreadable else 0)
