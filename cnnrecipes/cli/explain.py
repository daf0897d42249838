"""Commands that explain a run and its data: explain, label-issues."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Optional

import typer

import cnnrecipes
from cnnrecipes._support.atomic_files import choose_output
from cnnrecipes._support.console import import_tensorflow, say
from cnnrecipes.cli import completion
from cnnrecipes.cli.command_registry import command
from cnnrecipes.cli.options import (
    ChangesArgument,
    DataOption,
    JsonOption,
    OverwriteOption,
    SeedOption,
    overrides,
    recipe_and_overrides,
)
from cnnrecipes.cli.output import print_json, print_written
from cnnrecipes.errors import counted

_PARTS = ("confusion", "top-losses", "grad-cam", "slices", "embedding", "robustness")
_DEFAULT_PARTS = ", ".join(_PARTS[:4])
_SHOWN = 20  # label issues


@command("explain", group="Evaluation and prediction")
def explain(
    run: Annotated[Path, typer.Argument(help="Run folder.")],
    what: Annotated[
        Optional[list[str]],  # noqa: UP045
        typer.Option(
            help=f"Part of the explanation: {', '.join(_PARTS)}; may be given several times; default: "
            f"{_DEFAULT_PARTS}.",
            autocompletion=completion.words(*_PARTS),
        ),
    ] = None,
    image: Annotated[
        Optional[list[str]],  # noqa: UP045
        typer.Option(help="Image for Grad-CAM; may be given several times; default: the largest losses."),
    ] = None,
    split: Annotated[
        str,
        typer.Option(
            help="Split to explain: validation, test or train.",
            autocompletion=completion.words("validation", "test", "train"),
        ),
    ] = "validation",
    images: Annotated[int, typer.Option("--images", "-n", help="Number of images with the largest losses.")] = 12,
    data: DataOption = None,
    output: Annotated[
        Optional[Path],  # noqa: UP045
        typer.Option("--output", "-o", help="Folder of tables and pictures; default: explain/NAME."),
    ] = None,
    overwrite: OverwriteOption = False,
    as_json: JsonOption = False,
    quiet: bool = False,
) -> None:
    """Show where a run's model fails and what it looks at: confusions, largest losses, Grad-CAM, slices.

    Examples: `cnnrecipes explain RUN`; `cnnrecipes explain RUN --what grad-cam --image cat.jpg`;
    `cnnrecipes explain RUN --what robustness`
    """
    import_tensorflow()
    opened = cnnrecipes.Run.open(run)
    names = [f"{part.replace('-', '_')}.{suffix}" for part in what or _PARTS for suffix in ("csv", "png")]
    folder = choose_output(output, Path("explain") / opened.folder.name, names=names, overwrite=overwrite)
    found = cnnrecipes.explain.explain_run(
        opened,
        folder,
        parts=what or None,
        split=split,
        data=data,
        images=image or (),
        n=images,
        progress=not quiet,
    )
    if as_json:
        print_json(found.to_dict())
    else:
        for sentence in found.sentences:
            say(sentence)
    if not quiet:
        print_written(found.files)


@command("label-issues", group="Data")
def label_issues(
    recipe: Annotated[
        str,
        typer.Argument(
            help="Run folder, name of a shipped recipe, or path of a .toml file.",
            autocompletion=completion.recipe_names,
        ),
    ],
    changes: ChangesArgument = None,
    data: DataOption = None,
    folds: Annotated[int, typer.Option(help="Number of trainings, each without one part of the images.")] = 5,
    accept: Annotated[
        bool, typer.Option("--accept", help="Fill in the suggested classes as corrections, for you to check.")
    ] = False,
    seed: SeedOption = None,
    output: Annotated[
        Optional[Path],  # noqa: UP045
        typer.Option(
            "--output", "-o", help="CSV file to write; default: label_issues.csv, in the run folder of a run."
        ),
    ] = None,
    overwrite: OverwriteOption = False,
    as_json: JsonOption = False,
    quiet: bool = False,
) -> None:
    """List images whose labels are probably wrong, and write a CSV file that `data.corrections` takes.

    Each image is judged by a model that was trained without it (confident learning, Northcutt et al. 2021). Edit the
    column label of the file: the right class, or empty to keep the label.

    Example: `cnnrecipes label-issues features_photos --data photos/`, then
    `cnnrecipes fit photos --data photos/ data.corrections=label_issues.csv`
    """
    from cnnrecipes.runs.records import LABEL_ISSUES

    is_run = (Path(recipe) / "recipe.toml").is_file()
    folder = Path(recipe) if is_run else Path()
    path = choose_output(output, folder / LABEL_ISSUES, overwrite=overwrite)
    if is_run:
        subject, keys = cnnrecipes.Run.open(recipe), overrides(changes)
    else:
        subject, keys = recipe_and_overrides(recipe, changes)
    import_tensorflow()
    found = cnnrecipes.label_issues(
        subject, data, folds=folds, seed=seed, path=path, accept=accept, progress=not quiet, **keys
    )
    if as_json:
        print_json({"images": found.attrs["images"], "issues": found.to_dict("records"), "file": path})
    else:
        say(f"{counted(len(found), 'label')} of {found.attrs['images']:,} probably wrong, the least likely first")
        for row in found.head(_SHOWN).to_dict("records"):
            probability = f"{row['score']:.1%} {row['given']}"
            say(f"{row['file']}: given {row['given']}, rather {row['suggested']} ({probability})", indent=4)
        if len(found) > _SHOWN:
            say(f"and {len(found) - _SHOWN:,} more in {path}")
    if not quiet:
        print_written([path])
