"""Registry of commands: every module of this package adds its own, and another package adds some by entry points.

A new command is a function in a new file of cnnrecipes/cli/; its docstring is the help text:

    @command("count-images", group="Data")
    def count_images(folder: Path, quiet: bool = False, as_json: JsonOption = False) -> None:
        \"\"\"Count the images below a folder.\"\"\"
"""

from __future__ import annotations

import contextlib
import functools
import importlib
import inspect
import pkgutil
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from importlib.metadata import entry_points
from typing import Any

from cnnrecipes import cli
from cnnrecipes._support.console import printable
from cnnrecipes.cli import output
from cnnrecipes.cli.options import QuietOption, VerboseOption
from cnnrecipes.errors import one_line

# The groups of commands in the order of `cnnrecipes --help`; others follow.
GROUPS = ("Recipes", "Data", "Models", "Training", "Evaluation and prediction", "Experiments and checks")
ENTRY_POINTS = "cnnrecipes.commands"


@dataclass(frozen=True)
class Command:
    """A command: its name, its group in the help, the function that runs it, and keyword arguments of Typer."""

    name: str
    group: str
    function: Callable[..., None]
    settings: Mapping[str, Any] = field(default_factory=dict)


_COMMANDS: dict[str, Command] = {}


def command(
    name: str, *, group: str, forwards: bool = False, **settings: Any
) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Register the decorated function as a command.

    The command gets `-q/--quiet` and `-v/--verbose`; a parameter `quiet: bool` of the function receives the first.
    With a parameter `as_json: JsonOption`, everything but `output.print_json` is printed to stderr.

    Args:
        name: name of the command.
        group: heading in the help, one of GROUPS or another.
        forwards: the command passes unknown options on to another command, and has no options -q and -v itself.
        settings: keyword arguments of `typer.Typer.command`.
    """

    def register(function: Callable[..., None]) -> Callable[..., None]:
        _COMMANDS[name] = Command(name, group, function if forwards else _with_verbosity(function), settings)
        return function

    return register


def discover() -> list[Command]:
    """Import the modules of this package and the entry points `cnnrecipes.commands`; return all commands by group.

    An entry point names a function; the name of the entry point is the name of the command, its group that of the
    distribution. One that cannot be loaded, or has the name of another command, is reported on stderr and left out.
    """
    for name in sorted(module.name for module in pkgutil.iter_modules(cli.__path__)):
        if name != "app":
            importlib.import_module(f"{cli.__name__}.{name}")
    for point in entry_points(group=ENTRY_POINTS):
        group = point.dist.name if point.dist else "Other packages"
        try:
            if point.name in _COMMANDS:
                raise ValueError("a command of this name exists already; rename the entry point")
            command(point.name, group=group)(point.load())
        except Exception as error:  # the other commands have to work whatever another package does
            why = printable(one_line(error))
            print(f"cnnrecipes: warning: cannot load the command {point.name!r} of {group}: {why}", file=sys.stderr)
    order = {group: number for number, group in enumerate(GROUPS)}
    return sorted(_COMMANDS.values(), key=lambda one: order.get(one.group, len(order)))


def _with_verbosity(function: Callable[..., None]) -> Callable[..., None]:
    """Return the function with parameters for -q and -v, as Typer reads them from its signature."""
    own = inspect.signature(function, eval_str=True).parameters
    keyword = inspect.Parameter.KEYWORD_ONLY
    options = {"quiet": QuietOption, "verbose": VerboseOption}
    added = [inspect.Parameter(name, keyword, default=False, annotation=kind) for name, kind in options.items()]
    parameters = [one.replace(kind=keyword) for name, one in own.items() if name not in options]

    @functools.wraps(function)
    def run(**values: Any) -> None:
        output.choose_verbosity(values.pop("quiet"), values.pop("verbose"))
        if "quiet" in own:
            values["quiet"] = output.verbosity.quiet
        with output.messages_to_stderr() if values.get("as_json") else contextlib.nullcontext():
            function(**values)

    # Typer reads it.
    run.__signature__ = inspect.Signature([*parameters, *added])  # type: ignore[attr-defined]
    run.__annotations__ = {one.name: one.annotation for one in (*parameters, *added)}
    return run
