"""Commands about architectures: models."""

from __future__ import annotations

from typing import Annotated

import typer

from cnnrecipes._support.console import import_tensorflow
from cnnrecipes.cli import result_printing
from cnnrecipes.cli.command_registry import command
from cnnrecipes.cli.options import JsonOption
from cnnrecipes.cli.output import print_json


@command("models", group="Models")
def models(
    pretrained: Annotated[bool, typer.Option("--pretrained", help="Only those with ImageNet weights.")] = False,
    as_json: JsonOption = False,
) -> None:
    """List all architectures with parameters, multiply-adds, image size and published ImageNet accuracy."""
    import_tensorflow()
    from cnnrecipes.models import model_table

    table = model_table()
    if pretrained:
        table = table[table.imagenet_weights]
    if as_json:
        print_json(table.astype(object).where(table.notna(), None).to_dict("records"))
    else:
        result_printing.print_models(table)
