"""The command compare-heads: heads on the same frozen features of a pretrained backbone."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Annotated, Optional

import typer

import cnnrecipes
from cnnrecipes._support.console import import_tensorflow, printable, say
from cnnrecipes.cli import completion, result_printing
from cnnrecipes.cli.command_registry import command
from cnnrecipes.cli.options import DataOption, JsonOption, RecipeArgument, SeedOption
from cnnrecipes.cli.output import print_json


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
    workdir: Annotated[Path, typer.Option(help="With --fit: parent folder of the run.")] = Path("runs"),
    name: Annotated[
        Optional[str],  # noqa: UP045
        typer.Option(help="With --fit: name of the run folder; default: date, recipe and a number."),
    ] = None,
    as_json: JsonOption = False,
    quiet: bool = False,
) -> None:
    """Train heads on the same frozen features, a second or less each, and tell which is best on the validation split.

    Examples: `cnnrecipes compare-heads features_photos --data photos/ --fit`;
    `cnnrecipes compare-heads photos --data photos/ transfer.head=linear,mlp optimizer.learning_rate=1e-3,1e-2`
    """
    from cnnrecipes.comparison.variants import split_values
    from cnnrecipes.recipe import catalog

    over, fixed = split_values(values or [])
    spec = catalog.load(recipe)
    import_tensorflow()
    found = cnnrecipes.compare_heads(spec, data, over=over, pairs=pairs, seed=seed, progress=not quiet, **fixed)
    run = None
    if fit:
        where = {"workdir": workdir, "name": name, "seed": seed, "progress": not quiet}
        run = cnnrecipes.fit(spec, data, **where, **found.best.changes)  # type: ignore[operator]
    if as_json:
        print_json({**found.document(), "run": run and run.folder})
        return
    result_printing.print_heads(found)
    say(found)
    if run is not None:
        result_printing.print_result(run, quiet)
    elif not quiet:
        print(f"next: {printable(_command(recipe, data, seed, found.best.changes))}")


def _command(recipe: str, data: str | None, seed: int | None, changes) -> str:
    """Return the command that trains a head as a run."""
    from cnnrecipes.recipe.toml import write_override

    options = [*(["--data", data] if data else []), *(["--seed", str(seed)] if seed is not None else [])]
    parts = ["cnnrecipes", "fit", recipe, *options, *(write_override(key, value) for key, value in changes.items())]
    return " ".join(map(shlex.quote, parts))
