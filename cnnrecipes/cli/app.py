"""The command line `cnnrecipes`: the Typer app, its global options, and the reporting of errors and warnings."""

from __future__ import annotations

import sys
import traceback
import warnings
from typing import Annotated

import typer
from typer.core import TyperGroup

import cnnrecipes
from cnnrecipes._support.console import printable
from cnnrecipes.cli import command_registry, output
from cnnrecipes.cli.options import QuietOption, VerboseOption
from cnnrecipes.errors import CNNRecipesError, CNNRecipesWarning, Interrupted, one_line


class _Commands(TyperGroup):
    """The commands; an interrupt is raised as `typer.Abort`, which newer versions of Typer make a silent exit."""

    def invoke(self, ctx):
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt as error:
            raise typer.Abort from error


app = typer.Typer(
    cls=_Commands,
    help="Design, train and use image-classification CNNs. A recipe holds all settings of a training; "
    "`cnnrecipes list` shows the shipped ones, and `cnnrecipes fit resnet8_digits` trains one in a minute. "
    "`cnnrecipes --install-completion` completes commands, recipes and keys in your shell.",
    context_settings={"help_option_names": ["-h", "--help"]},
    pretty_exceptions_enable=False,
)


def _print_version(value: bool) -> None:
    if value:
        print(f"cnnrecipes {cnnrecipes.__version__}")
        raise typer.Exit


@app.callback()
def _global_options(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version.")
    ] = False,
    quiet: QuietOption = False,
    verbose: VerboseOption = False,
) -> None:
    output.choose_verbosity(quiet, verbose, reset=True)


for _command in command_registry.discover():
    app.command(_command.name, rich_help_panel=_command.group, **_command.settings)(_command.function)


def main() -> None:
    """Run the command line; a user's error is printed as one line on stderr with exit status 2, a warning as one line.

    With --verbose the traceback of the error precedes the line. An interrupted command has exit status 130.
    """
    before = warnings.showwarning
    warnings.showwarning = _one_line_warning(before)
    try:
        sys.exit(app(sys.argv[1:] or ["--help"], prog_name="cnnrecipes", standalone_mode=False))
    except Interrupted as error:
        _fail(error, status=130)
    except (KeyboardInterrupt, typer.Abort) as error:  # the former outside of a command
        _fail(error, "interrupted", 130)
    except CNNRecipesError as error:
        _fail(error)
    except Exception as error:
        if not hasattr(error, "format_message"):  # not a usage error of typer
            raise
        _fail(error, f"{error.format_message()} See `cnnrecipes --help`.")
    finally:
        warnings.showwarning = before  # a program may call `main` several times, or go on afterwards


def _one_line_warning(show):
    """Return a replacement of `warnings.showwarning` that prints warnings of cnnrecipes as one line."""

    def one_line_warning(message, category, *where):
        if issubclass(category, CNNRecipesWarning):
            print(f"cnnrecipes: warning: {printable(one_line(message))}", file=sys.stderr)
        else:
            show(message, category, *where)

    return one_line_warning


def _fail(error: BaseException, message: str | None = None, status: int = 2) -> None:
    if output.verbosity.verbose:
        traceback.print_exception(error)
    print(f"cnnrecipes: {printable(one_line(message or error))}", file=sys.stderr)
    sys.exit(status)
