"""The command compare: variants of a recipe over several seeds, or two finished runs."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Optional

import typer

import cnnrecipes
from cnnrecipes._support.console import import_tensorflow, say
from cnnrecipes.cli import completion, result_printing
from cnnrecipes.cli.command_registry import command
from cnnrecipes.cli.options import DataOption, JsonOption
from cnnrecipes.cli.output import print_json, print_written
from cnnrecipes.errors import RecipeError

Text = Optional[str]  # noqa: UP045


@command("compare", group="Experiments and checks")
def compare(
    what: Annotated[
        list[str],
        typer.Argument(
            metavar="RECIPE... [KEY=A,B]...",
            help="Recipes, and keys with several values, separated by commas: all combinations are compared. A key "
            "with one value is set in all. Or the folders of two finished runs.",
            autocompletion=completion.recipe_names,
        ),
    ],
    data: DataOption = None,
    pairs: Annotated[
        bool, typer.Option("--pairs", help="First values of all keys together, second values, ...; no combinations.")
    ] = False,
    seeds: Annotated[Optional[int], typer.Option(help="Number of seeds; default: 5.")] = None,  # noqa: UP045
    baseline: Annotated[Text, typer.Option(help="Variant that the others are compared to; default: the first.")] = None,
    split: Annotated[
        Text, typer.Option(help="validation (default) or test.", autocompletion=completion.words("validation", "test"))
    ] = None,
    until_clear: Annotated[
        bool, typer.Option("--until-clear", help="Add seeds until the answer is clear, by an anytime-valid t test.")
    ] = False,
    max_seeds: Annotated[
        Optional[int],  # noqa: UP045
        typer.Option(help="Highest number of seeds with --until-clear; default: 20."),
    ] = None,
    margin: Annotated[
        Optional[float],  # noqa: UP045
        typer.Option(help="Difference of the accuracy, 0 to 1, below which variants count as alike."),
    ] = None,
    seed: Annotated[Optional[int], typer.Option(help="The first seed; default: train.seed.")] = None,  # noqa: UP045
    workdir: Annotated[Path, typer.Option(help="Parent folder of comparisons.")] = Path("comparisons"),
    name: Annotated[Text, typer.Option(help="Folder of the comparison; default: by recipes and keys.")] = None,
    table: Annotated[Optional[Path], typer.Option(help="Also write the table: .csv or .parquet.")] = None,  # noqa: UP045
    as_json: JsonOption = False,
    quiet: bool = False,
) -> None:
    """Train variants with the same seeds and tell which differ, in accuracy and speed; or compare two finished runs.

    The same command continues after an interruption.

    Examples: `cnnrecipes compare resnet8_digits model.norm=batch,group --seeds 3`;
    `cnnrecipes compare runs/A runs/B --split test`
    """
    given: dict[str, Any] = {
        "--pairs": pairs or None,
        "--seeds": seeds,
        "--baseline": baseline,
        "--until-clear": until_clear or None,
        "--max-seeds": max_seeds,
        "--margin": margin,
        "--seed": seed,
        "--name": name,
        "--table": table,
    }
    options = {
        option.removeprefix("--").replace("-", "_"): value for option, value in given.items() if value is not None
    }
    from cnnrecipes.comparison.variants import names_recipe  # after the options of Typer, since it reads recipes

    recipes = [one for one in what if names_recipe(one)]
    settings = [one for one in what if one not in recipes]
    if recipes and all((Path(one) / "recipe.toml").is_file() for one in recipes):
        _compare_runs(recipes, settings, data, split, options, as_json)
        return
    options.pop("table", None)
    _compare_recipes(
        recipes, settings, data, {"split": split or "validation", **options}, workdir, table, as_json, quiet
    )


def _compare_runs(
    folders: list[str], settings: list[str], data: str | None, split: str | None, options: dict[str, Any], as_json: bool
) -> None:
    if len(folders) != 2 or settings:
        raise RecipeError(
            f"two finished runs are compared, and there are {len(folders)}{' and ' + settings[0] if settings else ''}; "
            "give two run folders, or recipes to train"
        )
    if options:
        option = "--" + next(iter(options)).replace("_", "-")
        raise RecipeError(f"{option} is for trainings; leave it out to compare two finished runs")
    import_tensorflow()
    found = cnnrecipes.compare_runs(*folders, data, split=split)
    if as_json:
        print_json(found.document())
    else:
        say(found)


def _compare_recipes(
    recipes: list[str],
    settings: list[str],
    data: str | None,
    options: dict[str, Any],
    workdir: Path,
    table: Path | None,
    as_json: bool,
    quiet: bool,
) -> None:
    from cnnrecipes.comparison.variants import make_variants, split_values

    if not recipes:
        raise RecipeError("there is no recipe to compare; give one or more, for example resnet8_digits")
    over, fixed = split_values(settings)
    make_variants(recipes, over, fixed, pairs=options.get("pairs", False))  # before the slow import of TensorFlow
    import_tensorflow()
    if table is not None:
        from cnnrecipes.comparison.result import table_path

        table_path(table)
    found = cnnrecipes.compare(recipes, data, over=over, workdir=workdir, progress=not quiet, **options, **fixed)
    written = found.write()
    if table is not None:
        found.write_table(table)
        written.append(table)
    if as_json:
        print_json({**found.document(), "written": written})
    else:
        result_printing.print_comparison(found)
        for sentence in found.sentence.splitlines():
            say(sentence)
    if not quiet:
        print_written(written)
