"""The command search-page: the page of a search, and its trials as a file."""

from __future__ import annotations

import webbrowser
from pathlib import Path
from typing import Annotated, Optional

import typer

import cnnrecipes
from cnnrecipes._support.console import import_tensorflow, say
from cnnrecipes.cli.command_registry import command
from cnnrecipes.cli.options import JsonOption
from cnnrecipes.cli.output import print_json, print_written


@command("search-page", group="Training")
def search_page(
    folder: Annotated[Path, typer.Argument(help="Folder of a search by `cnnrecipes tune`; it may be running.")],
    table: Annotated[
        Optional[Path],  # noqa: UP045
        typer.Option(help="Also write the trials to this file: .parquet or .csv."),
    ] = None,
    show: Annotated[bool, typer.Option("--open", help="Open the page in the browser.")] = False,
    as_json: JsonOption = False,
    quiet: bool = False,
) -> None:
    """Write search.html in the folder of a search: the result, charts, importances of the keys, all trials.

    Example: `cnnrecipes search-page runs/search_resnet8_digits --open`
    """
    import_tensorflow()
    search = cnnrecipes.Search.open(folder)
    written = [search.page()]
    if table is not None:
        written.append(search.write_table(table))
    found = search.importances
    if as_json:
        keys = [vars(one) for one in found.keys]
        about = {"explained": found.explained, "error": found.error, "sentence": found.sentence}
        print_json({"page": written[0], "importances": {"keys": keys, **about}})
    elif not quiet:
        say(found.sentence)
    if not as_json:
        print_written(written)
    if show:
        webbrowser.open(written[0].resolve().as_uri())
