"""The command compare-heads: heads on the same frozen features of a pretrained backbone."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Optional

import typer

import cnnrecipes
from cnnrecipes._support.console import import_tensorflow, printable, say
from cnnrecipes.cli import completion, result_printing
from cnnrecipes.cli.command_registry import command
from cnnrecipes.cli.options import DataOption, JsonOption, RecipeArgument, SeedOption
from cnnrecipes.cli.output import print_json
from cnnrecipes.errors import RecipeError


@command("compare-heads", group="Experiments and checks")
def compare_heads(
    recipe: RecipeArgument,
    values: Annotated[
        Optional[list[str]],  # noqa: UP045
        typer.Argument(
            metavar="[KEY=A,B]...",
            help="Keys with several values, separated by commas: all combinations are compared. A key with one value "
            "is set in all. Default: the three kinds of transfer.head, with three learning rates.",
            autocompletion=completion.recipe_keys,
        ),
    ] = None,
    data: DataOption = None,
    pairs: Annotated[
        bool, typer.Option("--pairs", help="First values of all keys together, second values, ...; no combinations.")
    ] = False,
    seed: SeedOption = None,
    fit: Annotated[bool, typer.Option("--fit", help="Also train the best as a run, and write its model.")] = False,
    workdir: Annotated[
        Optional[Path],  # noqa: UP045
        typer.Option(help="With --fit: parent folder of the run; default: runs."),
    ] = None,
    name: Annotated[
        Optional[str],  # noqa: UP045
        typer.Option(help="With --fit: name of the run folder; default: date, recipe and a number."),
    ] = None,
    as_json: JsonOption = False,
    quiet: bool = False,
) -> None:
    """Train heads on the same frozen features, a second or less each, and compare them on the validation split.

    Examples: `cnnrecipes compare-heads features_photos --data photos/ --fit`;
    `cnnrecipes compare-heads photos --data photos/ transfer.head=linear,mlp optimizer.learning_rate=1e-3,1e-2`
    """
    from cnnrecipes.comparison.variants import split_values
    from cnnrecipes.recipe import catalog
    from cnnrecipes.runs.new_folder import check_place

    if not fit and (given := [f"--{one}" for one, value in (("workdir", workdir), ("name", name)) if value]):
        raise RecipeError(f"{given[0]} is for --fit: give that too")
    over, fixed = split_values(values or [])
    spec, workdir = catalog.load(recipe), workdir or Path("runs")
    check_place(workdir, name)
    import_tensorflow()
    found = cnnrecipes.compare_heads(spec, data, over=over, pairs=pairs, seed=seed, progress=not quiet, **fixed)
    if not as_json:
        result_printing.print_heads(found)
        say(found)
    run = None
    if fit:
        where = {"workdir": workdir, "name": name, "seed": seed, "progress": not quiet}
        run = cnnrecipes.fit(spec, data, **where, **found.best.changes)  # type: ignore[operator]
    if as_json:
        print_json({**found.document(), "run": run and run.folder})
    elif run is not None:
        result_printing.print_result(run, quiet)
    elif not quiet:
        print(f"next: {printable(_command(recipe, data, seed, found.best.changes))}")


def _command(recipe: str, data: str | None, seed: int | None, changes: Mapping[str, Any]) -> str:
    """Return the command that trains a head as a run."""
    from cnnrecipes.recipe.toml import write_override

    options = [*(["--data", data] if data else []), *(["--seed", str(seed)] if seed is not None else [])]
    parts = ["cnnrecipes", "fit", recipe, *options, *(write_override(key, value) for key, value in changes.items())]
    return " ".join(map(shlex.quote, parts))
