"""Command-line interface: one command for each public function."""

from __future__ import annotations

import json
import os
import sys
import warnings
from pathlib import Path
from typing import Annotated, Any, Optional

import typer
from rich.table import Table

import cnnrecipes
from cnnrecipes._support.atomic_files import choose_output
from cnnrecipes._support.console import (
    import_tensorflow,
    out,
    print_report,
    print_result,
    print_stages,
    printable,
    sentence,
)
from cnnrecipes.errors import CNNRecipesError, CNNRecipesWarning, Interrupted
from cnnrecipes.recipe import catalog

app = typer.Typer(
    help="Design, train and use image-classification CNNs. A recipe is everything that decides a training; "
    "`cnnrecipes list` shows those that come along, `cnnrecipes fit resnet8_digits` trains one in a minute.",
    add_completion=False,
    pretty_exceptions_enable=False,
)
RecipeArgument = Annotated[str, typer.Argument(help="A recipe's name, or the path of a .toml file.")]
ChangesArgument = Annotated[
    Optional[list[str]],  # noqa: UP045 (typer on Python 3.10 wants it so)
    typer.Argument(metavar="[KEY=VALUE]...", help="Changes of the recipe, as train.epochs=5 model.norm=group."),
]
DataOption = Annotated[
    Optional[str],  # noqa: UP045
    typer.Option(
        help="A folder with a sub-folder a class, its .zip, a table, a URL or a TFDS name; default: the recipe's."
    ),
]
TTAOption = Annotated[
    Optional[list[str]],  # noqa: UP045
    typer.Option(help="A view to average over, as flip_lr, shift(2), ten_crop, multi_scale; may be given again."),
]
AverageOption = Annotated[str, typer.Option(help="What of the views is averaged: probabilities or logits.")]
QuietOption = Annotated[bool, typer.Option("--quiet", help="Print the run's folder at the end, and nothing else.")]
OverwriteOption = Annotated[bool, typer.Option("--overwrite", help="Replace files that are there already.")]
RunArgument = Annotated[Path, typer.Argument(help="A run folder, or a model.keras.")]


@app.command("list")
def list_recipes() -> None:
    """List the recipes that come along."""
    table = Table("recipe", "what it is", box=None, pad_edge=False)
    for name in catalog.names():
        table.add_row(name, catalog.summary(name))
    out.print(table)


@app.command()
def show(recipe: RecipeArgument, changes: ChangesArgument = None) -> None:
    """Print a recipe, complete with its defaults, as TOML."""
    print(_changed(recipe, changes).to_toml(), end="")


@app.command()
def inspect(
    model: Annotated[str, typer.Argument(help="A recipe, an architecture as resnet50, or a run folder.")],
    changes: ChangesArgument = None,
    folder: Annotated[
        Optional[Path],  # noqa: UP045
        typer.Option(help="Where the pictures go; default: inspect/NAME, with a number if that is taken."),
    ] = None,
    data: Annotated[
        Optional[str],  # noqa: UP045
        typer.Option(help="Whose images to look with; default: the recipe's where they are here, or else noise."),
    ] = None,
    classes: Annotated[
        Optional[int],  # noqa: UP045
        typer.Option(help="How many, where the recipe's data is not here to say so; draws with noise."),
    ] = None,
    overwrite: OverwriteOption = False,
) -> None:
    """Print what a model costs and sees, stage by stage, and draw it. Nothing is downloaded.

    Examples: `cnnrecipes inspect resnet50`; `cnnrecipes inspect resnet20_cifar model.norm=group`
    """
    import_tensorflow()
    from cnnrecipes.analysis import inspect, subject
    from cnnrecipes.analysis.inspection import PICTURES
    from cnnrecipes.recipe.toml import parse_override

    name, built, images, noise, first = subject.find(model, dict(map(parse_override, changes or [])), data, classes)
    names = ("layers.csv", *PICTURES)
    folder = choose_output(folder, Path("inspect") / name, names=names, overwrite=overwrite)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", UserWarning)
        found = inspect(built, folder, images, first=first)
    print_stages(found.stages)
    if noise:
        out.print(printable(noise), markup=False)
    for warning in caught:
        if issubclass(warning.category, UserWarning):
            out.print(f"warning: {warning.message}", markup=False)
    for path in found.files:
        out.print(printable(f"wrote {path}"), markup=False)


@app.command()
def experiment(
    name: Annotated[str, typer.Argument(help="plain_and_residual or norms_and_batches.")],
    settings: Annotated[
        Optional[list[str]],  # noqa: UP045
        typer.Argument(metavar="[KEY=VALUE]...", help="Of data, pixels, images, epochs, seed; as epochs=5."),
    ] = None,
    workdir: Annotated[Path, typer.Option(help="Where its folder goes; what is there is not trained again.")] = Path(
        "experiments"
    ),
) -> None:
    """Train the nets of an experiment and say what they show."""
    from cnnrecipes.recipe.toml import parse_override

    import_tensorflow()
    asked = cnnrecipes.experiments.find(name)
    out.print(asked.question)
    frame = cnnrecipes.experiments.run(name, workdir=workdir, **dict(map(parse_override, settings or [])))
    table = Table("kind", asked.size, "training loss", "training", "validation", box=None, pad_edge=False)
    for row in cnnrecipes.experiments.summary(frame).itertuples():
        table.add_row(row.kind, str(row.size), f"{row.loss:.3f}", f"{row.accuracy:.1%}", f"{row.val_accuracy:.1%}")
    out.print(table)
    out.print(printable(f"wrote {workdir / name / 'histories.csv'}, {workdir / name / 'histories.png'}"), markup=False)


@app.command()
def schema() -> None:
    """Print the JSON Schema of recipe files, for editors."""
    from cnnrecipes.recipe.schema import json_schema

    print(json.dumps(json_schema(), indent=2))


@app.command("show-batch")
def show_batch(
    recipe: RecipeArgument,
    changes: ChangesArgument = None,
    data: DataOption = None,
    step: Annotated[int, typer.Option(help="Which step of the training, from 0.")] = 0,
    images: Annotated[int, typer.Option(help="How many of its images.")] = 8,
    per_op: Annotated[bool, typer.Option("--per-op", help="A row for each operation alone.")] = False,
    output: Annotated[
        Optional[Path],  # noqa: UP045
        typer.Option(help="The picture: .png, .svg or .pdf; default: batch.png, with a number if that is taken."),
    ] = None,
    overwrite: OverwriteOption = False,
) -> None:
    """Draw what the network really sees: a training step before and after augmentation, with its labels.

    Example: `cnnrecipes show-batch resnet20_photos --data photos/ --per-op`
    """
    spec = _changed(recipe, changes)
    output = choose_output(output, Path("batch.png"), overwrite=overwrite)
    import_tensorflow()
    cnnrecipes.analysis.plot_batch(spec, data=data, step=step, images=images, per_op=per_op, path=output)
    out.print(printable(f"wrote {output}"), markup=False)


@app.command("check-data")
def check_data(
    data: Annotated[
        str,
        typer.Argument(
            help="A folder with a sub-folder a class, a .zip or .tar of one, a table, a URL or a TFDS name."
        ),
    ],
    output: Annotated[
        Optional[Path],  # noqa: UP045
        typer.Option(help="Where the report and its pictures go; default: check/NAME, with a number if that is taken."),
    ] = None,
    layout: Annotated[
        str, typer.Option(help="What a folder's sub-folders are: auto, splits or classes; as data.layout of a recipe.")
    ] = "auto",
    overwrite: OverwriteOption = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print everything as JSON.")] = False,
) -> None:
    """Find what is wrong with a data set: unreadable, odd, repeated and misplaced images.

    The exit status is 0 if training may go on, without the unreadable files, and 1 if not.
    """
    import_tensorflow()
    from cnnrecipes.data.audit.check import FILES
    from cnnrecipes.data.sources import registry

    name = registry.find(data).folder_name(data)
    output = choose_output(output, Path("check") / name, names=FILES, overwrite=overwrite)
    report = cnnrecipes.check_data(data, layout=layout)
    files = report.save(output)
    if as_json:
        print(report.to_json())
    else:
        print_report(report)
        for path in files:
            out.print(printable(f"wrote {path}"), markup=False)
    raise typer.Exit(0 if report.trainable else 1)


@app.command()
def fit(
    recipe: RecipeArgument,
    changes: ChangesArgument = None,
    data: DataOption = None,
    workdir: Annotated[Path, typer.Option(help="Where the run's folder goes.")] = Path("runs"),
    name: Annotated[
        Optional[str],  # noqa: UP045
        typer.Option(help="The name of the run's folder; default: date, recipe and a number."),
    ] = None,
    seed: Annotated[Optional[int], typer.Option(help="Short for train.seed=...")] = None,  # noqa: UP045
    quiet: QuietOption = False,
) -> None:
    """Train a recipe and say how good the model is.

    Examples: `cnnrecipes fit resnet8_digits`; `cnnrecipes fit resnet20_photos --data photos/ train.epochs=50`
    """
    _changed(recipe, changes)  # report errors of the recipe before the slow import of TensorFlow
    import_tensorflow()
    overrides = _overrides(changes)
    spec = catalog.load(recipe).change(**{key: overrides.pop(key) for key in ["name"] if key in overrides})
    where = {"workdir": workdir, "name": name, "seed": seed, "progress": not quiet}
    _tell(cnnrecipes.fit(spec, data, **where, **overrides), quiet)


@app.command()
def resume(
    run: Annotated[Path, typer.Argument(help="The run folder of a training that was stopped.")],
    changes: Annotated[
        Optional[list[str]],  # noqa: UP045
        typer.Argument(metavar="[KEY=VALUE]...", help="Of keys that may change, as logging.checkpoint_every='5 min'."),
    ] = None,
    data: DataOption = None,
    quiet: QuietOption = False,
) -> None:
    """Resume a training that was stopped, bit-exactly, from its latest valid checkpoint.

    Example: `cnnrecipes resume runs/2026-11-23_resnet20_cifar_1`
    """
    import_tensorflow()
    cnnrecipes.Run.open(run).recipe.change(**_overrides(changes))  # an unknown key is an error of the recipe
    _tell(cnnrecipes.resume(run, data, progress=not quiet, **_overrides(changes)), quiet)


@app.command()
def extend(
    run: Annotated[Path, typer.Argument(help="The run folder of a finished training.")],
    epochs: Annotated[int, typer.Option(help="How many more.")],
    schedule: Annotated[
        str,
        typer.Option(help="stretch: as if planned as long; restart: the schedule anew; constant: one learning rate."),
    ],
    learning_rate: Annotated[Optional[float], typer.Option(help="Of constant.")] = None,  # noqa: UP045
    data: DataOption = None,
    workdir: Annotated[
        Optional[Path],  # noqa: UP045
        typer.Option(help="Where the new run's folder goes; default: beside the old one."),
    ] = None,
    draw_only: Annotated[bool, typer.Option("--draw-only", help="Draw the schedule and train nothing.")] = False,
    quiet: QuietOption = False,
) -> None:
    """Train a finished run for more epochs, in a new run; draws the schedule first.

    Example: `cnnrecipes extend RUN --epochs 20 --schedule restart`
    """
    import_tensorflow()
    from cnnrecipes.runs.extension import extended

    longer, start = extended(cnnrecipes.Run.open(run), epochs, schedule, learning_rate)
    picture = choose_output(None, Path(f"{run.name}_{schedule}.png"))
    position = start.state["parts"]["position"]
    steps = max(start.state["steps_per_epoch"], 1)
    cnnrecipes.analysis.plot_schedule(longer, steps_per_epoch=steps, mark_epoch=position["epoch"], path=picture)
    if not quiet:
        out.print(printable(f"wrote {picture}"), markup=False)
    if not draw_only:
        how = {"schedule": schedule, "learning_rate": learning_rate, "data": data, "workdir": workdir}
        _tell(cnnrecipes.extend(run, epochs, **how, progress=not quiet), quiet)


@app.command("resume-check")
def resume_check(
    recipe: RecipeArgument,
    changes: ChangesArgument = None,
    data: DataOption = None,
    kills: Annotated[int, typer.Option(help="How often.")] = 5,
    workdir: Annotated[
        Optional[Path],  # noqa: UP045
        typer.Option(help="Where the runs go; default: a folder that is taken away afterwards."),
    ] = None,
    seed: Annotated[int, typer.Option(help="Of the random moments.")] = 0,
) -> None:
    """Kill a training at random moments, resume it, and compare its end bit for bit; exit status 1 if it differs.

    Example: `cnnrecipes resume-check resnet8_digits --kills 5`
    """
    spec = _changed(recipe, changes)
    import_tensorflow()
    from cnnrecipes.verify.resume_check import resume_check

    table = resume_check(spec, kills=kills, data=data, workdir=workdir, seed=seed, say=out.print)
    equal = int(table.equal.sum())
    out.print(f"{equal} of {kills} end with the same bits: weights, optimizer, metrics and history", style="bold")
    raise typer.Exit(0 if equal == kills else 1)


@app.command("plot-schedule")
def plot_schedule(
    recipe: RecipeArgument,
    changes: ChangesArgument = None,
    data: DataOption = None,
    steps_per_epoch: Annotated[
        Optional[int],  # noqa: UP045
        typer.Option(help="Instead of those of --data; default: 100, unless the recipe speaks of steps."),
    ] = None,
    output: Annotated[
        Optional[Path],  # noqa: UP045
        typer.Option(help="The picture: .png, .svg or .pdf; default: schedule.png, with a number if that is taken."),
    ] = None,
    overwrite: OverwriteOption = False,
) -> None:
    """Draw a recipe's learning rate against the epochs, before anything is trained.

    Example: `cnnrecipes plot-schedule resnet20_cifar "optimizer.schedule=trapezoid(cooldown='20%')"`
    """
    spec = _changed(recipe, changes)
    output = choose_output(output, Path("schedule.png"), overwrite=overwrite)
    import_tensorflow()
    cnnrecipes.analysis.plot_schedule(spec, data=data, steps_per_epoch=steps_per_epoch, path=output)
    out.print(printable(f"wrote {output}"), markup=False)


@app.command(context_settings={"allow_extra_args": True, "ignore_unknown_options": True})
def launch(
    context: typer.Context,
    workers: Annotated[int, typer.Option(help="How many processes on this machine.")] = 2,
    threads: Annotated[
        Optional[int],  # noqa: UP045
        typer.Option(help="CPU cores for each; default: all, shared."),
    ] = None,
) -> None:
    """Run another command in several workers on this machine, which train together.

    Example: `cnnrecipes launch --workers 2 fit resnet8_digits data.batch_size=64`
    """
    from cnnrecipes.training.distributed.launcher import launch

    raise typer.Exit(launch(context.args, workers, threads))


@app.command()
def evaluate(
    run: Annotated[Path, typer.Argument(help="A run folder.")],
    data: Annotated[
        Optional[str],  # noqa: UP045
        typer.Option(help="Other data, which is measured whole; some of the run's classes are enough."),
    ] = None,
    split: Annotated[
        Optional[str],  # noqa: UP045
        typer.Option(help="train, validation or test; default: test, or validation where there is no test."),
    ] = None,
    tta: TTAOption = None,
    average: AverageOption = "probabilities",
) -> None:
    """Measure a run's model on a split.

    Example: `cnnrecipes evaluate RUN --tta flip_lr --tta "shift(2)"`
    """
    import_tensorflow()
    opened = cnnrecipes.load(run)
    if not isinstance(opened, cnnrecipes.Run):
        raise cnnrecipes.RunError(f"{str(run)!r} is a file; evaluate wants the run folder it came from")
    metrics = opened.evaluate(data=data, split=split, tta=tta or None, average=average)
    if "plain" in metrics:
        out.print("plain: " + sentence(metrics["split"], metrics["plain"]), markup=False)
        views = " + ".join(metrics["tta"])
        found = sentence(metrics["split"], metrics)
        out.print(f"{views}, mean of {average}: {found}", markup=False)
    else:
        out.print(sentence(metrics["split"], metrics))


@app.command()
def predict(
    run: RunArgument,
    images: Annotated[list[str], typer.Argument(help="Image files, folders of them, or patterns as 'photos/*.jpg'.")],
    as_json: Annotated[bool, typer.Option("--json", help="Print every class's probability as JSON.")] = False,
    tta: TTAOption = None,
    average: AverageOption = "probabilities",
) -> None:
    """Name what images show. The exit status is 1 if some of them cannot be read; the others are named all the same.

    Examples: `cnnrecipes predict RUN cat.jpg`; `cnnrecipes predict RUN photos/ --json`
    """
    import_tensorflow()
    from cnnrecipes.data.sources.image_paths import image_paths

    opened = cnnrecipes.load(run)
    artifact = opened.artifact if isinstance(opened, cnnrecipes.Run) else opened
    paths = [path for image in images for path in image_paths(image) or [image]]
    predictions, unreadable = artifact.predict_files(paths, tta=tta or None, average=average)
    if as_json:
        print(json.dumps({one.file: one.probabilities for one in predictions}, indent=2))
    else:
        for prediction in predictions:
            out.print(printable(f"{prediction.file}: {prediction}"), markup=False)
    for why in unreadable.values():
        print(f"cnnrecipes: {printable(' '.join(why.split()))}", file=sys.stderr)
    raise typer.Exit(2 if not predictions else 1 if unreadable else 0)


def _tell(run: cnnrecipes.Run, quiet: bool = False) -> None:
    """Print the result in the chief worker; quiet: only the run folder, for scripts."""
    from cnnrecipes.training.distributed.cluster import find_cluster

    cluster = find_cluster(os.environ)
    if cluster is None or cluster.index == 0:
        print(run.folder) if quiet else print_result(run)


def _overrides(changes: list[str] | None) -> dict[str, Any]:
    from cnnrecipes.recipe.toml import parse_override

    return dict(map(parse_override, changes or []))


def _changed(recipe: str, changes: list[str] | None):
    return catalog.load(recipe).change(**_overrides(changes))


def _version(value: bool) -> None:
    if value:
        print(f"cnnrecipes {cnnrecipes.__version__}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    pass


def main() -> None:
    """Run the command line; print a user error as one line on stderr with exit status 2, a warning as one line."""
    show = warnings.showwarning

    def one_line(message, category, *where):
        if issubclass(category, CNNRecipesWarning):
            print(f"cnnrecipes: warning: {printable(' '.join(str(message).split()))}", file=sys.stderr)
        else:
            show(message, category, *where)

    warnings.showwarning = one_line
    try:
        sys.exit(app(sys.argv[1:] or ["--help"], standalone_mode=False))
    except Interrupted as error:
        _fail(str(error), 130)
    except (KeyboardInterrupt, typer.Abort):
        _fail("interrupted", 130)
    except CNNRecipesError as error:
        _fail(str(error))
    except Exception as error:
        if not hasattr(error, "format_message"):  # not a usage error of typer
            raise
        _fail(f"{error.format_message()} See `cnnrecipes --help`.")


def _fail(message: str, status: int = 2) -> None:
    print(f"cnnrecipes: {printable(' '.join(message.split()))}", file=sys.stderr)
    sys.exit(status)
