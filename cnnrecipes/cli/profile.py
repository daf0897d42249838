"""The command profile: where the time of a training step goes."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Optional

import typer
from rich.table import Column, Table
from rich.text import Text

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
from cnnrecipes.cli.result_printing import out

if TYPE_CHECKING:
    from cnnrecipes.debug.profile import Profile

_WIDEST = 72  # columns of the bar
_FILLS = {
    "waiting for input": ("░", "grey58"),
    "augmentation": ("▒", "magenta"),
    "forward": ("▓", "dodger_blue2"),
    "backward": ("█", "red3"),
    "update": ("▚", "green4"),
}


@command("profile", group="Experiments and checks")
def profile(
    recipe: Annotated[
        str,
        typer.Argument(
            help="Run folder, name of a shipped recipe, or path of a .toml file.",
            autocompletion=completion.recipe_names,
        ),
    ],
    changes: ChangesArgument = None,
    data: DataOption = None,
    steps: Annotated[int, typer.Option(help="Timed steps, at least 10.")] = 20,
    seed: SeedOption = None,
    output: Annotated[
        Optional[Path],  # noqa: UP045
        typer.Option("--output", "-o", help="Picture to write: .png, .svg or .pdf; default: none."),
    ] = None,
    overwrite: OverwriteOption = False,
    as_json: JsonOption = False,
    quiet: bool = False,
) -> None:
    """Measure where the time of a training step goes: input, augmentation, forward, backward, update.

    The result of a run, without other changes, is kept in it for its report.

    Examples: `cnnrecipes profile resnet20_cifar`; `cnnrecipes profile RUN`, then `cnnrecipes report RUN`
    """
    is_run = (Path(recipe) / "recipe.toml").is_file()
    if is_run:
        spec, keys = cnnrecipes.Run.open(recipe), overrides(changes)
    else:
        spec, keys = recipe_and_overrides(recipe, changes)
    path = output and choose_output(output, output, overwrite=overwrite)
    import_tensorflow()
    how = {"steps": steps, "seed": seed, "progress": not quiet}
    if path:
        found = cnnrecipes.write_profile(spec, data, path=path, **how, **keys)
    else:
        found = cnnrecipes.profile(spec, data, **how, **keys)
    kept = [found.keep(spec)] if is_run and not keys else []
    if as_json:
        print_json({**found.record(), "picture": path})
    else:
        _print(found)
    if not quiet:
        print_written([*([path] if path else []), *kept])


def _print(found: Profile) -> None:
    """Print the bar, its parts, the work of the input pipeline, and the conclusion."""
    shown = found.table[found.table["seconds"] > 0]
    columns = min(out.width, _WIDEST) if out.is_terminal else _WIDEST
    bar = Text()
    for row in shown.itertuples():
        fill, style = _FILLS[str(row.part)]
        bar.append(fill * max(round(row.seconds / shown["seconds"].sum() * columns), 1), style)
    out.print(bar)
    rows = Table("", "part", *(Column(name, justify="right") for name in ("ms", "share")), box=None, pad_edge=False)
    for row in shown.itertuples():
        fill, style = _FILLS[str(row.part)]
        rows.add_row(Text(fill, style), str(row.part), f"{1e3 * row.seconds:.3g}", f"{row.share:.1%}")
    rows.add_row("", "training step", f"{1e3 * found.training:.3g}", "", style="bold")
    out.print(rows)
    more = f"{abs(found.error):.1%} {'more' if found.error > 0 else 'less'}"
    say(
        f"{found.model} on {found.device}, batches of {found.batch_size}; the parts are measured separately: their sum "
        f"is {more} than the step"
    )
    shares = ", ".join(f"{name} {share:.0%}" for name, share in found.input_shares.items())
    say(f"input pipeline alone: {1e3 * found.input:.3g} ms a batch ({shares} of its work)")
    say(found)
