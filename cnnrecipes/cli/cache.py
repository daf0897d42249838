"""The command cache: what the user's cache folder holds, and its deletion."""

from __future__ import annotations

from typing import Annotated, Optional

import typer

import cnnrecipes
from cnnrecipes._support import cache_pruning, user_cache
from cnnrecipes._support.cache_contents import KINDS
from cnnrecipes.cli import completion, result_printing
from cnnrecipes.cli.command_registry import command
from cnnrecipes.cli.options import JsonOption
from cnnrecipes.cli.output import print_json


@command("cache", group="Data")
def cache(
    kinds: Annotated[
        Optional[list[str]],  # noqa: UP045
        typer.Argument(
            metavar="KIND",
            help=f"Some of {', '.join(KINDS)}; default: all.",
            autocompletion=completion.words(*KINDS),
        ),
    ] = None,
    unused_days: Annotated[
        float, typer.Option(help="Only what has not been used for so many days.", metavar="DAYS")
    ] = 0.0,
    clear: Annotated[bool, typer.Option("--clear", help="Delete it, without a question.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Show what the cache folder holds, or delete it; all of it is made again when needed.

    What a process uses stays, and so do files that are not of this package. Features are also deleted automatically,
    the least recently used first, above a limit.

    Examples: `cnnrecipes cache`; `cnnrecipes cache features --unused-days 30 --clear`
    """
    folder = user_cache.folder()
    if clear:
        done = cnnrecipes.clear_cache(kinds or (), unused_days=unused_days)
        if as_json:
            print_json({"folder": folder, "deleted": [vars(one) for one in done.deleted], "kept": done.kept})
        else:
            result_printing.print_cleared(done)
        return
    found, limit = cnnrecipes.cache_contents(kinds or (), unused_days=unused_days), cache_pruning.features_limit()
    if as_json:
        print_json({"folder": folder, "features_limit": limit, "contents": [vars(one) for one in found]})
    else:
        result_printing.print_cache(found, folder, limit)
